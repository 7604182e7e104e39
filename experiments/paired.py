"""Two learners on the same episodes of unseen classes: accuracy of each, and the mean of the paired difference with its 95 % interval.

    python -m experiments.paired RUN RUN --ways 5 --shots 1 --episodes 1000

Both must see the same input, so that an episode drawn from one seed is the same for both. Nothing is trained and nothing is kept.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor

from neurometa.experiment import build, checkpoint, folder
from neurometa.experiment.build import Question
from neurometa.experiment.folder import Run
from neurometa.meta.evaluate import evaluate


def judged(run: Run, asked: Question, episodes: int, seed: int, data: Path | None) -> Tensor:
    """Accuracy in percent of each episode after the learner adapted to it."""
    learner = build.learner(run.experiment, asked.ways)
    params, task = checkpoint.read(run.checkpoint).parameters(), build.unseen(run.experiment, asked, data)
    measured = evaluate(learner, params, task, episodes, torch.Generator().manual_seed(seed), lambda *_: None)
    return 100.0 * torch.as_tensor(measured.after)


def spread(values: Tensor) -> dict[str, float]:
    """Mean and half-width of the 95 % interval."""
    return {"mean": float(values.mean()), "ci95": 1.96 * float(values.std()) / math.sqrt(len(values))}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN")
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--queries", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runs = [folder.open_run(path) for path in asked.runs]
    if len({(run.experiment.task, run.experiment.encoding) for run in runs}) > 1:
        raise SystemExit("two runs of different tasks or encodings given, the same expected: their episodes would not be the same")
    question = Question(asked.ways, asked.shots, asked.queries)
    first, second = (judged(run, question, asked.episodes, asked.seed, asked.data) for run in runs)
    found = {str(path): spread(values) for path, values in zip(asked.runs, (first, second), strict=True)}
    sys.stdout.write(json.dumps({"accuracy": found, "difference": spread(first - second), "episodes": asked.episodes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
