"""How accuracy grows with examples seen and with inner steps: every rule on the shared network, with the constants that were meta-trained.

    python -m experiments.curves --kept FOLDER --out curves.jsonl

Reads what `python -m experiments.rules --ways 5 --kept FOLDER` left there; trains nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from experiments.rules import shared
from experiments.rules.judge import begun, judged, spread
from experiments.rules.rows import LAST, Row, kept_as, rows, steps
from neurometa.types import Params

SHOTS = (1, 2, 3, 5, 10)
EXAMPLES = ("prototype", "hebbian", "stdp", "soel", "anil", "eprop-symmetric")
INNER: dict[str, tuple[str, tuple[int, ...]]] = {
    "anil": ("steps", (1, 2, 3, 5, 10, 20)),
    "eprop-symmetric": ("steps", (1, 2, 3, 5, 10)),
    "soel": ("passes", (1, 2, 5, 10)),
    "reward": ("trials", (1, 5, 20, 50)),
}
"""What counts as an inner step of a rule, and how many are tried."""


def changed(row: Row, field: str, value: Any) -> Row:
    """A row with one field of its rule replaced."""
    return row._replace(rule={**row.rule, field: value})


def points() -> list[tuple[str, str, int, Row, int]]:
    """Every point: rule, what it is over, how much of it, the row, and examples of each class."""
    found = []
    for name, (field, values) in INNER.items():
        found += [(name, field, value, changed(rows(5)[name], field, value), 1) for value in values]
    for name in EXAMPLES:
        found += [(name, "examples", shots, rows(5)[name], shots) for shots in SHOTS]
    return found


def constants(name: str, row: Row, kept: Path) -> Params:
    """The row's parameters after its meta-training with seed 0; those it begins with where nothing is trained."""
    if not row.steps:
        return begun(row, 5)
    found = load_file(kept / "constants" / f"{kept_as(name, 5, 0)}.safetensors")
    return {name: value for name, value in found.items() if name != "cpu_s"}


def main() -> None:
    """Measure both curves and append every point to a file; points that it has already are left out."""
    parser = argparse.ArgumentParser(prog="python -m experiments.curves", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--fewer", type=int, default=300, help="episodes of rules that move a spiking layer")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    unseen = shared.characters("unseen", asked.data, asked.kept)
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.exists() else []
    done = {(point["rule"], point["over"], point["value"]) for point in map(json.loads, lines)}
    for name, over, value, row, shots in points():
        if (name, over, value) in done:
            continue
        episodes = asked.fewer if row.given == LAST else asked.episodes
        task = shared.family(unseen, row.given, 5, shots, 5, steps())
        accuracy = judged(row, constants(name, rows(5)[name], asked.kept), task, episodes)
        line = json.dumps({"rule": name, "over": over, "value": value, "episodes": episodes, **spread(accuracy)})
        with asked.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
