"""Judging a learner on episodes of unseen classes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.core.encode import Direct
from neurometa.core.layer import Spiking, TimeAverage
from neurometa.core.loss import regression
from neurometa.core.network import READOUT
from neurometa.core.segments import whole
from neurometa.core.tree import select
from neurometa.errors import UserError
from neurometa.meta.adapt import outcomes
from neurometa.meta.diagnosis import trouble
from neurometa.meta.learner import Learner
from neurometa.tasks.base import ImageClasses
from neurometa.types import Adapted, Data, Episode, Measures, Network, Params, Record, TaskFamily

EXAMPLES_AT_ONCE = 400
"""Pictures that go through the network together, so that a long window still fits the memory."""


class Evaluated(NamedTuple):
    """What an evaluation measured. An accuracy is a fraction of an episode's queries; for a regression read mean squared error.

    Attributes:
        after: accuracy of each episode after adaptation, shape (episodes,).
        before: accuracy of each episode before it; 1 / ways exactly where no readout is written yet.
        zeroed: accuracy of each episode with only the readout's updates kept; None where nothing else is updated.
        spikes_per_inference: mean number of spikes with which the network answers one query; 0 for a conventional one.
        rates: share of neurons that fire in a step, by spiking layer.
        parameters: number of trained numbers in the network, its rule and its statistics.
    """

    after: Tensor
    before: Tensor
    zeroed: Tensor | None
    spikes_per_inference: float
    rates: dict[str, float]
    parameters: int


@torch.no_grad()
def evaluate(
    learner: Learner,
    params: Params,
    task: TaskFamily,
    episodes: int,
    generator: torch.Generator,
    tick: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """Adapt to `episodes` support sets and answer their queries, each on its own.

    All normalisation statistics are those of `params`, or where it has none, as before any training, those of the supports.
    Where the readout alone adapts to pictures shown without randomness, each picture is embedded once and reused.

    Args:
        learner, params: what is judged.
        task: where the episodes come from.
        episodes: how many.
        generator: source of the episodes.
        tick: called with the number of episodes done and of all.
    Raises:
        UserError: if adaptation diverged in any episode.
    """
    with learner.arithmetic():
        return _evaluated(learner, learner.placed(params), task, episodes, generator, tick or (lambda done, of: None))


def _evaluated(
    learner: Learner, params: Params, task: TaskFamily, episodes: int, generator: torch.Generator, tick: Callable[[int, int], None]
) -> Evaluated:
    activity = _activity(_whole(learner), params, task, torch.Generator().manual_seed(generator.initial_seed()))
    shown = sum(data.y.shape[1] for data in task.sample(torch.Generator(), 1))
    learner = learner._replace(redeal=False)
    judged, family, at_once = learner, task, max(1, EXAMPLES_AT_ONCE // shown)
    same_each_time = learner.plasticity.readout_only and learner.encoder.fixed and not activity.measures
    if same_each_time and isinstance(task, ImageClasses) and shown * episodes > task.count and not _in_time(learner.network.split()[1]):
        body, head = learner.network.split()
        family, at_once = task.embedded(lambda x: _embedding(learner, body, params, x, generator)), 50
        judged = learner._replace(network=head, encoder=Direct(1))
    after, before, zeroed = [], [], []
    for start in range(0, episodes, at_once):
        drawn = judged.encode(family.sample(generator, min(at_once, episodes - start)), generator)
        outcome = outcomes(judged, Learner.adapt, params, drawn)
        if not bool(outcome.finite.all()):
            why = trouble(judged, params, drawn, outcome.finite) or "weights that are not finite; train again with a lower inner rate"
            raise UserError(f"adaptation failed: {why}")
        after.append(_score(outcome, drawn.query.y).cpu())
        before.append(_before(judged, params, drawn, activity.writes).cpu())
        if not learner.plasticity.readout_only and activity.adapts:
            zeroed.append(_score(outcomes(judged, _readout_only, params, drawn), drawn.query.y).cpu())
        tick(min(start + at_once, episodes), episodes)
    size = sum(value.numel() for value in params.values())
    kept = torch.cat(zeroed) if zeroed else None
    return Evaluated(torch.cat(after), torch.cat(before), kept, activity.spikes, activity.rates, size)


def _in_time(head: Any) -> bool:
    """Whether neurons or the time average follow the readout, so that its features are a window in time."""
    return any(isinstance(layer, Spiking | TimeAverage) for _, layer in head.layers)


class _Activity(NamedTuple):
    spikes: float
    rates: dict[str, float]
    adapts: bool
    measures: bool
    writes: bool


def _activity(learner: Learner, params: Params, task: TaskFamily, generator: torch.Generator) -> _Activity:
    """Spikes of adapted networks over a few episodes."""
    records, adapts, measures, writes = [], False, False, False
    for _ in range(5):
        adapted, record = _shown(learner, params, _first(learner.encode(task.sample(generator, 1), generator)))
        records.append(record)
        adapts, measures, writes = bool(adapted.fast), bool(adapted.statistics), _writes(adapted, params)
    layers = list(records[0].v)
    queries = sum(r.output.shape[0] for r in records)
    spikes = sum(float(_sent(r.z[name]).sum()) for r in records for name in layers) / queries
    rates = {name: sum(float(_sent(r.z[name]).mean()) for r in records) / len(records) for name in layers}
    return _Activity(spikes, rates, adapts, measures, writes)


def _sent(z: torch.Tensor) -> torch.Tensor:
    """1 where something was sent: a spike, or a graded message of any size."""
    return (z != 0).to(z)


def _first(episodes: Episode) -> Episode:
    return tree_map(lambda x: x[0], episodes)


def _shown(learner: Learner, params: Params, episode: Episode) -> tuple[Adapted, Record]:
    """Adapt to one episode's support and show its queries."""
    adapted = learner.adapt(params, episode.support)
    weights = {**params, **adapted.statistics, **adapted.fast}
    return adapted, learner.network.run(weights, learner.network.signal(episode.query.x))


