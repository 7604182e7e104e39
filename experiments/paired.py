"""Two learners on the same episodes of unseen classes: accuracy of each, and the mean of the paired difference with its 95 % interval.

Of a regression (--ways 1) mean squared errors in place of accuracies.

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

from neurometa.core.loss import regression
from neurometa.experiment import build, checkpoint, folder
from neurometa.experiment.build import Question
from neurometa.experiment.folder import Run
from neurometa.meta.adapt import outcomes
from neurometa.meta.learner import Learner

AT_ONCE = 10
"""Episodes that are drawn and judged together."""


@torch.no_grad()
def judged(runs: list[Run], asked: Question, episodes: int, seed: int, data: Path | None) -> list[Tensor]:
    """Accuracy in percent, or squared error, of each episode after each learner adapted to it; every episode is drawn once, for all."""
    task, generator = build.unseen(runs[0].experiment, asked, data), torch.Generator().manual_seed(seed)
    learners = [build.learner(run.experiment, asked.ways) for run in runs]
    params = [checkpoint.read(run.checkpoint).parameters() for run in runs]
    found: list[list[Tensor]] = [[] for _ in runs]
    for first in range(0, episodes, AT_ONCE):
        drawn = task.sample(generator, min(AT_ONCE, episodes - first))
        for values, learner, slow in zip(found, learners, params, strict=True):
            shown = learner.encode(drawn, torch.Generator().manual_seed(seed + 1 + first))
            outcome = outcomes(learner, Learner.adapt, slow, shown)
            if not bool(outcome.finite.all()):
                raise SystemExit("weights are not finite after adaptation: a diverged learner has no accuracy to compare")
            values.append(outcome.loss if regression(drawn.query.y) else 100.0 * outcome.accuracy)
    return [torch.cat(values) for values in found]


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
    first, second = judged(runs, question, asked.episodes, asked.seed, asked.data)
    found = {str(path): spread(values) for path, values in zip(asked.runs, (first, second), strict=True)}
    what = "mse" if build.regression(runs[0].experiment.task) else "accuracy"
    sys.stdout.write(json.dumps({what: found, "difference": spread(first - second), "episodes": asked.episodes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
