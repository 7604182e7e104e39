"""Exact counts of simulated runs, from their records: per layer and sample. It reads the records and changes nothing.

In two steps, because counting must cost little beside the runs: `look` reads a record and keeps five numbers of each layer and sample,
`counted` makes counts of as many such as there are.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.energy.counts import Counts
from neurometa.energy.spikes import Spikes, held, nonzero, present, timed
from neurometa.energy.stage import INPUT, Stage
from neurometa.types import Params, Record, Signal


class Seen(NamedTuple):
    """One stage in one run; tensors of (samples,), float64, where nothing else is said.

    Attributes:
        arrived: synaptic events, and spikes with at least one synapse, (2, samples); None where values arrive, which are no events.
        products: how often the weights are multiplied, zeros included; a number.
        effective: those of an input that is not zero with a weight that is not.
        spikes, changed: of the population: spikes, and neuron-steps in which a potential changed; None where it only accumulates, or was
            counted with another stage.
    """

    arrived: Tensor | None
    products: int
    effective: Tensor
    spikes: Tensor | None = None
    changed: Tensor | None = None


class Sight(NamedTuple):
    """What `look` keeps of a run: `stages` in their order, `firing` as sums over samples, the rest as `Observation` has it."""

    stages: tuple[Seen, ...]
    firing: dict[str, Tensor]
    steps: int
    samples: int
    spiking: bool


class Observation(NamedTuple):
    """What was done with some examples.

    Attributes:
        layers: counts by stage, every field a tensor (samples,).
        firing: mean number of spikes of each neuron in a window, (channels, positions) by population; empty for a conventional network.
        steps: time steps of the window; 1 for a conventional network.
        samples: how many examples were shown.
        spiking: whether the neurons spike.
    """

    layers: dict[str, Counts]
    firing: dict[str, Tensor]
    steps: int
    samples: int
    spiking: bool


def observe(stages: tuple[Stage, ...], params: Params, x: Signal, record: Record) -> Observation:
    """Count what one run did; for the arguments see `look`."""
    return counted(stages, [look(stages, params, x, record)])


@torch.no_grad()
def counted(stages: tuple[Stage, ...], sights: list[Sight]) -> Observation:
    """Counts of several runs of one network, their samples one after another."""
    spiking, steps, samples = sights[0].spiking, sights[0].steps, sum(sight.samples for sight in sights)
    layers = {stage.name: _counts(stage, [sight.stages[i] for sight in sights], sights) for i, stage in enumerate(stages)}
    firing: dict[str, Tensor] = {}
    for sight in sights:
        for name, fired in sight.firing.items():
            if name in firing:
                firing[name] += fired
            else:
                firing[name] = fired.double()
    return Observation(layers, {name: fired.mT / samples for name, fired in firing.items()}, steps, samples, spiking)


def _counts(stage: Stage, seen: list[Seen], sights: list[Sight]) -> Counts:
    """One stage's counts; `values` is 1 for a sample of which values arrived, and 0 where spikes did."""
    steps, spiking, sizes = sights[0].steps, sights[0].spiking, [sight.samples for sight in sights]
    effective = torch.cat([one.effective for one in seen])
    each = torch.tensor([(stage.macs * one.products, one.arrived is None) for one in seen], dtype=torch.float64)
    dense, values = each.repeat_interleave(torch.tensor(sizes), 0).T
    none = torch.zeros_like(dense)
    nothing = {size: none.new_zeros(2, size) for size in sizes}
    arrived = [nothing[size] if one.arrived is None else one.arrived for one, size in zip(seen, sizes, strict=True)]
    events, spikes = torch.cat(arrived, 1)
    accumulates = all(pool.kind == "max" for pool in stage.pools)  # what average pooling leaves is no 0 or 1, as NeuroBench sees it
    acs = effective * (1 - values) * accumulates
    counts = Counts(*(none,) * len(Counts._fields))._replace(
        input_spikes=spikes,
        synaptic_events=events,
        dense_macs=dense,
        effective_macs=effective - acs,
        effective_acs=acs,
        host_macs=dense * values * spiking,
        weight_reads=events if spiking else dense,
        state_reads=events,
        state_writes=events,
        activation_reads=spikes if spiking else dense,
    )
    neurons = torch.full_like(dense, stage.neurons)
    if not spiking:
        return counts._replace(activation_writes=neurons)
    return counts if stage.kind == "recurrent" else _lived(counts, neurons, seen, steps, values)


def _lived(counts: Counts, neurons: Tensor, seen: list[Seen], steps: int, values: Tensor) -> Counts:
    """Add what the neurons did: those that fire as recorded, those that only accumulate once a step, unless the host is in their place."""
    if seen[0].spikes is None:
        return _updated(counts, neurons * steps * (1 - values), torch.zeros_like(neurons), torch.zeros_like(neurons))
    spikes, changed = (torch.cat([getattr(one, what) for one in seen]) for what in ("spikes", "changed"))
    return _updated(counts, neurons + changed, neurons * (steps - 1) - changed, spikes)


