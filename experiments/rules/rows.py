"""The rows of the comparison: a rule with constants as the literature has them, what it is given, and how it is meta-trained."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from neurometa.experiment import config, load

BODY = "experiments/trained/rules-prototype"
"""The shared network."""

TEXTBOOK = Path(__file__).parents[1] / "data" / "textbook.toml"

STEPS = 3
"""Inner steps of rules that descend."""

SIGMA, DIRECTIONS = 0.3, 12
"""Of the outer loop by evolution."""

CHOSEN = {
    **{(name, 20): 0.01 for name in ("anil", "soel", "bptt", "eprop-readout", "eprop-symmetric", "eprop-random", "eprop-learnt")},
    **{(name, ways): 0.003 for name in ("eprop-generator", "eprop-generator-once") for ways in (5, 20)},
    ("soel", 5): 0.03, ("eprop-learnt", 5): 0.003,
}  # fmt: skip
"""Outer learning rates of rows for which that of the others is too large, by row and ways: tried by `choose` on training characters."""

WHOLE, LAST, WINDOW, COUNTS = "whole", "last", "window", "counts"
"""What a rule is given: pictures; spikes of the layer before the last, so that the synapses into the last can move; spikes of the last
layer; the mean of these over time."""


class Row(NamedTuple):
    """What is compared.

    Attributes:
        rule: the table [plasticity], with constants set by hand.
        given: what the rule sees of an example, one of the words above.
        estimator: "unrolled", or "evolution" for what has no useful gradient.
        steps, tasks: outer steps, and episodes of each; no steps for a row with nothing to train.
        learning_rate: of the outer loop.
    """

    rule: dict[str, Any]
    given: str
    estimator: str = "unrolled"
    steps: int = 150
    tasks: int = 8
    learning_rate: float = 0.1


def rows(ways: int) -> dict[str, Row]:
    """Every row by its name, for episodes of that many ways."""
    book = tomllib.loads(TEXTBOOK.read_text(encoding="utf-8"))
    by_hand = {rule: {k: v for k, v in table.items() if k not in ("source", "where")} for rule, table in book.items()}
    stdp = {"kind": "stdp", **by_hand["stdp"]}
    # the loss here is the sum over examples where the book's is the mean
    descent = {"steps": STEPS, "rate": by_hand["descent"][str(ways)] / ways, "rates": "per-tensor", "head": "zero"}
    eprop = {"kind": "eprop", **descent, "output": "running-mean", "fast": ["conv4.*", "norm4.*", "readout.*"]}

    def last(rule: dict[str, Any]) -> Row:
        return Row(rule, LAST, steps=100, tasks=1 if ways > 5 else 4)

    found = {
        "frozen": Row({"kind": "frozen"}, COUNTS, steps=0),
        "prototype": Row({"kind": "prototype"}, COUNTS, steps=0),
        "hebbian": Row({"kind": "hebbian", "rule": "oja", "coefficients": "feature", **by_hand["hebbian"]}, COUNTS),
        "stdp": Row(stdp, WINDOW),
        "stdp-offset": Row({**stdp, "offset": 0.5}, WINDOW),
        "stdp-gains": Row({**stdp, "gains": "feature"}, WINDOW),
        "reward": Row({"kind": "reward", "trials": 20, "scale": 0.3, **by_hand["reward"]}, COUNTS, "evolution", 60, 8, 0.2),
        "soel": Row({"kind": "soel"}, WINDOW),
        "anil": Row({"kind": "bptt", **descent, "fast": ["readout.*"]}, COUNTS),
        "bptt": Row({"kind": "bptt", **descent, "fast": ["*"]}, WHOLE, steps=60, tasks=1),
        "eprop-readout": last({**eprop, "fast": ["readout.*"]}),
        "eprop-symmetric": last(eprop),
        "eprop-random": last({**eprop, "feedback": "random"}),
        "eprop-learnt": last({**eprop, "feedback": "learnt"}),
        "eprop-generator": last({**eprop, "feedback": "generator"}),
        "eprop-generator-once": last({**eprop, "feedback": "generator", "steps": 1}),
    }
    return {name: row._replace(learning_rate=CHOSEN.get((name, ways), row.learning_rate)) for name, row in found.items()}


def kept_as(name: str, ways: int, seed: int) -> str:
    """File name of what is kept of a row, without its ending: a row whose settings are changed is another."""
    row = rows(ways)[name]
    settings = f"{row.given} {load.dump(experiment(row, ways, seed))}".encode()
    return f"{name}-{ways}-{seed}-{hashlib.sha256(settings).hexdigest()[:8]}"


def steps() -> int:
    """Time steps of the shared network's window."""
    return load.read(Path(BODY) / "config.toml").encoding.steps  # type: ignore[union-attr]


def experiment(row: Row, ways: int, seed: int = 0) -> config.Experiment:
    """A row as an experiment: the shared network, the rule, and an outer loop over what belongs to the rule alone."""
    shared = load.read(Path(BODY) / "config.toml")
    kind = row.rule["kind"]
    constants = [f"{kind}.*"] if row.steps else ["*"]
    evolution = {"over": constants, "sigma": SIGMA, "directions": DIRECTIONS}
    mapping = {
        "name": f"rules-{kind}",
        "seed": seed,
        "task": {"kind": "omniglot", "ways": ways, "shots": 1, "queries": 2, "augment": {}},
        "network": table(shared, "network"),
        "encoding": table(shared, "encoding"),
        "plasticity": json.loads(json.dumps(row.rule)),
        "estimator": {"kind": row.estimator, **(evolution if row.estimator == "evolution" else {})},
        "training": {
            "steps": max(row.steps, 1),
            "tasks": row.tasks,
            "learning_rate": row.learning_rate,
            "clip": 1.0,
            "start": BODY,
            "trains": constants,
        },
    }
    return load.convert(mapping, kind)


def table(experiment: config.Experiment, name: str) -> Any:
    """One table of an experiment as it would stand in its file."""
    return tomllib.loads(load.dump(experiment))[name]
