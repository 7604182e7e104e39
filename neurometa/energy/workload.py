"""What inference and adaptation do, over episodes: every episode is adapted to and answered, and each run on the way is counted."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.core.loss import task_accuracy
from neurometa.core.network import READOUT, Stack
from neurometa.core.segments import Segmented
from neurometa.energy import eprop
from neurometa.energy.count import Observation, Sight, counted, look, without_zeros
from neurometa.energy.counts import Counts, means, plus, times, total
from neurometa.energy.stage import Stage, stages
from neurometa.errors import UserError
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.prototype import Prototype
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP
from neurometa.types import Adapted, Data, Params, Record, Signal, TaskFamily

LEARNING = "learning"
"""Name under which the rule's own work stands among the layers."""


class Workload(NamedTuple):
    """One phase, counted.

    Attributes:
        phase: "inference": one query; "adaptation": one support set.
        rule: how weights move: "none", "gradient", "closed-form", or "local" (each step, at each synapse).
        spiking: whether the neurons spike.
        readout_only: whether only the readout's weights move.
        stages: of the adapted network.
        layers: counts by stage and, for adaptation, `learning`; one entry a sample: a query, or an episode.
        firing: mean spikes of each neuron in one sample, (channels, positions) by population.
        steps: time steps of a window.
        windows: examples shown in a sample: 1, or those of all runs while adapting.
        runs: in how many batches they were shown.
        weights: numbers that the network stores, and that the rule writes.
        passes: through the network, forward and backward: a backward one for each run in which a weight takes a gradient.
        alone: passes of a readout by itself, on what a spiking network before it had sent.
    """

    phase: str
    rule: str
    spiking: bool
    readout_only: bool
    stages: tuple[Stage, ...]
    layers: dict[str, Counts]
    firing: dict[str, Tensor]
    steps: int
    windows: float
    runs: float
    weights: int
    passes: float = 1
    alone: float = 0

    @property
    def total(self) -> Counts:
        """Mean over samples, summed over layers."""
        return total([means(counts) for counts in self.layers.values()])

    @property
    def samples(self) -> int:
        """Over how many it was counted."""
        return len(next(iter(self.layers.values())).dense_macs) if self.layers else 0  # type: ignore[arg-type]


class Measured(NamedTuple):
    """Both phases of a learner, and how it did: `outputs` of every query, for whoever wants to see that counting changed nothing."""

    inference: Workload
    adaptation: Workload
    accuracy: float
    outputs: Tensor


@torch.no_grad()
def measure(
    learner: Learner,
    params: Params,
    task: TaskFamily,
    episodes: int,
    generator: torch.Generator,
    tick: Callable[[int, int], None] | None = None,
) -> Measured:
    """Adapt to `episodes` support sets one by one, answer their queries, and count both.

    A rule that moves the readout alone shows each support example to the rest of the network once.

    Args:
        learner, params: what is measured.
        task: where the episodes come from.
        episodes: how many.
        generator: source of the episodes.
        tick: called with the number of episodes done and of all.
    Raises:
        UserError: the network is not a row of layers, or holds one that cannot be counted.
    """
    if isinstance(learner.network, Segmented):
        learner = learner._replace(network=learner.network.stack)
    if not isinstance(learner.network, Stack):
        raise UserError(
            f"a network of kind {type(learner.network).__name__} cannot be counted: expected a row of layers, such as mlp or conv"
        )
    done: list[_Episode] = []
    full = without_zeros(params)
    for n in range(episodes):
        done.append(_episode(learner, params, full, *tree_map(lambda x: x[0], learner.encode(task.sample(generator, 1), generator))))
        if tick:
            tick(n + 1, episodes)
    plan = done[-1].plan
    inference = _inference(learner, plan, counted(plan, [one.shown for one in done]))
    adaptation = _adaptation(inference, [one.learnt for one in done], _again(learner.plasticity))
    outputs = torch.cat([one.output for one in done])
    return Measured(inference, adaptation, float(torch.stack([one.right for one in done]).mean()), outputs)


def _episode(learner: Learner, params: Params, full: Params, support: Data, query: Data) -> "_Episode":
    """Adapt, answer and look; records, which are large, are gone before the next episode."""
    adapted, runs = _adapted(learner, params, full, support)
    weights = {**params, **adapted.statistics, **adapted.fast}
    plan, signal = stages(learner.network, weights), learner.network.signal(query.x)  # type: ignore[arg-type]
    record = learner.network.run(weights, signal)
    learnt = _learning(learner, adapted, runs, support)
    return _Episode(plan, look(plan, weights, signal, record, full), learnt, task_accuracy(record.output, query.y).double(), record.output)


