"""Neurons onto cores, greedily: each population in turn, its positions row by row with all their channels, into cores of its own.

A core is closed when the next neuron would break a limit that the chip's card names: neurons, bytes of synapses (each connection stored,
of `weight_bits`; sharing kernels would need less), axons in (neurons elsewhere that reach it), axons out (cores that its neurons reach).
Cores are numbered as they are filled, the last population first, because only then is known to how many cores a neuron sends;
`cores_per_tile` neighbours share a tile, and tiles fill rows of `tile_columns`. Simple, and no optimum: a placement that puts neighbours
closer saves hops, one that shares cores saves leakage.
"""

import math
from typing import NamedTuple

import numpy as np

from neurometa.chips.card import Card
from neurometa.errors import UserError


class Population(NamedTuple):
    """Neurons to be placed.

    Attributes:
        name: of the population.
        channels, positions: how many; neuron (c, p).
        source: population that feeds it, with `source_channels`.
        reach: boolean (source positions, positions): which position of the source reaches which here, over all channels of both.
        recurrent: whether every neuron hears all others here, and itself.
    """

    name: str
    channels: int
    positions: int
    source: str
    source_channels: int
    reach: np.ndarray
    recurrent: bool = False


class Placement(NamedTuple):
    """Where neurons are.

    Attributes:
        core: core of each neuron, (positions, channels) by population.
        cores, tiles, chips: how many are in use.
        axons_in, axons_out, synapses: of the fullest core.
        cores_per_tile, columns: geometry, with which `hops` counts.
    """

    core: dict[str, np.ndarray]
    cores: int
    tiles: int
    chips: int
    axons_in: int
    axons_out: int
    synapses: int
    cores_per_tile: int
    columns: int

    def hops(self, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tiles that a spike passes between two cores, along the row and then along the column."""
        a, b = start // self.cores_per_tile, end // self.cores_per_tile
        return abs(a % self.columns - b % self.columns), abs(a // self.columns - b // self.columns)


def place(card: Card, populations: list[Population]) -> Placement:
    """Put populations onto a chip's cores.

    Raises:
        UserError: one neuron alone breaks a limit.
    """
    core: dict[str, np.ndarray] = {}
    used, fullest = 0, _Full(0, 0, 0)
    for one in reversed(populations):
        sends = sum((targets(to, core[to.name]).sum(1) for to in populations if to.source == one.name), np.zeros(one.positions, np.int64))
        own, full = _settled(card, one, sends)
        core[one.name] = own.reshape(one.positions, one.channels) + used
        used += int(own.max()) + 1
        fullest = _Full(*map(max, fullest, full))
    per_tile, per_chip = card.limit("cores_per_tile") or 1, card.limit("cores")
    tiles = math.ceil(used / per_tile)
    columns = card.limit("tile_columns") or max(1, math.isqrt(tiles))
    return Placement(core, used, tiles, math.ceil(used / per_chip) if per_chip else 1, *fullest, per_tile, columns)


class _Full(NamedTuple):
    """What a core holds: axons in and out, bytes of synapses."""

    axons_in: int
    axons_out: int
    synapses: int


def _settled(card: Card, one: Population, sends: np.ndarray) -> tuple[np.ndarray, _Full]:
    """As `_cut`; the neurons of a recurrent population also send to its own cores, whose number follows from that."""
    cores, found = 0, _cut(card, one, sends)
    while one.recurrent and found[0].max() + 1 > cores:
        cores = int(found[0].max()) + 1
        found = _cut(card, one, sends + cores)
    return found


def _cut(card: Card, one: Population, sends: np.ndarray) -> tuple[np.ndarray, _Full]:
    """Core of each neuron in raster order, counted from 0, and the fullest; `sends` says to how many cores a neuron of a position sends."""
    room = card.limit("neurons_per_core") or one.channels * one.positions
    bytes_each = (card.limit("weight_bits") or 8) / 8
    limits = [card.limit(name) or math.inf for name in ("axons_in_per_core", "axons_out_per_core", "synapse_bytes_per_core")]
    own = np.empty(one.positions * one.channels, dtype=np.int64)
    index, held, out, stored, fullest = 0, 0, 0, 0.0, _Full(0, 0, 0)
    reached = np.zeros(len(one.reach), dtype=bool)
    for position in range(one.positions):
        sees, sent, done = one.reach[:, position], int(sends[position]), 0
        back = one.recurrent * one.channels * one.positions
        each = (int(sees.sum()) * one.source_channels + back) * bytes_each
        while done < one.channels:
            axons = int((reached | sees).sum()) * one.source_channels + back
            fits = min(room - held, _share(limits[1] - out, sent), _share(limits[2] - stored, each)) if axons <= limits[0] else 0
            if fits <= 0 and held == 0:
                needs = f"{each:,.0f} bytes of synapses from {axons:,} neurons and {sent} axons out"
                raise UserError(f"a neuron of {one.name} needs {needs}, more than a core of {card.name} has: use narrower layers")
            if fits <= 0:
                index, held, out, stored, reached = index + 1, 0, 0, 0.0, np.zeros(len(one.reach), dtype=bool)
                continue
            fits = min(fits, one.channels - done)
            own[position * one.channels + done :][:fits] = index
            held, out, stored, reached, done = held + fits, out + fits * sent, stored + fits * each, reached | sees, done + fits
            fullest = _Full(*map(max, fullest, (axons, out, math.ceil(stored))))
    return own, fullest


def _share(left: float, each: float) -> int:
    """How many of a size fit."""
    return int(left // each) if each and math.isfinite(left) else 1 << 30


def targets(one: Population, core: np.ndarray) -> np.ndarray:
    """Which cores each position of the source reaches, boolean (source positions, cores counted from this population's first)."""
    first = int(core.min())
    here = np.zeros((one.positions, int(core.max()) - first + 1), dtype=np.float32)
    here[np.repeat(np.arange(one.positions), one.channels), (core - first).ravel()] = 1
    return one.reach.astype(np.float32) @ here > 0
