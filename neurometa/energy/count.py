"""Exact counts of one simulated run, from its record: per layer and sample. It reads the record and changes nothing."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.energy.counts import Counts, joined
from neurometa.energy.spikes import Spikes, held, timed
from neurometa.energy.stage import INPUT, Stage
from neurometa.types import Params, Record, Signal


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


@torch.no_grad()
def observe(stages: tuple[Stage, ...], params: Params, x: Signal, record: Record) -> Observation:
    """Count what a run did.

    What synapses carry decides what is counted. Spikes are events, at each of their synapses. Values (of pictures that are not binary, or
    of neurons that only accumulate) are multiplied once: by a conventional network as always, for a spiking one by its host.

    Args:
        stages: the network's, see `stage.stages`.
        params: parameters it ran with; a weight of exactly zero is no effective operation.
        x: what it was shown.
        record: what it left behind.
    """
    spiking = bool(record.v)
    steps = next(iter(record.v.values())).shape[0] if spiking else 1
    samples = x.values.shape[1 if x.timed else 0]
    sent = {INPUT: x, **{name: Signal(z, spiking) for name, z in record.z.items()}}
    levels = {stage.population: stage.threshold for stage in stages}
    fired = {name: timed(z, record.v[name], levels.get(name)) for name, z in record.z.items()} if spiking else {}
    if spiking and _binary(x.values):
        fired[INPUT] = timed(x.values) if x.timed else held(x.values, steps)
    late = {(stage.source, stage.late) for stage in stages if stage.late and stage.source in fired}
    arriving = {(name, 0): spikes for name, spikes in fired.items()} | {(name, n): timed(record.z[name][:-n]) for name, n in late}
    layers = {}
    for stage in stages:
        weight, source = params[stage.weight], arriving.get((stage.source, stage.late))
        counts = (
            _products(stage, weight, sent.get(stage.source), samples, spiking) if source is None else _events(stage, weight, source, steps)
        )
        again = stage.kind == "recurrent"  # its neurons were counted with the synapses from elsewhere
        layers[stage.name] = counts if again else _lived(stage, counts, spiking, fired.get(stage.population), steps)
    firing = {name: spikes.by_neuron / samples for name, spikes in fired.items()}
    return Observation(layers, firing, steps, samples, spiking)


def together(parts: list[Observation]) -> Observation:
    """Observations of the same network on several batches, as one."""
    first, samples = parts[0], sum(part.samples for part in parts)
    layers = {name: joined([part.layers[name] for part in parts]) for name in first.layers}
    firing = {name: sum((part.firing[name] * (part.samples / samples) for part in parts), torch.zeros(())) for name in first.firing}
    return Observation(layers, firing, first.steps, samples, first.spiking)


def _binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _events(stage: Stage, weight: Tensor, fired: Spikes, steps: int) -> Counts:
    """Synapses that carry spikes."""
    inputs = _through_pools(stage, fired)
    arriving = (inputs if stage.maximum == "before" else fired).by_position
    events, spikes = arriving @ stage.fan_out * stage.shape[0], arriving @ (stage.fan_out > 0).double()
    effective, none = _effective(stage, weight, inputs), torch.zeros_like(events)
    accumulates = all(pool.kind == "max" for pool in stage.pools)  # what average pooling leaves is no 0 or 1, as NeuroBench sees it
    return _zeros(len(events))._replace(
        input_spikes=spikes,
        synaptic_events=events,
        dense_macs=torch.full_like(events, stage.macs * steps),
        effective_acs=effective if accumulates else none,
        effective_macs=none if accumulates else effective,
        weight_reads=events,
        state_reads=events,
        state_writes=events,
        activation_reads=spikes,
    )


def _products(stage: Stage, weight: Tensor, source: Signal | None, samples: int, spiking: bool) -> Counts:
    """Synapses that carry values, multiplied once, or at every step of a timed input.

    Of a timed input, and of neurons that only accumulated, none is taken to be zero.
    """
    times = len(source.values) if source is not None and source.timed else 1
    dense = torch.full((samples,), stage.macs * times, dtype=torch.float64)
    if source is None or source.timed:
        effective = dense * (torch.count_nonzero(weight).double() / weight.numel())
    else:
        inputs = _through_pools(stage, timed(source.values.unsqueeze(0)))
        effective = _effective(stage, weight, inputs)
    accessed = {} if spiking else {"weight_reads": dense, "activation_reads": dense}
    return _zeros(samples)._replace(dense_macs=dense, effective_macs=effective, host_macs=dense * spiking, **accessed)


def _lived(stage: Stage, arriving: Counts, spiking: bool, fired: Spikes | None, steps: int) -> Counts:
    """Add what the neurons did: those that fire as recorded, those that only accumulate once a step, unless the host is in their place."""
    samples = len(arriving.dense_macs)  # type: ignore[arg-type]
    neurons = torch.full((samples,), stage.neurons, dtype=torch.float64)
    if not spiking:
        return arriving._replace(activation_writes=neurons)
    if fired is None:
        by_host = bool((arriving.host_macs > 0).any())  # type: ignore[union-attr]
        return arriving if by_host else _updated(arriving, neurons * steps, torch.zeros_like(neurons), torch.zeros_like(neurons))
    changed = neurons + fired.changed
    return _updated(arriving, changed, neurons * steps - changed, fired.by_position.sum(1))


def _updated(arriving: Counts, active: Tensor, inactive: Tensor, spikes: Tensor) -> Counts:
    return arriving._replace(
        neuron_updates_active=active,
        neuron_updates_inactive=inactive,
        spikes=spikes,
        activation_writes=spikes,
        state_reads=arriving.state_reads + active + inactive,
        state_writes=arriving.state_writes + active + inactive,
    )


def _through_pools(stage: Stage, x: Spikes) -> Spikes:
    """What is not zero behind the pools: an average or a sum of numbers from 0 up is zero where all of them are."""
    for pool in stage.pools:
        x = x.pooled(pool.size)
    return x


def _effective(stage: Stage, weight: Tensor, inputs: Spikes) -> Tensor:
    """Products of an input that is not zero with a weight that is not, (samples,), float64."""
    if torch.count_nonzero(weight) == weight.numel():
        return inputs.by_position @ stage.products * stage.shape[0]
    kept = weight != 0
    if stage.kind != "conv":
        return inputs.counted().flatten(1) @ kept.sum(0).double()
    pad, outputs = stage.kernel // 2, (stage.taps.rows.shape[1], stage.taps.columns.shape[1])
    sizes = zip(stage.input_shape[1:], outputs, strict=True)
    rest = [n + 2 * pad - stage.kernel - (out - 1) * stage.stride for n, out in sizes]
    ones = torch.ones(1, len(weight), *outputs, dtype=torch.float64)
    targets = F.conv_transpose2d(ones, kept.double(), stride=stage.stride, padding=pad, output_padding=rest)
    return inputs.counted().flatten(1) @ targets.flatten()


def _zeros(samples: int) -> Counts:
    return Counts(*(torch.zeros(samples, dtype=torch.float64),) * len(Counts._fields))
