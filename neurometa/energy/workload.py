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
from neurometa.energy.count import Observation, observe, together
from neurometa.energy.counts import Counts, joined, means, plus, times, total
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
    shown, learnt, right, outputs = [], [], [], []
    plan: tuple[Stage, ...] = ()
    for done in range(episodes):
        support, query = tree_map(lambda x: x[0], learner.encode(task.sample(generator, 1), generator))
        adapted, runs = _adapted(learner, params, support)
        weights = {**params, **adapted.statistics, **adapted.fast}
        plan, signal = stages(learner.network, weights), learner.network.signal(query.x)
        record = learner.network.run(weights, signal)
        shown.append(observe(plan, weights, signal, record))
        learnt.append(_learning(learner, adapted, runs, support))
        right.append(task_accuracy(record.output, query.y).double())
        outputs.append(record.output)
        if tick:
            tick(done + 1, episodes)
    inference = _inference(learner, plan, together(shown))
    return Measured(inference, _adaptation(inference, learnt), float(torch.stack(right).mean()), torch.cat(outputs))


class _Run(NamedTuple):
    """A run inside the adaptation: what it was of, and what it did."""

    plan: tuple[Stage, ...]
    seen: Observation


class _Learnt(NamedTuple):
    """One episode's adaptation; as `Workload` has it."""

    rule: str
    layers: dict[str, Counts]
    firing: dict[str, Tensor]
    windows: int
    runs: int
    passes: int
    alone: int


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


def _adapted(learner: Learner, params: Params, support: Data) -> tuple[Adapted, list[_Run]]:
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
    return adapted, [_counted(*run) for run in kept]


def _counted(network: Any, params: Params, x: Signal, record: Record) -> _Run:
    params, z, v = ({name: value.detach() for name, value in group.items()} for group in (params, record.z, record.v))
    plan = stages(network, params)
    return _Run(plan, observe(plan, params, Signal(x.values.detach(), x.timed), record._replace(z=z, v=v)))


def _inference(learner: Learner, plan: tuple[Stage, ...], seen: Observation) -> Workload:
    rule, readout = _rule(learner), learner.plasticity.readout_only
    weights = sum(stage.weights + (stage.kind != "recurrent") * stage.shape[0] for stage in plan)
    return Workload("inference", rule, seen.spiking, readout, plan, seen.layers, seen.firing, seen.steps, 1, 1, weights)


def _adaptation(inference: Workload, learnt: list[_Learnt]) -> Workload:
    """The episodes' adaptations as one workload; layers that a rule never runs are left out."""
    names = learnt[0].layers
    layers = {name: joined([one.layers[name] for one in learnt]) for name in names}
    firing = {name: sum((one.firing[name] for one in learnt), torch.zeros(())) / len(learnt) for name in learnt[0].firing}
    means = {what: sum(getattr(one, what) for one in learnt) / len(learnt) for what in ("windows", "runs", "passes", "alone")}
    return inference._replace(phase="adaptation", rule=learnt[0].rule, layers=layers, firing=firing, **means)


def _learning(learner: Learner, adapted: Adapted, runs: list[_Run], support: Data) -> _Learnt:
    """Count one adaptation: its runs, and the rule's own work. Nothing was written: nothing needs to be done."""
    rule = _rule(learner) if adapted.fast else "none"
    if rule == "none":
        return _Learnt(rule, {LEARNING: _one(Counts())}, {}, 0, 0, 0, 0)
    layers: dict[str, Counts] = {}
    firing: dict[str, Tensor] = {}
    spiking, again = any(run.seen.spiking for run in runs), _again(learner.plasticity)
    for run in runs:
        for name, once in _summed(run, adapted.fast, rule, spiking).items():
            counts = times(once, again)
            layers[name] = plus(layers[name], counts) if name in layers else counts
        for name, mean in run.seen.firing.items():
            firing[name] = firing.get(name, torch.zeros(())) + mean * (run.seen.samples * again)
    counted = [run for run in runs if run.plan and run.seen.spiking == spiking]
    windows = again * sum(run.seen.samples for run in counted)
    work = _work(rule, adapted, support, learner)
    if isinstance(learner.plasticity, EProp):
        steps = sum(run.seen.samples * run.seen.steps for run in counted)
        work = eprop.work(learner.plasticity, learner.network, runs[0].plan, adapted.fast, steps)  # type: ignore[arg-type]
    passes, alone = (
        again * sum(1 + (rule == "gradient" and any(stage.weight in adapted.fast for stage in run.plan)) for run in some)
        for some in (counted, [run for run in runs if run.plan and run.seen.spiking != spiking])
    )
    return _Learnt(rule, {**layers, LEARNING: _one(work)}, firing, windows, again * len(counted), passes, alone)


def _again(rule: Any) -> int:
    """How often a rule that learns step by step shows the support set: its passes, or its trials. It keeps no window to look back on."""
    return rule.trials if isinstance(rule, RewardModulated) else rule.passes if isinstance(rule, STDP | SOEL) else 1


def _summed(run: _Run, fast: Params, rule: str, spiking: bool) -> dict[str, Counts]:
    """A run's counts over its examples; with the products of its backward pass, down to the first layer whose weights move."""
    moving = [stage.weight in fast for stage in run.plan]
    first = moving.index(True) if any(moving) else len(moving)
    found = {}
    for i, stage in enumerate(run.plan):
        counts = Counts(*torch.stack(list(run.seen.layers[stage.name])).sum(1, keepdim=True))  # type: ignore[arg-type]
        if spiking and not run.seen.spiking:  # a readout on counted spikes or summed currents: the host's
            zero = torch.zeros(1, dtype=torch.float64)
            counts = counts._replace(host_macs=counts.dense_macs, weight_reads=zero, activation_reads=zero, activation_writes=zero)
        if rule == "gradient":
            back = i > first or (i == first and stage.kind == "recurrent")  # through recurrent synapses it goes back in time
            counts = counts._replace(backward_macs=counts.dense_macs * (moving[i] + back))
        found[stage.name] = counts
    return found


def _work(rule: str, adapted: Adapted, support: Data, learner: Learner) -> Counts:
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


def _one(counts: Counts) -> Counts:
    return Counts(*(torch.tensor([float(x)], dtype=torch.float64) for x in counts))
