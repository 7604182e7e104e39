"""Does it matter in which order a learner sees its examples? The same episodes again and again, their support sets shuffled.

    python -m experiments.order experiments/trained/delayed-cue-eprop-alif --orders 10 --episodes 100

For rule eprop only: its examples are shown one at a time, each followed by an update (`examples = "single"`), with the learner's own step
sizes divided by the number of examples, so that a pass moves the weights about as far as an update on all examples together does.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from neurometa.experiment import build, checkpoint, config, folder
from neurometa.meta.adapt import outcomes
from neurometa.meta.learner import Learner
from neurometa.types import Data, Episode, Params


def slower(params: Params, times: int) -> Params:
    """Every learnt step size divided."""
    return {name: value - math.log(times) if ".log_rate" in name else value for name, value in params.items()}


def shuffled(episodes: Episode, generator: torch.Generator) -> Episode:
    """The same episodes, the support set of each in an order of its own: (episodes, examples, ...)."""
    count, size = episodes.support.y.shape
    orders = torch.stack([torch.randperm(size, generator=generator) for _ in range(count)])
    rows = torch.arange(count).unsqueeze(1)
    return Episode(Data(episodes.support.x[rows, orders], episodes.support.y[rows, orders]), episodes.query)


@torch.no_grad()
def accuracy(learner: Learner, params: Params, episodes: Episode, seed: int) -> Tensor:
    """Accuracy in percent of each episode."""
    found = outcomes(learner, Learner.adapt, params, learner.encode(episodes, torch.Generator().manual_seed(seed)))
    if not bool(found.finite.all()):
        raise SystemExit("weights are not finite after an update with single examples: choose a learner with smaller step sizes")
    return 100.0 * found.accuracy


def summary(found: Tensor) -> dict[str, float]:
    """Of accuracies (orders, episodes): their mean, and how far an order is from the mean of its own episode."""
    return {
        "mean": float(found.mean()),
        "sd_over_orders": float(found.var(0).mean().sqrt()),
        "sd_over_episodes": float(found.mean(0).std()),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    run = folder.open_run(asked.run)
    rule, question = run.experiment.plasticity, build.question(run.experiment)
    if not isinstance(rule, config.EProp) or rule.chunk or rule.rates == "fixed":
        raise SystemExit(f"{asked.run} learns otherwise, eprop with learnt rates and without chunk expected: give such a learner")
    single = msgspec.structs.replace(run.experiment, plasticity=msgspec.structs.replace(rule, examples="single"))
    episodes = build.unseen(run.experiment, question, asked.data).sample(torch.Generator().manual_seed(asked.seed), asked.episodes)
    params = checkpoint.read(run.checkpoint).parameters()
    learner, together = build.learner(single, question.ways), build.learner(run.experiment, question.ways)
    slow, generator = slower(params, episodes.support.y.shape[1]), torch.Generator().manual_seed(asked.seed)
    mixed = torch.stack([accuracy(learner, slow, shuffled(episodes, generator), asked.seed) for _ in range(asked.orders)])
    found = {
        "together": float(accuracy(together, params, episodes, asked.seed).mean()),
        "class by class": float(accuracy(learner, slow, episodes, asked.seed).mean()),
        "shuffled": summary(mixed),
    }
    sys.stdout.write(json.dumps({"run": str(asked.run), "episodes": asked.episodes, "orders": asked.orders, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
