"""What a late learning signal costs: learners of e-prop on the same episodes of unseen classes, under each of several delays.

    python -m experiments.late RUN RUN --delays 0 2 --ways 1 --shots 10 --queries 50 --episodes 1000

One JSON line for each learner and delay: accuracy in percent, or mean squared error of a regression, with its 95 % interval, and the
paired difference to the learner under the delay of its own training.
"""

import argparse
import json
import sys
from pathlib import Path

import msgspec
import torch

from experiments.paired import judged, spread
from neurometa.experiment import build, config, folder
from neurometa.experiment.folder import Run


def late(run: Run, delay: int) -> Run:
    """The same learner with its signals so many steps under way."""
    rule = run.experiment.plasticity
    if not isinstance(rule, config.EProp):
        raise SystemExit(f"{run.path} learns by {rule.__struct_config__.tag}, expected eprop: no other rule has a signal_delay")
    replaced = msgspec.structs.replace(rule, signal_delay=delay)
    return run._replace(experiment=msgspec.structs.replace(run.experiment, plasticity=replaced))


def trained(run: Run) -> int:
    """The delay of its training."""
    rule = run.experiment.plasticity
    return rule.signal_delay if isinstance(rule, config.EProp) else 0


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--delays", nargs="+", type=int, default=[0, 2])
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    question = build.Question(asked.ways, asked.shots, asked.queries)
    for run in [folder.open_run(path) for path in asked.runs]:
        own, delays = trained(run), sorted({trained(run), *asked.delays})
        values = judged([late(run, delay) for delay in delays], question, asked.episodes, asked.seed, asked.data)
        base = values[delays.index(own)]
        about = {"experiment": run.experiment.name, "training_seed": run.experiment.seed, "trained_delay": own, "episodes": asked.episodes}
        what = "mse" if build.regression(run.experiment.task) else "accuracy"
        for delay, one in zip(delays, values, strict=True):
            found = {**about, "delay": delay, what: spread(one), "difference": spread(one - base)}
            sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
