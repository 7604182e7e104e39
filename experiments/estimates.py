"""Estimate every published learner that can be counted: `python -m experiments.estimates`. Learners that have an estimate.json keep it.

`neurometa estimate` only reads a published learner; this is what writes the estimate.json that reports and trade-offs read.
"""

import sys
import tomllib
from pathlib import Path

import torch

from neurometa.energy.estimate import Settings
from neurometa.errors import UserError
from neurometa.experiment import atomic, estimation, folder
from neurometa.experiment.progress import Silent

HERE = Path(__file__).parent
EPISODES = 20


def main() -> None:
    """Write what is not there yet, on the chips of the trade-off."""
    torch.set_num_threads(1)
    cards = estimation.cards(tomllib.loads((HERE / "tradeoff" / "points.toml").read_text())["chips"], None)
    for path in sorted((HERE / "trained").iterdir()):
        if (path / "estimate.json").exists():
            continue
        run = folder.open_run(path)
        try:
            answer = estimation.priced(run, estimation.count(run, EPISODES, None, None, Silent()), cards, Settings())
        except UserError as refused:
            sys.stdout.write(f"{path.name}: {refused}\n")
            continue
        answer["runs"][0] |= {"path": f"experiments/trained/{path.name}"}
        atomic.replace(path / "estimate.json", estimation.compact({"schema": estimation.SCHEMA, **answer}).encode())
        sys.stdout.write(f"{path.name}: {len(answer['estimates'])} estimates\n")


if __name__ == "__main__":
    main()
