"""Phase-change memory as weights: pairs of cells that are written, drift and are read with noise, and any rule that learns through them.

The constants are those of the chip card `pcm`, each with its source.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.chips.card import Card
from neurometa.plasticity.base import Noisy, Plasticity
from neurometa.types import Adapted, Data, Network, Params

CELLS = "memristor."
"""Begins the name of the noise of each weight's cells."""


class PCM(NamedTuple):
    """Constants of the cells; conductances G in uS, times in seconds, g = G / most.

    Attributes:
        most: the largest conductance.
        programming: c in sigma = c0 + c1 g + c2 g^2.
        start: t0, the time after writing at which drift is counted from.
        drift_mean, drift_std: slope, offset, least and most of nu's mean and standard deviation over ln g.
        read: scale a, power b and most of a / g^b; read_time: t_r of a reading.
        set_mean, set_std: slope and offset over G of what a SET pulse adds; set_ends: the range that pulses reach.
    """

    most: float
    programming: tuple[float, ...]
    start: float
    drift_mean: tuple[float, ...]
    drift_std: tuple[float, ...]
    read: tuple[float, ...]
    read_time: float
    set_mean: tuple[float, ...]
    set_std: tuple[float, ...]
    set_ends: tuple[float, ...]

    @staticmethod
    def of(card: Card) -> "PCM":
        """The constants of a card with a table [device]."""

        def many(*names: str) -> tuple[float, ...]:
            return tuple(card.device[name].value for name in names)

        def line(name: str) -> tuple[float, ...]:
            return many(*(f"drift_{name}_{what}" for what in ("slope", "offset", "min", "max")))

        (most,), (start,), (read_ns,) = many("conductance_max"), many("drift_start"), many("read_time")
        return PCM(
            most, many(*(f"programming_noise_{i}" for i in range(3))), start, line("mean"), line("std"),
            many("read_noise_scale", "read_noise_power", "read_noise_max"), 1e-9 * read_ns,
            many("set_pulse_mean_slope", "set_pulse_mean_offset"), many("set_pulse_std_slope", "set_pulse_std_offset"),
            many("set_pulse_min", "set_pulse_max"),
        )  # fmt: skip


def programmed(pcm: PCM, g: Tensor, noise: Tensor) -> Tensor:
    """Conductance after iterative programming towards g (0 to 1): g + (c0 + c1 g + c2 g^2) noise / most, never below 0."""
    c0, c1, c2 = pcm.programming
    return (g + (c0 + c1 * g + c2 * g.square()) * noise / pcm.most).clamp(min=0)


def drifted(pcm: PCM, g: Tensor, seconds: float, noise: Tensor) -> Tensor:
    """Conductance some seconds after t0: g (t / t0)^-nu, nu drawn for each cell; t counts from the writing, t0 before."""

    def clipped(line: tuple[float, ...]) -> Tensor:
        slope, offset, least, most = line
        return (slope * g.clamp(min=1e-6).log() + offset).clamp(least, most)

    nu = (clipped(pcm.drift_mean) + clipped(pcm.drift_std) * noise).clamp(min=0)
    return g * ((seconds + pcm.start) / pcm.start) ** -nu


def read(pcm: PCM, g: Tensor, seconds: float, noise: Tensor) -> Tensor:
    """Conductance as it is read: g (1 + sigma noise), sigma = min(a / g^b, most) sqrt(ln((t + t_r) / (2 t_r)))."""
    scale, power, most = pcm.read
    time = torch.tensor((seconds + pcm.start + pcm.read_time) / (2 * pcm.read_time), dtype=g.dtype).log().sqrt()
    return (g * (1 + (scale / g.clamp(min=1e-6) ** power).clamp(max=most) * time * noise)).clamp(min=0)


