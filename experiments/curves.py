"""How accuracy grows with examples seen and with inner steps: every rule on the shared network, constants set by hand.

    python -m experiments.curves --windows windows.npy --out curves.jsonl

Reads experiments/trained/rules-prototype; trains nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from experiments.rules import ROWS, begun, experiment, judged, spread, windows
from neurometa.experiment import config
from neurometa.tasks.base import ImageClasses

SHOTS = (1, 2, 3, 5, 10)
RULES = ("prototype", "hebbian", "stdp", "soel", "anil")

STEPS: dict[str, tuple[str, tuple[int, ...]]] = {
    "anil": ("steps", (1, 2, 5, 10, 20)),
    "soel": ("passes", (1, 2, 5, 10)),
    "reward": ("trials", (1, 5, 20, 50)),
}
"""What counts as an inner step of a rule, and how many are tried."""


def changed(name: str, field: str, value: Any) -> config.Experiment:
    """A row's experiment with one field of its rule replaced."""
    kept = ROWS[name]
    try:
        ROWS[name] = {**kept, field: value}
        return experiment(name, 1, 0, "unrolled")
    finally:
        ROWS[name] = kept


def measured(made: config.Experiment, family: ImageClasses, episodes: int) -> dict[str, float]:
    """Accuracy with the constants that the rule begins with."""
    return spread(judged(made, begun(made), family, episodes))


def main() -> None:
    """Measure both curves and append every point to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--windows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    whole = windows(asked.data, asked.windows)

    def write(point: dict[str, Any]) -> None:
        with asked.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")
        sys.stdout.write(json.dumps(point) + "\n")

    for name, (field, values) in STEPS.items():
        for value in values:
            found = measured(changed(name, field, value), ImageClasses(whole, 5, 1, 5), asked.episodes)
            write({"rule": name, "over": field, "value": value, **found})
    for name in RULES:
        for shots in SHOTS:
            found = measured(experiment(name, 1, 0, "unrolled"), ImageClasses(whole, 5, shots, 5), asked.episodes)
            write({"rule": name, "over": "examples", "value": shots, **found})


if __name__ == "__main__":
    main()
