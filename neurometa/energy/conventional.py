"""Conventional hardware: boards by a measured batch-latency law, a circuit with memory, an energy a multiplication, a lower bound."""

import itertools
from typing import NamedTuple

from neurometa.chips.card import Card, Figure
from neurometa.chips.quantity import NUMBER, Quantity
from neurometa.energy.counts import Counts
from neurometa.energy.workload import Workload
from neurometa.errors import UserError


class Cost(NamedTuple):
    """As in `estimate.Estimate`."""

    parts: dict[str, Quantity]
    latency: Quantity | None
    figures: dict[str, Figure]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def cost(card: Card, work: Workload, batch: int, static: bool) -> Cost:
    """Energy and latency of one sample on a conventional chip; a spiking network is multiplied densely at every time step.

    The digital circuit is the exception: it counts a spiking network event by event.
    """
    if batch < 1:
        raise UserError(f"batch {batch} given, expected at least 1")
    return {"board": _board, "digital": _digital, "mac": _mac, "bound": _bound}[card.model](card, work, batch, static)


def _macs(work: Workload) -> float:
    """Products of one sample, forward, backward and of the rule."""
    return float(work.total.dense_macs) + _learning(work.total)


def _learning(whole: Counts) -> float:
    """Products of the rule: a backward pass and a gradient step, arithmetic in closed form, or of a local rule one for each synapse that
    is visited, each trace that is carried on and each learning signal."""
    local = whole.synaptic_updates + whole.trace_updates + whole.learning_signals
    return float(whole.backward_macs + whole.optimiser_macs + whole.host_operations + local)


def _board(card: Card, work: Workload, batch: int, static: bool) -> Cost:
    """t(B) = passes t0 + B macs / reference t1 scaling,  E = P t(B) / B.

    Every pass of the network starts anew; a spiking one may do so at each time step (as most frameworks do) or once for the window (the low
    end); a backward pass is one more, and so is each of a readout alone. In an adaptation the batch is the support set.
    """
    reference, macs = card.limits["reference_macs"].quantity.value, _macs(work)
    together = batch if work.phase == "inference" else 1
    steps = work.steps if work.spiking else 1
    often = work.passes * steps + work.alone
    passes = Quantity(work.passes + work.alone, often, often, NUMBER)
    each = card.time["each"].quantity * (macs / reference)
    each = each if macs == reference else each * card.limits["scaling"].quantity
    time = card.time["overhead"].quantity * passes + each * together
    parts = {"dynamic": card.power["dynamic"].quantity * time * (1 / together)}
    used = {"time.overhead": card.time["overhead"], "time.each": card.time["each"], "power.dynamic": card.power["dynamic"]}
    used["limits.scaling"] = card.limits["scaling"]
    if static and "idle" in card.power:
        parts["static"] = card.power["idle"].quantity * time * (1 / together)
        used["power.idle"] = card.power["idle"]
    notes = [f"batch of {together}"] if work.phase == "inference" else ["the support set is one batch"]
    notes += ["each time step starts the network anew; the low end runs the window at once"] if work.spiking else []
    return Cost(parts, time, used, () if "static" in parts else ("idle power",), tuple(notes))


def _mac(card: Card, work: Workload, batch: int, static: bool) -> Cost:
    if "mac" in card.energy:
        parts, used = {"mac": card.energy["mac"].quantity * _macs(work)}, {"energy.mac": card.energy["mac"]}
    else:
        each = card.energy["cycle"].quantity * card.limits["cycles_per_mac"].quantity
        parts = {"mac": each * _macs(work)}
        used = {"energy.cycle": card.energy["cycle"], "limits.cycles_per_mac": card.limits["cycles_per_mac"]}
    return Cost(parts, None, used, ("idle power", "everything but multiplications"), ())


def _bound(card: Card, work: Workload, batch: int, static: bool) -> Cost:
    flops = 2 * _macs(work)
    parts, used = {"flop": card.energy["flop"].quantity * flops}, {"energy.flop": card.energy["flop"]}
    if "flop" in card.time:
        used["time.flop"] = card.time["flop"]
    latency = card.time["flop"].quantity * flops if "flop" in card.time else None
    notes = ("a lower bound from peak numbers; the high end is ten thousand times that, as small networks at batch 1 were measured",)
    return Cost(parts, latency, used, ("starting the work, memory, idling",), notes)


def _digital(card: Card, work: Workload, batch: int, static: bool) -> Cost:
    """E = operations + memory + addresses, after Lemaire et al. 2022, arXiv:2210.13107.

    Spiking: an addition an event, a multiplication and an addition a neuron update. Conventional, and what a host would do: a
    multiplication and an addition a product. An access of weights, states and activations costs by the size of that memory, and an address.
    """
    whole, energy = work.total, {name: figure.quantity for name, figure in card.energy.items()}
    updates = float(whole.neuron_updates_active + whole.neuron_updates_inactive)
    products = float(whole.host_macs if work.spiking else whole.dense_macs)
    extra = _learning(whole)
    product = energy["add"] + energy["multiply"]
    parts = {"arithmetic": energy["add"] * float(whole.synaptic_events) + product * (updates + products + extra)}
    bits = card.limits["bits"].quantity.value if "bits" in card.limits else 32.0
    stored, living = work.weights * bits / 8, sum(stage.neurons for stage in work.stages) * bits / 8
    beside = extra + (products if work.spiking else 0.0)  # a host's products read a weight and an activation, as all products do
    accesses = {
        "weights": (stored, float(whole.weight_reads + whole.weight_writes) + beside),
        "states": (living, float(whole.state_reads + whole.state_writes)),
        "activations": (living, float(whole.activation_reads + whole.activation_writes) + beside),
    }
    parts |= {what: access(card, size) * count for what, (size, count) in accesses.items()}
    parts["addresses"] = energy["address"] * sum(count for _, count in accesses.values())
    figures = {f"energy.{name}": figure for name, figure in card.energy.items()}
    notes = (f"weights in {level(stored)}, states and activations in {level(living)}",)
    return Cost({name: part for name, part in parts.items() if part.high > 0}, None, figures, ("leakage", "control and wires"), notes)


_LEVELS = (("memory_8kb", 8 * 1024), ("memory_32kb", 32 * 1024), ("memory_1mb", 1024 * 1024))


def access(card: Card, size: float) -> Quantity:
    """Energy of reading or writing one value in a memory of `size` bytes: linear between 8 KB, 32 KB and 1 MB, beyond that DRAM.

    The figures are for 64 bits; value and high spend one access a value, low packs as many as fit.
    """
    bits = card.limits["bits"].quantity.value if "bits" in card.limits else 32.0
    energy = {name: figure.quantity for name, figure in card.energy.items()}
    if size > _LEVELS[-1][1] and "dram" in energy:
        return energy["dram"] * (bits / 32)
    found = energy[_LEVELS[0][0]]
    for (low, start), (high, end) in itertools.pairwise(_LEVELS):
        if start < size:
            share = min(1.0, (size - start) / (end - start))
            found = energy[low] * (1 - share) + energy[high] * share
    return Quantity(found.low * min(1.0, bits / 64), found.value, found.high, found.dimension)


def level(size: float) -> str:
    """The memory that holds so many bytes."""
    return next((f"a memory of up to {name}" for name, end in (("8 KB", 8192), ("32 KB", 32768), ("1 MB", 1 << 20)) if size <= end), "DRAM")