class _Run(NamedTuple):
    """A run inside the adaptation: what it was of, which of its stages have weights that move, and what it did."""

    plan: tuple[Stage, ...]
    moving: tuple[bool, ...]
    seen: Sight


class _Learnt(NamedTuple):
    """One episode's adaptation: its rule as `Workload` has it, its runs, and the rule's own work; nothing where nothing was written."""

    rule: str
    runs: list[_Run]
    work: Counts


class _Episode(NamedTuple):
    """An episode: the adapted network's stages, what it did when asked, how it had learnt, how many answers are right, and the answers."""

    plan: tuple[Stage, ...]
    shown: Sight
    learnt: _Learnt
    right: Tensor
    output: Tensor


class _Watched:
    """A network that keeps what its runs did. Everything else is the network's own."""

    def __init__(self, network: Any, kept: list[tuple[Any, Params, Signal, Record]]) -> None:
        self._network, self._kept = network, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def split(self) -> tuple["_Watched", "_Watched"]:
        """Both parts watched."""
        body, head = self._network.split()
        return _Watched(body, self._kept), _Watched(head, self._kept)

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Run, and keep the record to be counted when the derivatives are done."""
        record = self._network.run(params, x, state)
        self._kept.append((self._network, params, x, record))
        return record


def _adapted(learner: Learner, params: Params, full: Params, support: Data) -> tuple[Adapted, list[_Run]]:
    """Adapt to an encoded support set and count every run on the way."""
    kept: list[tuple[Any, Params, Signal, Record]] = []
    whole = _Watched(learner.network, kept)
    if isinstance(learner.plasticity, EProp):
        adapted = eprop.adapted(
            learner.plasticity,
            learner.network,  # type: ignore[arg-type]
            params,
            support,
            lambda weights, shown: whole.run(weights, whole.signal(shown.x)),
        )
    elif not learner.plasticity.readout_only:
        adapted = learner.plasticity.adapt(whole, params, support, support.noise or None)  # type: ignore[arg-type]
        if adapted.fast and not kept:  # a rule that steps through the layers by itself: it shows each example once
            whole.run(params, whole.signal(support.x))
    else:
        body, head = whole.split()
        record = body.run(params, body.signal(support.x))
        slow = {**params, **record.statistics}
        adapted = learner.plasticity.adapt(head, slow, support._replace(x=record.output), support.noise or None)  # type: ignore[arg-type]
        adapted = adapted._replace(statistics={**record.statistics, **adapted.statistics})
    return adapted, [_looked(adapted.fast, full, *run) for run in kept]


def _looked(fast: Params, full: Params, network: Any, params: Params, x: Signal, record: Record) -> _Run:
    plan = stages(network, params)
    weights = {stage.weight: _detached(params[stage.weight]) for stage in plan}
    z, v = ({name: _detached(value) for name, value in group.items()} for group in (record.z, record.v))
    moving = tuple(stage.weight in fast for stage in plan)
    return _Run(plan, moving, look(plan, weights, Signal(_detached(x.values), x.timed), record._replace(z=z, v=v), full))


def _detached(x: Tensor) -> Tensor:
    return x.detach() if x.requires_grad else x  # weights that stay themselves are known to `full`


def _inference(learner: Learner, plan: tuple[Stage, ...], seen: Observation) -> Workload:
    rule, readout = _rule(learner), learner.plasticity.readout_only
    weights = sum(stage.weights + (stage.kind != "recurrent") * stage.shape[0] for stage in plan)
    return Workload("inference", rule, seen.spiking, readout, plan, seen.layers, seen.firing, seen.steps, 1, 1, weights)


def _adaptation(inference: Workload, learnt: list[_Learnt], again: int) -> Workload:
    """The episodes' adaptations as one workload; layers that a rule never runs are left out."""
    rule, episodes = learnt[0].rule, len(learnt)
    work = Counts(*torch.tensor([one.work for one in learnt], dtype=torch.float64).T)
    spiking = any(run.seen.spiking for one in learnt for run in one.runs)
    alike: dict[tuple, list[tuple[int, _Run]]] = {}
    for i, one in enumerate(learnt):
        for run in one.runs:
            alike.setdefault((id(run.plan), run.moving, run.seen.spiking, run.seen.steps), []).append((i, run))
    layers: dict[str, Counts] = {}
    firing: dict[str, Tensor] = {}
    windows = runs = passes = alone = 0
    for some in alike.values():
        (_, first), sights = some[0], [run.seen for _, run in some]
        seen = counted(first.plan, sights)
        at = torch.tensor([i for i, _ in some]).repeat_interleave(torch.tensor([sight.samples for sight in sights]))
        for name, counts in _summed(first, seen, rule, spiking, at, episodes).items():
            layers[name] = plus(layers[name], times(counts, again)) if name in layers else times(counts, again)
        for name, mean in seen.firing.items():
            firing[name] = firing.get(name, torch.zeros(())) + mean * (seen.samples * again / episodes)
        passed = len(some) * (1 + (rule == "gradient" and any(first.moving)))
        if seen.spiking != spiking:
            alone += passed * bool(first.plan)
        elif first.plan:
            windows, runs, passes = windows + seen.samples, runs + len(some), passes + passed
    each = {name: again * n / episodes for name, n in {"windows": windows, "runs": runs, "passes": passes, "alone": alone}.items()}
    return inference._replace(phase="adaptation", rule=rule, layers={**layers, LEARNING: work}, firing=firing, **each)


