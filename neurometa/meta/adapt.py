"""The same computation over many tasks, in the fastest of three forms; the caller cannot tell which.

- the readout alone adapts: everything before it runs once, for the examples of all tasks together
- the network declares itself `vmappable`: one vmap over tasks (dense weights of each task become one batched product)
- otherwise one task after another (convolutions on CPU), whose gradients are added up as they come
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.meta.learner import Learner, has_time
from neurometa.types import Adapted, Data, Episode, Measures, Params, Record

Adapt = Callable[[Learner, Params, Data], Adapted]
"""One task's adaptation: the only thing an outer loop sees of a plasticity."""


def over_tasks(function: Callable[[Episode], Any], episodes: Episode, vmappable: bool) -> Any:
    """Apply a function of one episode to each of a batch and stack what it returns, a tree of tensors."""
    if vmappable:
        return torch.func.vmap(function, randomness="different")(episodes)
    results = [function(tree_map(lambda x, i=i: x[i], episodes)) for i in range(episodes.support.y.shape[0])]
    return tree_map(lambda *values: torch.stack(values), *results)


def outcomes(learner: Learner, adapt: Adapt, slow: Params, episodes: Episode) -> Measures:
    """Adapt to each encoded episode's support and judge on its queries; every tensor has a leading task axis."""
    statistics: Params = {}
    if learner.plasticity.readout_only:
        learner, statistics, episodes = _embedded(learner, slow, episodes)
    if learner.redeal:
        episodes = redealt(episodes, has_time(learner.network, episodes.support.x))
    each = over_tasks(lambda episode: _one(learner, adapt, slow, episode), episodes, learner.network.vmappable)
    spread = {name: value.expand(len(each.loss), *value.shape) for name, value in statistics.items()}
    return each._replace(statistics={**spread, **each.statistics})


def loss_gradient(learner: Learner, adapt: Adapt, slow: Params, episodes: Episode, still: Params) -> tuple[Measures, Params]:
    """Mean outcome over tasks, and the gradient of its loss with respect to every slow parameter; `still` are parameters of no gradient."""
    together = learner.plasticity.readout_only or learner.network.vmappable
    parts = [episodes] if together else [tree_map(lambda x, i=i: x[i : i + 1], episodes) for i in range(len(episodes.support.y))]

    leaves = {name: value.detach().requires_grad_() for name, value in slow.items()}

    def one(part: Episode) -> tuple[Measures, Params]:
        mean = averaged(outcomes(learner, adapt, {**leaves, **still}, part))
        gradient = torch.autograd.grad(mean.loss, list(leaves.values()), materialize_grads=True)  # not torch.func's, which keeps its graph
        return tree_map(Tensor.detach, mean), dict(zip(leaves, gradient, strict=True))

    return tree_map(lambda *values: sum(values) / len(parts), *map(one, parts))


def redealt(episodes: Episode, timed: bool = False) -> Episode:
    """Deal the same examples again and again into other tasks: more tasks from one embedding.

    With n tasks, s shots and q queries a class, there are n (s + q) // s deals of n tasks each. Within a class, examples
    d s .. d s + s - 1 are support and the others query; between tasks, class j of new task t is class j of old task (t + g j) mod n.
    Examples lie class by class, as a task family samples them. For training only: what is query here is support there, and where two
    of the tasks happen to hold the same class, a dealt task can hold it twice under two labels.

    Args:
        episodes: encoded; every tensor has a leading task axis, then examples.
        timed: whether a time axis lies between these two in `x`.
    Source:
        All pairs of an episode carry signal: Laenen & Bertinetto 2021, arXiv:2012.09831.
    """
    tasks, ways = len(episodes.support.y), int(episodes.support.y.max()) + 1
    shots = episodes.support.y.shape[1] // ways
    slot = torch.arange(ways)
    groups = [(torch.arange(tasks).unsqueeze(1) + g * slot) % tasks for g in range(tasks)]

    def dealt(support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        examples = torch.cat([part.unflatten(1, (ways, -1)) for part in (support, query)], dim=2)
        examples = torch.cat([examples[group, slot] for group in groups])
        rolled = torch.cat([examples.roll(-first, 2) for first in range(0, examples.shape[2] - shots + 1, shots)])
        return rolled[:, :, :shots].flatten(1, 2), rolled[:, :, shots:].flatten(1, 2)

    last = 2 if timed else 1
    xs = (x.movedim(1, last) for x in dealt(*(data.x.movedim(last, 1) for data in episodes)))
    ys = dealt(*(data.y for data in episodes))
    return Episode(*(Data(x, y) for x, y in zip(xs, ys, strict=True)))


def averaged(outcome: Measures) -> Measures:
    """Mean over the leading task axis; of a truth value, the share of tasks where it holds."""
    return tree_map(lambda x: (x.to(outcome.loss) if x.dtype == torch.bool else x).mean(0), outcome)


def measured(learner: Learner, slow: Params, episodes: Episode) -> Params:
    """Normalisation statistics of the unadapted network on the supports of all tasks together; queries are not looked at."""
    return _shown(learner.network, slow, episodes.support).statistics


def _one(learner: Learner, adapt: Adapt, slow: Params, episode: Episode) -> Measures:
    return learner.outcome(slow, adapt(learner, slow, episode.support), episode.query)


def _embedded(learner: Learner, slow: Params, episodes: Episode) -> tuple[Learner, Params, Episode]:
    """The readout as a learner of its own, and the episodes as features; the queries are normalised by the supports' statistics."""
    body, head = learner.network.split()
    support = _shown(body, slow, episodes.support)
    query = _shown(body, {**slow, **support.statistics}, episodes.query)
    features = Episode(*(_features(head, *part) for part in ((support, episodes.support), (query, episodes.query))))
    return learner._replace(network=head), support.statistics, features


def _shown(body: Any, params: Params, data: Data) -> Record:
    """The examples of all tasks as one batch."""
    x = data.x.movedim(1, 0).flatten(1, 2) if has_time(body, data.x) else data.x.flatten(0, 1)
    return body.run(params, body.signal(x))


def _features(head: Any, record: Record, data: Data) -> Data:
    """What the readout is given, task by task: untimed, or where neurons follow the readout, as a window."""
    if record.output.ndim > len(head.shape) + 1:
        return data._replace(x=record.output.unflatten(1, data.y.shape[:2]).movedim(0, 1))
    return data._replace(x=record.output.unflatten(0, data.y.shape[:2]))
