"""One spiking network, every rule: what each reaches on Omniglot with constants set by hand and with meta-trained ones.

All rules share the network of experiments/trained/rules-prototype, which stays as it is; only the constants of a rule are trained, on
episodes of the training characters. Every row is judged on the same episodes of unseen characters, so that differences are paired.

    python -m experiments.rules --rows stdp,reward --out rules.jsonl
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurometa.core.encode import Direct, Raster
from neurometa.core.network import averaged_last
from neurometa.experiment import build, config, load, start
from neurometa.experiment.build import Question
from neurometa.meta.adapt import outcomes
from neurometa.meta.learner import Learner
from neurometa.tasks.base import ImageClasses
from neurometa.types import Episode, Params

BODY = "experiments/trained/rules-prototype"
SEED = 1
READOUT_ALONE = ["readout.*"]

ROWS: dict[str, dict[str, Any]] = {
    "prototype": {"kind": "prototype"},
    "hebbian": {"kind": "hebbian", "rule": "oja", "coefficients": "feature"},
    "hebbian-one": {"kind": "hebbian", "rule": "oja", "coefficients": "one"},
    "hebbian-gated": {"kind": "hebbian", "rule": "oja", "coefficients": "feature", "gated": True},
    "fast-weights": {"kind": "hebbian", "rule": "memory", "coefficients": "feature"},
    "stdp": {"kind": "stdp", "offset": 0.5, "scale": 0.05},
    "stdp-plain": {"kind": "stdp", "scale": 0.05},
    "stdp-triplet": {"kind": "stdp", "offset": 0.5, "scale": 0.05, "a3_plus": 0.1, "a3_minus": 0.02},
    "stdp-soft": {"kind": "stdp", "offset": 0.5, "scale": 0.05, "bounds": "multiplicative"},
    "stdp-current": {"kind": "stdp", "offset": 0.5, "scale": 0.05, "teacher": "current"},
    "reward": {"kind": "reward", "trials": 20, "scale": 0.3},
    "soel": {"kind": "soel"},
    "anil": {"kind": "bptt", "steps": 5, "rate": 0.4, "rates": "learnt", "fast": READOUT_ALONE, "head": "zero"},
}
"""Rules that write the readout alone, by the name of their row."""


class Row(NamedTuple):
    """What a row of the table needs.

    Attributes:
        learner: the readout as a learner of its own.
        family: unseen characters as what the readout is given.
    """

    learner: Learner
    family: Any


def experiment(name: str, steps: int, seed: int, estimator: str, trains: list[str] | None = None) -> config.Experiment:
    """The experiment of one row: the shared network, the rule, and an outer loop over the rule's constants alone."""
    shared = load.read(Path(BODY) / "config.toml")
    rule = ROWS[name]
    mapping = {
        "name": f"rules-{name}",
        "seed": seed,
        "task": {"kind": "omniglot", "ways": 5, "shots": 1, "queries": 3, "augment": {}},
        "network": json.loads(json.dumps(load_table(shared, "network"))),
        "encoding": {"kind": "direct", "steps": shared.encoding.steps},
        "plasticity": rule,
        "estimator": {
            "kind": estimator,
            **({"over": trains or [f"{rule['kind']}.*"], "sigma": 0.2, "directions": 8} if estimator == "evolution" else {}),
        },
        "training": {
            "steps": steps,
            "tasks": 8,
            "learning_rate": 0.1,
            "clip": 1.0,
            "start": BODY,
            "trains": trains or [f"{rule['kind']}.*"],
        },
    }
    return load.convert(mapping, name)


def load_table(experiment: config.Experiment, table: str) -> Any:
    """One table of an experiment as it would stand in its file."""
    import tomllib

    return tomllib.loads(load.dump(experiment))[table]


def begun(made: config.Experiment) -> Params:
    """The parameters that an experiment begins with: the shared network's, and the rule's constants as set by hand."""
    learner = build.learner(made, made.task.ways)
    return {**learner.init(torch.Generator().manual_seed(made.seed)), **start.parameters(made, learner.network)}