def _learning(learner: Learner, adapted: Adapted, runs: list[_Run], support: Data) -> _Learnt:
    """One adaptation: its runs, and the rule's own work."""
    rule = _rule(learner)
    if not adapted.fast:
        return _Learnt("none", [], Counts())
    if isinstance(learner.plasticity, EProp):
        spiking = any(run.seen.spiking for run in runs)
        steps = sum(run.seen.samples * run.seen.steps for run in runs if run.plan and run.seen.spiking == spiking)
        work = eprop.work(learner.plasticity, learner.network, runs[0].plan, adapted.fast, steps)  # type: ignore[arg-type]
    else:
        work = _work(rule, adapted, support)
    return _Learnt(rule, runs, work)


def _again(rule: Any) -> int:
    """How often a rule that learns step by step shows the support set: its passes, or its trials. It keeps no window to look back on."""
    return rule.trials if isinstance(rule, RewardModulated) else rule.passes if isinstance(rule, STDP | SOEL) else 1


def _summed(run: _Run, seen: Observation, rule: str, spiking: bool, at: Tensor, episodes: int) -> dict[str, Counts]:
    """Counts of runs alike, summed into the episodes `at`; with the products of backward passes, down to the first layer that moves."""
    first = run.moving.index(True) if any(run.moving) else len(run.plan)
    found = {}
    for i, stage in enumerate(run.plan):
        zero = torch.zeros(episodes, dtype=torch.float64)
        counts = Counts(*(zero.index_add(0, at, x) for x in seen.layers[stage.name]))  # type: ignore[arg-type]
        if spiking and not seen.spiking:  # a readout on counted spikes or summed currents: the host's
            counts = counts._replace(host_macs=counts.dense_macs, weight_reads=zero, activation_reads=zero, activation_writes=zero)
        if rule == "gradient":
            back = i > first or (i == first and stage.kind == "recurrent")  # through recurrent synapses it goes back in time
            counts = counts._replace(backward_macs=counts.dense_macs * (run.moving[i] + back))
        found[stage.name] = counts
    return found


def _work(rule: str, adapted: Adapted, support: Data) -> Counts:
    """The rule's own operations, from the work that it reports."""
    updates, traces, signals = (float(x) for x in adapted.work)
    if rule == "gradient":
        return Counts(optimiser_macs=updates, trace_updates=traces, learning_signals=signals)
    if rule == "closed-form":
        written = adapted.fast[f"{READOUT}.weight"]
        added = len(support.y) * written.shape[1]  # every feature vector once into its class's sum
        scaled = 2 * written.numel()  # mean to weight, and its square into the bias
        return Counts(host_operations=added + scaled, weight_writes=updates, trace_updates=traces, learning_signals=signals)
    return Counts(synaptic_updates=updates, trace_updates=traces, learning_signals=signals)


def _rule(learner: Learner) -> str:
    if isinstance(learner.plasticity, BPTT):
        return "gradient"
    return "closed-form" if isinstance(learner.plasticity, Prototype) else "local"
