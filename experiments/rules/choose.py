"""Try outer learning rates for rows of the comparison, on training characters alone, and append what each reached to a file.

    python -m experiments.rules.choose --rows soel,anil --ways 5 --rates 0.003,0.01,0.03,0.1 --kept FOLDER --out rates.jsonl

Every second training character is trained on and the others are judged on, so that no character of the comparison is seen. What was
chosen stands in `rows.CHOSEN`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from experiments.rules import shared
from experiments.rules.judge import begun, judged, spread, trained
from experiments.rules.rows import WHOLE, Row, rows, steps
from neurometa.tasks.omniglot import INK

QUERIES = 2
"""Of each class, in training as in judging."""


def halves(found: shared.Characters) -> tuple[shared.Characters, shared.Characters]:
    """Every second character to train on, the others to judge on."""
    return shared.Characters(*(part[::2] for part in found)), shared.Characters(*(part[1::2] for part in found))


def tried(row: Row, ways: int, seed: int, episodes: int, learn: shared.Characters, hold: shared.Characters) -> dict[str, Any]:
    """What a row reaches on held-out training characters before and after its training on the others; episodes are paired."""
    task = shared.family(hold, row.given, ways, 1, QUERIES, steps(), INK if row.given == WHOLE else None)
    by_hand = begun(row, ways, seed)
    before = judged(row, by_hand, task, episodes)
    after, cpu_s = trained(row, ways, seed, learn, by_hand)
    reached = judged(row, after, task, episodes)
    return {"by hand": spread(before), "trained": spread(reached), "gain": spread(reached - before), "cpu_s": round(cpu_s, 1)}


def main() -> None:
    """Read the options, go through rows, rates and seeds."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rules.choose", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--rates", required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="folder for spikes, read where it has them")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    learn, hold = halves(shared.characters("train", asked.data, asked.kept))
    for name in asked.rows.split(","):
        for rate in map(float, asked.rates.split(",")):
            for seed in map(int, asked.seeds.split(",")):
                row = rows(asked.ways)[name]._replace(learning_rate=rate)
                found = tried(row, asked.ways, seed, asked.episodes, learn, hold)
                about = {"row": name, "ways": asked.ways, "seed": seed, "learning_rate": rate, "steps": row.steps, "tasks": row.tasks}
                line = json.dumps({**about, "episodes": asked.episodes, **found})
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
