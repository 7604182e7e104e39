"""Counts under the names of a card's events, and what a card says nothing about."""

import math

from neurometa.chips.card import Card
from neurometa.energy.counts import means
from neurometa.energy.stage import Stage
from neurometa.energy.traffic import Traffic
from neurometa.energy.workload import Workload

UNPRICED = ("synaptic events", "neuron updates", "synaptic updates of the learning engine", "trace updates", "learning signals")
"""What a chip itself does, in the words of `left_out`."""


def amounts(card: Card, work: Workload, traffic: Traffic | None, chips: int) -> dict[str, float]:
    """How often each event happens in one sample."""
    whole = work.total
    active, inactive = float(whole.neuron_updates_active), float(whole.neuron_updates_inactive)
    events = float(whole.synaptic_events)
    conv = sum(float(means(work.layers[s.name]).synaptic_events) for s in work.stages if s.kind == "conv" and s.name in work.layers)
    cells = card.limits["cells_per_weight"].quantity.value if "cells_per_weight" in card.limits else 1.0
    found = {
        "synaptic_event": events,
        "synaptic_event_conv": conv,
        "synaptic_event_dense": events - conv,
        "neuron_update": active + inactive,
        "neuron_update_active": active,
        "neuron_update_inactive": inactive,
        "neuron_access": active + inactive,
        "neuron_change": active,
        "spike": float(whole.spikes),
        "synaptic_update": float(whole.synaptic_updates),
        "trace_update": float(whole.trace_updates),
        "learning_signal": float(whole.learning_signals),
        "weight_write": float(whole.weight_writes) * cells,
        "cell_read": events * cells,
        "reset": work.windows * chips,
    }
    if traffic:
        found |= {"axon_out": traffic.axons_out, "axon_in": traffic.axons_in}
        found |= {"hop_east_west": traffic.hops_east_west, "hop_north_south": traffic.hops_north_south}
    rows, columns = card.limit("array_rows"), card.limit("array_columns")
    if rows and columns:
        reads = sum(_arrays(s, rows, columns, cells) for s in work.stages if _on_chip(work, s)) * work.windows * work.steps
        found |= {"array_read": reads, "adc": reads * columns, "tree": reads, "buffer": reads}
    return found


def left_out(card: Card, work: Workload, traffic: Traffic | None, static: bool) -> tuple[str, ...]:
    """What happened, or must, and has no energy here: never a zero that nobody measured."""
    whole, known = work.total, card.energy
    updates = whole.neuron_updates_active + whole.neuron_updates_inactive
    wanting = [
        (whole.synaptic_events, ("synaptic_event", "synaptic_event_dense", "cell_read", "array_read"), UNPRICED[0]),
        (updates, ("neuron_update", "neuron_update_active", "neuron_access"), UNPRICED[1]),
        (whole.synaptic_updates, ("synaptic_update",), UNPRICED[2]),
        (whole.trace_updates, ("trace_update",), UNPRICED[3]),
        (whole.learning_signals, ("learning_signal",), UNPRICED[4]),
        (whole.weight_writes, ("weight_write",), "weights written"),
        (whole.host_macs, (), "products by the host"),
        (whole.host_operations, (), "operations by the host"),
        (whole.backward_macs + whole.optimiser_macs, (), "products of the gradient step by the host"),
    ]
    found = [f"{float(n):,.0f} {what}" for n, names, what in wanting if float(n) > 0 and not any(name in known for name in names)]
    if not traffic or "axon_out" not in known:
        found.append("messages between cores")
    found.append("bringing the input onto the chip")
    return (*found, *(() if static else ("leakage",)))


def _on_chip(work: Workload, stage: Stage) -> bool:
    return stage.name in work.layers and float(means(work.layers[stage.name]).synaptic_events) > 0


def _arrays(stage: Stage, rows: int, columns: int, cells: float) -> int:
    """Crossbars read in one time step: each position of a convolution reads them once."""
    inputs = stage.weights // stage.shape[0]
    return stage.reach.rows.shape[1] * stage.reach.columns.shape[1] * math.ceil(inputs / rows) * math.ceil(stage.shape[0] * cells / columns)
