"""Compute rows of the comparison and append each to a file as it is done.

    python -m experiments.rules --rows stdp,reward --ways 5 --seeds 0,1 --kept FOLDER --out rules.jsonl

All rules share the network of experiments/trained/rules-prototype, which stays as it is; only what belongs to a rule is trained, on
episodes of the training characters. Every row is judged on the same episodes of unseen characters, so that differences are paired.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.rules import shared
from experiments.rules.judge import TOGETHER, begun, judged, spread, trained
from experiments.rules.rows import Row, kept_as, rows, steps
from neurometa.tasks.omniglot import INK
from neurometa.types import Params

ALONE = "eprop-readout"
"""The row with which rows that move more are compared."""

QUERIES = {5: 5, 20: 2}
"""Queries of each class in an evaluation, by ways."""


def main() -> None:
    """Read the options, go through the rows."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rules", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", default=",".join(rows(5)))
    parser.add_argument("--ways", type=int, default=5, choices=sorted(QUERIES))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--trained-only", action="store_true", help="leave out the column by hand")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="folder for spikes, constants and accuracies, read where it has them")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.rows.split(","):
        for seed in map(int, asked.seeds.split(",")):
            line = json.dumps(one(name, asked.ways, seed, asked.episodes, asked.data, asked.kept, not asked.trained_only))
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def one(name: str, ways: int, seed: int, episodes: int, data: Path | None, kept: Path, both: bool = True) -> dict[str, Any]:
    """One line of the table: by hand, trained, and paired differences."""
    row, file = rows(ways)[name], kept_as(name, ways, seed)
    by_hand = begun(row, ways, seed)
    found: dict[str, Any] = {"row": name, "task": f"{ways}w1s", "seed": seed}
    if not row.steps:
        return {**found, "trained": spread(accuracies(f"{file}-hand", row, by_hand, ways, episodes, data, kept))}
    end, spent = constants(file, row, ways, seed, by_hand, data, kept)
    after = accuracies(f"{file}-trained", row, end, ways, episodes, data, kept)
    own = {key: round(float(value.mean()), 3) for key, value in end.items() if key.startswith(f"{row.rule['kind']}.")}
    found |= {"estimator": row.estimator, "steps": row.steps, "tasks": row.tasks, "cpu_s": round(spent, 1), "constants": own}
    found["trained"] = spread(after)
    if both:
        hand = accuracies(f"{file}-hand", row, by_hand, ways, episodes, data, kept)
        found |= {"by hand": spread(hand), "gain": spread(after - hand)}
    alone = kept / "accuracies" / f"{kept_as(ALONE, ways, seed)}-trained.npy"
    if name.startswith("eprop") and name != ALONE and alone.exists():
        found["over readout"] = spread(after - torch.from_numpy(np.load(alone)))
    return found


def constants(name: str, row: Row, ways: int, seed: int, by_hand: Params, data: Path | None, kept: Path) -> tuple[Params, float]:
    """The row's parameters after training, and the CPU seconds that it took; read where they were kept."""
    file = kept / "constants" / f"{name}.safetensors"
    if not file.exists():
        end = trained(row, ways, seed, shared.characters("train", data, kept), by_hand)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"cpu_s": torch.tensor(end.cpu_s), **end.parameters}, file)
    read = load_file(file)
    return read, float(read.pop("cpu_s"))


def accuracies(name: str, row: Row, params: Params, ways: int, episodes: int, data: Path | None, kept: Path) -> Tensor:
    """Accuracy of each episode; those that were kept are read, the others computed and kept a hundred at a time."""
    file = kept / "accuracies" / f"{name}.npy"
    found = torch.from_numpy(np.load(file)) if file.exists() else torch.empty(0)
    if len(found) >= episodes:
        return found[:episodes]
    file.parent.mkdir(parents=True, exist_ok=True)
    task = shared.family(shared.characters("unseen", data, kept), row.given, ways, 1, QUERIES[ways], steps(), INK)
    while len(found) < episodes:
        more = judged(row, params, task, min(len(found) + 2 * TOGETHER, episodes), len(found))
        found = torch.cat([found, more])
        np.save(file, found.numpy())
    return found


if __name__ == "__main__":
    main()
