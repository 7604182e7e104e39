"""Meta-train the constants of one row, and judge them on unseen characters."""

import math
import time
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.rules.rows import DIRECTIONS, SIGMA, Row, experiment, steps
from experiments.rules.shared import Characters, family, piece
from neurometa.experiment import build, start
from neurometa.meta.adapt import outcomes
from neurometa.meta.estimators import Unrolled
from neurometa.meta.evolution import Evolution
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.tasks.base import ImageClasses
from neurometa.tasks.omniglot import INK
from neurometa.types import Episode, Params

SEED, TOGETHER = 1, 50
"""Seed of the episodes that every row is judged on, and how many of them are drawn at a time."""


class Trained(NamedTuple):
    """A row's parameters after its meta-training, the network's among them, and what the training took."""

    parameters: Params
    cpu_s: float


def learner(row: Row, ways: int) -> Learner:
    """The part of the shared network that the row's rule still runs, as a learner of its own."""
    made = experiment(row, ways)
    whole = build.learner(made, ways)
    network, encoder = piece(whole.network, row.given, steps())  # type: ignore[arg-type]
    return whole._replace(network=network, encoder=encoder)


def begun(row: Row, ways: int, seed: int = 0) -> Params:
    """The shared network's parameters, and the rule's own as set by hand."""
    made, one = experiment(row, ways, seed), learner(row, ways)
    drawn = one.init(torch.Generator().manual_seed(seed))
    shared = start.parameters(made, build.learner(made, ways).network)
    layers = {name for name, _ in one.network.layers}  # type: ignore[attr-defined]
    return {**drawn, **{name: value for name, value in shared.items() if name.rpartition(".")[0] in layers}}


def trained(row: Row, ways: int, seed: int, found: Characters, by_hand: Params) -> Trained:
    """Meta-train what belongs to the rule on training characters, beginning with what was set by hand."""
    made = experiment(row, ways, seed)
    task = family(found, row.given, ways, 1, 2, steps(), INK)
    settings = TrainerSettings(**{field: getattr(made.training, field) for field in TrainerSettings._fields})
    evolution = Evolution(DIRECTIONS, SIGMA, made.training.trains)
    trainer = Trainer(learner(row, ways), task, evolution if row.estimator == "evolution" else Unrolled(), settings, seed, by_hand)
    began = time.process_time()
    while not trainer.done:
        trainer.step()
    return Trained(trainer.parameters(), time.process_time() - began)


@torch.no_grad()
def judged(row: Row, params: Params, task: ImageClasses, episodes: int, first: int = 0) -> Tensor:
    """Accuracy in percent of each episode, from the `first` on; episode n is the same in every row, whatever is given.

    Raises:
        ValueError: an adaptation diverged.
    """
    one, found = learner(row, task.ways), []
    for begin in range(first, episodes, TOGETHER):
        count = min(TOGETHER, episodes - begin)
        drawn = task.sample(torch.Generator().manual_seed(SEED + begin), TOGETHER)
        drawn = Episode(*(data._replace(x=data.x[:count], y=data.y[:count]) for data in drawn))
        outcome = outcomes(one, Learner.adapt, params, one.encode(drawn, torch.Generator().manual_seed(SEED + begin)))
        if not bool(outcome.finite.all()):
            raise ValueError(f"rule {row.rule['kind']} diverged")
        found.append(100.0 * outcome.accuracy)
    return torch.cat(found)


def spread(values: Tensor) -> dict[str, float]:
    """Mean and half-width of the 95 % interval."""
    return {"mean": float(values.mean()), "ci95": 1.96 * float(values.std()) / math.sqrt(len(values))}