def _updated(counts: Counts, active: Tensor, inactive: Tensor, spikes: Tensor) -> Counts:
    return counts._replace(
        neuron_updates_active=active,
        neuron_updates_inactive=inactive,
        spikes=spikes,
        activation_writes=spikes,
        state_reads=counts.state_reads + active + inactive,
        state_writes=counts.state_writes + active + inactive,
    )


@torch.no_grad()
def look(stages: tuple[Stage, ...], params: Params, x: Signal, record: Record, full: Params | None = None) -> Sight:
    """Read what a run did.

    What synapses carry decides what is counted. Spikes are events, at each of their synapses. Values (of pictures that are not binary, or
    of neurons that only accumulate) are multiplied once: by a conventional network as always, for a spiking one by its host.

    Args:
        stages: the network's, see `stage.stages`.
        params: parameters it ran with; a weight of exactly zero is no effective operation.
        x: what it was shown.
        record: what it left behind.
        full: weights without a zero, as `without_zeros` found them: where they are the very ones of `params`, nobody looks again.
    """
    spiking = bool(record.v)
    steps = next(iter(record.v.values())).shape[0] if spiking else 1
    sent = {INPUT: x, **{name: Signal(z, spiking) for name, z in record.z.items()}}
    levels = {stage.population: stage.threshold for stage in stages}
    pools = {stage.source: stage.pools for stage in stages if stage.kind != "recurrent"}
    fired = {}
    if spiking:
        fired = {name: timed(z, pools.get(name, ()), record.v[name], levels.get(name)) for name, z in record.z.items()}
        if _binary(x.values):
            fired[INPUT] = timed(x.values, pools.get(INPUT, ())) if x.timed else held(x.values, steps, pools.get(INPUT, ()))
    late = {(stage.source, stage.late): stage for stage in stages if stage.late and stage.source in fired}
    arriving = {(name, 0): spikes for name, spikes in fired.items()}
    arriving |= {(name, n): timed(record.z[name][:-n], stage.pools) for (name, n), stage in late.items()}
    samples = x.values.shape[1 if x.timed else 0]
    seen = []
    for stage in stages:
        weight, spikes = params[stage.weight], arriving.get((stage.source, stage.late))
        dense = (full or {}).get(stage.weight) is weight or _full(weight)
        one = (
            _values(stage, weight, dense, sent.get(stage.source), samples)
            if spikes is None
            else _events(stage, weight, dense, spikes, steps)
        )
        neurons = None if stage.kind == "recurrent" else fired.get(stage.population)  # they were counted with the synapses from elsewhere
        seen.append(one if neurons is None else one._replace(spikes=neurons.total, changed=neurons.changed))
    return Sight(tuple(seen), {name: spikes.by_neuron for name, spikes in fired.items()}, steps, samples, spiking)


def without_zeros(params: Params) -> Params:
    """Those parameters that hold no zero."""
    return {name: value for name, value in params.items() if _full(value)}


def _full(weight: Tensor) -> bool:
    return bool((_array(weight) != 0).all())  # four times as fast as counting them


def _events(stage: Stage, weight: Tensor, full: bool, arriving: Spikes, steps: int) -> Seen:
    """Synapses that carry spikes."""
    source = arriving.behind if stage.maximum == "before" else arriving.by_position
    return Seen(stage.arriving @ source.mT, steps, _effective(stage, weight, full, arriving.behind, arriving))


def _values(stage: Stage, weight: Tensor, full: bool, source: Signal | None, samples: int) -> Seen:
    """Synapses that carry values, multiplied once, or at every step of a timed input.

    Of a timed input, and of neurons that only accumulated, none is taken to be zero: no number is kept of them.
    """
    if source is not None and not source.timed:
        return Seen(None, 1, _effective(stage, weight, full, present(source.values, stage.pools), source.values))
    times = 1 if source is None else len(source.values)
    kept = 1.0 if full else float(torch.count_nonzero(weight)) / weight.numel()
    return Seen(None, times, torch.full((samples,), stage.macs * times * kept, dtype=torch.float64))


def _effective(stage: Stage, weight: Tensor, full: bool, behind: Tensor, source: Spikes | Tensor) -> Tensor:
    """Products of an input that is not zero with a weight that is not; `behind` the pools, as many channels of a position."""
    if full:
        return behind @ stage.products
    inputs = source.counted() if isinstance(source, Spikes) else nonzero(source, stage.pools)
    kept = weight != 0
    if stage.kind != "conv":
        return inputs.flatten(1) @ kept.sum(0).double()
    pad, outputs = stage.kernel // 2, (stage.taps.rows.shape[1], stage.taps.columns.shape[1])
    sizes = zip(stage.input_shape[1:], outputs, strict=True)
    rest = [n + 2 * pad - stage.kernel - (out - 1) * stage.stride for n, out in sizes]
    ones = torch.ones(1, len(weight), *outputs, dtype=torch.float64)
    targets = F.conv_transpose2d(ones, kept.double(), stride=stage.stride, padding=pad, output_padding=rest)
    return inputs.flatten(1) @ targets.flatten()


def _binary(x: Tensor) -> bool:
    values = _array(x)  # several times as fast
    return bool(((values == 0) | (values == 1)).all())


def _array(x: Tensor) -> np.ndarray:
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # NumPy knows no bfloat16