def _writes(adapted: Adapted, params: Params) -> bool:
    """Whether the rule writes the readout, which then is empty before it."""
    return f"{READOUT}.weight" in adapted.fast and f"{READOUT}.weight" not in params


def _whole(learner: Learner) -> Learner:
    """The learner with its network run in one piece: only then is there a time course to look at."""
    return learner._replace(network=whole(learner.network))


def _embedding(learner: Learner, body: Network, params: Params, x: Tensor, generator: torch.Generator) -> Tensor:
    """Features of pictures, back on the CPU, where episodes are drawn."""
    return body.run(params, body.signal(learner.encoder.encode(x, generator).to(learner.device))).output.cpu()


def _before(learner: Learner, params: Params, episodes: Episode, unwritten: bool) -> Tensor:
    """Accuracy with the slow weights alone; where no readout is written yet every class ties, so the guess is right once in `ways`.

    In a regression such a readout says zero.
    """
    y = episodes.query.y
    if unwritten and regression(y):
        return y.square().flatten(1).mean(1)
    if unwritten:
        ways = int(episodes.support.y.max()) + 1
        return torch.full((len(episodes.support.y),), 1 / ways)
    return _score(outcomes(learner, _nothing, params, episodes), y)


def _score(outcome: Measures, y: Tensor) -> Tensor:
    """What an episode is judged by: accuracy, or the squared error of a regression."""
    return outcome.loss if regression(y) else outcome.accuracy


def _nothing(learner: Learner, slow: Params, support: Data) -> Adapted:
    return learner.adapt(slow, support)._replace(fast={})


def _readout_only(learner: Learner, slow: Params, support: Data) -> Adapted:
    adapted = learner.adapt(slow, support)
    return adapted._replace(fast=select(adapted.fast, (f"{READOUT}.*",)))


@torch.no_grad()
def portrait(learner: Learner, params: Params, task: TaskFamily, generator: torch.Generator) -> dict:
    """One episode to be drawn, as NumPy arrays.

    Returns:
        `support_x`, `support_y`, `query_x`, `query_y`; `predicted` and `predicted_before` classes of the queries, or values of a
        regression; for the first query `raster/<layer>` (time, neurons) of each spiking layer, `layers` and their `rates` in percent
        over all queries.
    """
    params = learner.placed(params)
    raw = task.sample(generator, 1)
    episode = _first(learner.encode(raw, generator))
    learner = _whole(learner)
    adapted, record = _shown(learner, params, episode)
    before = torch.zeros_like(_answer(record, episode))
    if not _writes(adapted, params):
        shown = learner.network.signal(episode.query.x)
        before = _answer(learner.network.run({**params, **adapted.statistics}, shown), episode)
    layers = list(record.v)
    arrays = {
        "support_x": raw.support.x[0],
        "support_y": raw.support.y[0],
        "query_x": raw.query.x[0],
        "query_y": raw.query.y[0],
        "predicted": _answer(record, episode),
        "predicted_before": before,
        "rates": torch.tensor([100 * float(_sent(record.z[name]).mean()) for name in layers]),
        **{f"raster/{name}": _sent(record.z[name][:, 0]).flatten(1).to(torch.uint8) for name in layers},
    }
    return {**{name: value.cpu().numpy() for name, value in arrays.items()}, "layers": np.array(layers, dtype=str)}


def _answer(record: Record, episode: Episode) -> Tensor:
    """What the network says of each query: a class, or the values of a regression."""
    return record.output if regression(episode.query.y) else record.output.argmax(-1)
