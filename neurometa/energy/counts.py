"""Counts: what was done, as numbers that add over layers, samples and phases."""

from typing import NamedTuple

from torch import Tensor

Number = float | Tensor


class Counts(NamedTuple):
    """What happened in one layer, or in all; plain numbers, or one entry a sample, shape (samples,).

    Attributes:
        input_spikes: spikes that arrive and have at least one synapse here.
        synaptic_events: each arriving spike times the synapses that it really has; a padded border has none.
        spikes: spikes that the neurons here send.
        neuron_updates_active: neuron-steps in which the potential changes; the first step of a window always counts. NeuroBench's
            membrane updates. Every step of a neuron that only accumulates counts.
        neuron_updates_inactive: the other neuron-steps. Each is one or the other, never both.
        dense_macs: products with zeros included: NeuroBench's dense synaptic operations.
        effective_macs, effective_acs: products of two numbers that are not zero; ACs where every input is 0 or 1. NeuroBench's words.
        host_macs: products that a spiking chip leaves to its host, because what they multiply is not spikes.
        weight_reads, state_reads, state_writes, activation_reads, activation_writes: accesses to memory, in values.
        backward_macs: products of backward passes.
        optimiser_macs: a multiplication and an addition for each weight that a gradient step moves.
        host_operations: arithmetic of a rule that writes weights in closed form.
        synaptic_updates: plastic synapses visited by a local rule, changed or not.
        trace_updates, learning_signals: of a local rule.
        weight_writes: weights programmed from outside.
    """

    input_spikes: Number = 0.0
    synaptic_events: Number = 0.0
    spikes: Number = 0.0
    neuron_updates_active: Number = 0.0
    neuron_updates_inactive: Number = 0.0
    dense_macs: Number = 0.0
    effective_macs: Number = 0.0
    effective_acs: Number = 0.0
    host_macs: Number = 0.0
    weight_reads: Number = 0.0
    state_reads: Number = 0.0
    state_writes: Number = 0.0
    activation_reads: Number = 0.0
    activation_writes: Number = 0.0
    backward_macs: Number = 0.0
    optimiser_macs: Number = 0.0
    host_operations: Number = 0.0
    synaptic_updates: Number = 0.0
    trace_updates: Number = 0.0
    learning_signals: Number = 0.0
    weight_writes: Number = 0.0


class Mean(NamedTuple):
    """Mean over samples and half the width of its 95 % interval, 1.96 standard deviations / sqrt(samples); one sample has none: NaN."""

    mean: float
    ci95: float


def plus(a: Counts, b: Counts) -> Counts:
    """Add field by field."""
    return Counts(*(x + y for x, y in zip(a, b, strict=True)))


def times(a: Counts, factor: float) -> Counts:
    """Multiply field by field."""
    return Counts(*(x * factor for x in a))


def total(parts: list[Counts]) -> Counts:
    """Add several."""
    whole = Counts()
    for part in parts:
        whole = plus(whole, part)
    return whole


def means(counts: Counts) -> Counts:
    """The mean over samples of every field."""
    return Counts(*(float(x.double().mean()) if isinstance(x, Tensor) else float(x) for x in counts))


def interval(x: Number) -> Mean:
    """Mean over samples with its interval; a plain number is exact."""
    if not isinstance(x, Tensor):
        return Mean(float(x), 0.0)
    spread = 1.96 * float(x.double().std()) / len(x) ** 0.5 if len(x) > 1 else float("nan")
    return Mean(float(x.double().mean()), spread)
