"""What a bundle needs of a chip: compartments, synapses, fan-in and fan-out, cores, against the limits that the chip's card names."""

import math
from typing import Any

import numpy as np

from neurometa.chips.card import Card
from neurometa.chips.placement import Population, place
from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Synapses

LIMITS = ("cores", "neurons_per_core", "synapse_bytes_per_core", "axons_in_per_core", "axons_out_per_core", "weight_bits")


def resources(bundle: Bundle, card: Card) -> dict[str, Any]:
    """Count and place a network; a convolution is unrolled, each connection stored.

    Weights that are 0 are no synapses in the counts; the placement reserves room for all that a kernel reaches. Recurrent synapses count as
    further inputs of their population; the axons by which its neurons reach their own cores are not counted.

    Returns:
        Plain data: totals, one entry a population, the fullest core, the card's limits, whether all fits (if not, why), and the populations
        that take a neuron programmed for them, because their thresholds adapt: no card says which chip can be programmed so.
    """
    shapes = bundle.network.shapes
    bits = card.limit("weight_bits") or 8
    layers = []
    for one in bundle.network.populations:
        arriving = [s for s in bundle.network.synapses if s.target == one.name]
        leaving = [s for s in bundle.network.synapses if s.source == one.name]
        counts = [connections(bundle, s, shapes[s.source], shapes[one.name]) for s in arriving]
        fan_out = sum((connections(bundle, s, shapes[one.name], shapes[s.target])[1] for s in leaving), np.zeros(math.prod(one.shape), int))
        fan_in = sum((into for into, _ in counts), np.zeros(math.prod(one.shape), int))
        total = int(fan_in.sum())
        layers.append(
            {
                "layer": one.name,
                "compartments": math.prod(one.shape),
                "synapses": total,
                "synapse_bytes": math.ceil(total * bits / 8),
                "fan_in": int(fan_in.max()),
                "fan_out": int(fan_out.max()),
            }
        )
    found: dict[str, Any] = {
        "chip": card.name,
        **{key: sum(layer[key] for layer in layers) for key in ("compartments", "synapses", "synapse_bytes")},
        "programmed": [one.name for one in bundle.network.populations if one.adapts],
        "limits": {name: card.limit(name) for name in LIMITS if card.limit(name) is not None},
        "layers": layers,
    }
    try:
        placed = place(card, [_population(bundle, one.name, shapes) for one in bundle.network.populations])
    except UserError as error:
        return {**found, "fits": False, "why": str(error), "cores": None, "chips": None, "fullest": None}
    for layer in layers:
        layer["cores"] = len(np.unique(placed.core[layer["layer"]]))
    fullest = {"axons_in": placed.axons_in, "axons_out": placed.axons_out, "synapse_bytes": placed.synapses}
    return {**found, "fits": True, "why": "", "cores": placed.cores, "chips": placed.chips, "fullest": fullest}


def connections(bundle: Bundle, one: Synapses, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Synapses, weights that are not 0, into each neuron of the target and out of each of the source."""
    weight = bundle.arrays[one.weight] != 0
    if one.kind == "dense":
        return weight.sum(1), weight.sum(0)
    into = np.zeros(target, int)
    out = np.zeros(source, int)
    kernel = weight.shape[-1]
    for i in range(kernel):
        rows = _tap(source[1], target[1], one, i)
        for j in range(kernel):
            columns = _tap(source[2], target[2], one, j)
            tap = weight[:, :, i, j]
            into += tap.sum(1)[:, None, None] * np.outer(rows.sum(0), columns.sum(0))
            out += tap.sum(0)[:, None, None] * np.outer(rows.sum(1), columns.sum(1))
    return into.ravel(), out.ravel()


def _tap(source: int, target: int, one: Synapses, tap: int) -> np.ndarray:
    """Which positions of the source reach which of the target through one row of the kernel, boolean (source, target)."""
    at, inside = np.arange(source) // one.pool, np.arange(source) < source // one.pool * one.pool
    return inside[:, None] & (at[:, None] == np.arange(target) * one.stride - one.padding + tap)


def _population(bundle: Bundle, name: str, shapes: dict[str, tuple[int, ...]]) -> Population:
    """As the placement takes it."""
    shape = shapes[name]
    arriving = [one for one in bundle.network.synapses if one.target == name]
    channels, positions = shape[0], math.prod(shape[1:])
    first = arriving[0] if arriving else None
    if first is None:
        return Population(name, channels, positions, "", 1, np.zeros((1, positions), bool))
    before = shapes[first.source]
    if first.kind == "dense" and len(before) == 1:
        return Population(
            name, channels * positions, 1, first.source, sum(math.prod(shapes[one.source]) for one in arriving), np.ones((1, 1), bool)
        )
    if first.kind == "dense":
        return Population(name, channels * positions, 1, first.source, before[0], np.ones((math.prod(before[1:]), 1), bool))
    kernel = bundle.arrays[first.weight].shape[-1]
    rows, columns = (sum(_tap(before[axis], shape[axis], first, k).astype(int) for k in range(kernel)) > 0 for axis in (1, 2))
    return Population(name, channels, positions, first.source, before[0], np.kron(rows, columns).astype(bool))