class Folded(NamedTuple):
    """A window whose time axis was folded into its features, unfolded again."""

    steps: int

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(*, steps * n) to (steps, *, n)."""
        return Raster().encode(x.unflatten(-1, (self.steps, -1)), generator)


@torch.no_grad()
def embedded(made: config.Experiment, params: Params, data: Path | None, ways: int, shots: int) -> ImageClasses:
    """Unseen characters as windows of the shared network's last spikes, (time * features) numbers each, computed once."""
    network = averaged_last(build.learner(made, ways).network)
    body, _ = network.split()
    pictures = build.unseen(made, Question(ways, shots, 5), data)
    if not isinstance(pictures, ImageClasses):
        raise TypeError("pictures expected")
    return pictures.embedded(lambda x: body.run(params, body.signal(x)).output.movedim(0, 1).flatten(1))


def windows(data: Path | None, kept: Path | None) -> Tensor:
    """Spikes of the shared network for each unseen character, (characters, drawings, steps * features); read from `kept` if it exists."""
    if kept and kept.exists():
        return torch.from_numpy(np.load(kept)).float()
    first = experiment("stdp", 1, 0, "unrolled")
    found = embedded(first, begun(first), data, 5, 1).images
    if kept:
        np.save(kept, found.to(torch.uint8).numpy())
    return found


@torch.no_grad()
def judged(made: config.Experiment, params: Params, family: ImageClasses, episodes: int, seed: int = SEED) -> Tensor:
    """Accuracy in percent of each episode."""
    steps = made.encoding.steps  # type: ignore[union-attr]
    whole = build.learner(made, family.ways)
    windows = averaged_last(whole.network)
    timed = whole.network.layers[-1][0] == "average"
    head = windows.split()[1]
    learner = whole._replace(network=head, encoder=Folded(steps), redeal=False)
    if not timed:  # rules of counts see the average of the window, as in the network that averages first
        learner = whole._replace(network=whole.network.split()[1], encoder=Direct(1), redeal=False)
    generator, found = torch.Generator().manual_seed(seed), []
    for first in range(0, episodes, 50):
        drawn = family.sample(generator, min(50, episodes - first))
        if not timed:
            drawn = Episode(*(data._replace(x=data.x.unflatten(-1, (steps, -1)).mean(-2)) for data in drawn))
        noise = torch.Generator().manual_seed(seed + 1 + first)
        outcome = outcomes(learner, Learner.adapt, params, learner.encode(drawn, noise))
        if not bool(outcome.finite.all()):
            raise ValueError(f"{made.name} diverged")
        found.append(100.0 * outcome.accuracy)
    return torch.cat(found)


def spread(values: Tensor) -> dict[str, float]:
    """Mean and half-width of the 95 % interval."""
    return {"mean": float(values.mean()), "ci95": 1.96 * float(values.std()) / math.sqrt(len(values))}


def row(name: str, families: dict[str, ImageClasses], steps: int, seed: int, estimator: str, episodes: int, data: Path | None) -> dict:
    """One line of the table: by hand, trained, and the paired difference, on each task."""
    made = experiment(name, steps, seed, estimator)
    trainer = build.trainer(made, data)
    by_hand = begun(made)
    began = time.process_time()
    while not trainer.done:
        trainer.step()
    spent, end = time.process_time() - began, trainer.parameters()
    constants = {key: value.mean().item() for key, value in end.items() if key.startswith(f"{ROWS[name]['kind']}.")}
    found: dict[str, Any] = {"row": name, "estimator": estimator, "seed": seed, "steps": steps, "cpu_s": spent, "constants": constants}
    for task, family in families.items():
        hand, trained = (judged(made, params, family, episodes) for params in (by_hand, end))
        found[task] = {"by hand": spread(hand), "trained": spread(trained), "gain": spread(trained - hand)}
    return found


def main() -> None:
    """Compute the rows that are asked for and append each to a file as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--estimator", default="unrolled", choices=["unrolled", "evolution"])
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--tasks", default="5w1s,20w1s")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--windows", type=Path, help="file (.npy) in which the shared network's spikes are kept between calls")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    whole = windows(asked.data, asked.windows)
    sizes = {task: [int(n) for n in task.rstrip("s").split("w")] for task in asked.tasks.split(",")}
    families = {task: ImageClasses(whole, ways, shots, 5) for task, (ways, shots) in sizes.items()}
    for name in asked.rows.split(","):
        for seed in map(int, asked.seeds.split(",")):
            found = row(name, families, asked.steps, seed, asked.estimator, asked.episodes, asked.data)
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