def pulsed(pcm: PCM, conductance: Tensor, pulses: Tensor, noise: Tensor) -> Tensor:
    """Conductance in uS after so many SET pulses, blind: each adds N(a G + b, c G + d), so that the same pulse adds ever less.

    Args:
        conductance: before, in uS; pulses never lower it: a pair of cells is lowered by raising the other one.
        pulses: how many each cell gets.
        noise: standard normal numbers, one row a pulse; there are at most as many pulses as rows.
    """
    low, high = pcm.set_ends
    for i, row in enumerate(noise):
        step = pcm.set_mean[0] * conductance + pcm.set_mean[1] + (pcm.set_std[0] * conductance + pcm.set_std[1]) * row
        conductance = torch.where(pulses > i, (conductance + step).clamp(low, high), conductance)
    return conductance


def draws(pulses: int) -> int:
    """Standard normal numbers a weight: for two cells writing (once, or once a pulse), drift and reading."""
    return 2 * (max(pulses, 1) + 2)


def held(pcm: PCM, w: Tensor, noise: Tensor, bits: int, seconds: float, pulses: int = 0) -> Tensor:
    """Weights as pairs of cells hold them: w = s (g+ - g-), s = max |w|, one of the two at 0, each in 2^(bits-1) - 1 steps above it.

    Args:
        w: the weights that a rule asks for.
        noise: `draws(pulses)` standard normal numbers of w's shape.
        bits: of a weight, its sign included.
        seconds: since t0.
        pulses: 0 programs each cell and verifies it; else the largest weight gets so many SET pulses, blind, and others their share.
    """
    scale, ends = w.abs().amax().clamp(min=torch.finfo(w.dtype).tiny), 2 ** (bits - 1) - 1
    target = (w / scale * ends).round() / ends
    cells = []
    for sign, row in zip((1, -1), noise.split(len(noise) // 2), strict=True):
        asked, writing = (sign * target).clamp(min=0), row[:-2]
        g = blind(pcm, asked, pulses, writing) if pulses else programmed(pcm, asked, writing[0])
        cells.append(read(pcm, drifted(pcm, g, seconds, row[-2]), seconds, row[-1]))
    return scale * (cells[0] - cells[1])


def blind(pcm: PCM, g: Tensor, pulses: int, noise: Tensor) -> Tensor:
    """Conductance, as a share of what pulses reach, of cells that get their share of the pulses and are not looked at meanwhile."""
    low, high = pcm.set_ends
    return pulsed(pcm, torch.full_like(g, low), (g * pulses).round(), noise) / high


class Memristive(NamedTuple):
    """A rule whose matrices are written into phase-change cells once it has learnt, and are used as those hold them.

    Vectors (biases) stay digital. The noise is drawn once for an episode: its queries meet the same cells.

    Attributes:
        rule: any.
        pcm: constants of the cells.
        shapes: of every matrix that the rule writes, by name.
        bits, seconds, pulses: as in `held`.
    """

    rule: Plasticity
    pcm: PCM
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    bits: int = 4
    seconds: float = 1.0
    pulses: int = 0

    @property
    def exact_graph(self) -> bool:
        """Rounding has no gradient."""
        return False

    @property
    def readout_only(self) -> bool:
        """As the rule."""
        return self.rule.readout_only

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """As the rule."""
        return self.rule.slow(network, params, generator)

    def draw(self, support: Data, generator: torch.Generator) -> Params:
        """Noise of the cells for each task, and what the rule itself draws."""
        own = self.rule.draw(support, generator) if isinstance(self.rule, Noisy) else {}
        tasks, count = len(support.y), draws(self.pulses)
        return {**own, **{CELLS + name: torch.randn((tasks, count, *shape), generator=generator) for name, shape in self.shapes}}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Let the rule learn, then write what it has learnt."""
        noise = noise or {}
        found = self.rule.adapt(network, slow, support, {k: v for k, v in noise.items() if not k.startswith(CELLS)} or None)
        how = (self.bits, self.seconds, self.pulses)
        written = {name: held(self.pcm, found.fast[name], noise[CELLS + name], *how) for name, _ in self.shapes}
        return found._replace(fast={**found.fast, **written})
