"""What the neurons did: spikes over time in each layer, and how often each layer fires."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import ScaledTranslation, Transform

from neurometa.report.style import BAND, INK, LINE, MUTED, PAPER, SERIES, Number, axes, canvas, row

NEURONS = 160
LOW, HIGH = 1.0, 30.0
"""The band of firing rates in percent that neurometa aims at: below it a layer says little, above it spikes stop being sparse."""


def thin(spikes: np.ndarray, limit: int = NEURONS) -> np.ndarray:
    """Keep at most `limit` evenly spaced neurons of a (time, neurons) raster."""
    return spikes[:, np.unique(np.linspace(0, spikes.shape[1] - 1, min(limit, spikes.shape[1])).astype(int))]


def raster(layers: dict[str, np.ndarray], width: Number) -> Figure:
    """Draw a raster a layer, (time, neurons) of 0 and 1; below it the share of all its neurons that fire at each step."""
    across = min(len(layers), 4 if width > 500 else 2)
    down = -(-len(layers) // across)
    panel, gap, left = 360 if width > 500 else 280, 26, 40
    figure = canvas(width, panel * down)
    size = (width - left - gap * (across - 1) - 8) / across
    top_share = max(100 * float(spikes.mean(axis=1).max(initial=0)) for spikes in layers.values()) or 1.0
    for k, (name, spikes) in enumerate(layers.items()):
        x, y = left + (k % across) * (size + gap), (k // across) * panel
        above = axes(figure, x, y + 44, size, panel - 170)
        below = axes(figure, x, y + panel - 116, size, 62)
        _spikes(above, thin(spikes))
        _share(below, 100 * spikes.mean(axis=1), top_share)
        above.text(0, 1, name, transform=above.transAxes + _up(figure, 19), fontsize=14, fontweight="bold", color=INK)
        above.text(0, 1, _drawn(spikes.shape[1]), transform=above.transAxes + _up(figure, 5), fontsize=11.5, color=MUTED)
        if k % across == 0:
            above.set_ylabel("neurons", fontsize=12, color=INK, labelpad=20)
            below.set_ylabel("% firing", fontsize=12, color=INK)
        else:
            below.tick_params(labelleft=False)
    return figure


def _drawn(neurons: int) -> str:
    return f"{neurons:,} neurons" if neurons <= NEURONS else f"{NEURONS} of {neurons:,} neurons"


def _up(figure: Figure, pixels: Number) -> Transform:
    return ScaledTranslation(0, pixels / 72, figure.dpi_scale_trans)


def _spikes(ax: Axes, spikes: np.ndarray) -> None:
    time, neurons = spikes.shape
    when, who = np.nonzero(spikes)
    half, tall = 0.36, max(0.42, neurons / 220)  # a mark stays visible however many neurons there are
    around = ((-half, -tall), (half, -tall), (half, tall), (-half, tall))
    corners = np.stack([np.stack([when + 1 + dx, who + dy], -1) for dx, dy in around], 1)
    ax.set(xlim=(0.5, time + 0.5), ylim=(-0.5, neurons - 0.5), xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set(visible=True, color=LINE)
    if len(when) == 0:
        ax.text(0.5, 0.5, "silent", transform=ax.transAxes, ha="center", fontsize=12, color=MUTED)
        return
    closed = np.concatenate([corners, corners[:, :1]], 1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY], len(when))
    ax.add_patch(PathPatch(Outline(closed, codes), facecolor=SERIES[0], linewidth=0))


def _share(ax: Axes, percent: np.ndarray, top: Number) -> None:
    time = len(percent)
    ax.bar(np.arange(1, time + 1), percent, width=0.72, color=SERIES[0], alpha=0.55)
    ax.set(xlim=(0.5, time + 0.5), ylim=(0, top * 1.08))
    ax.set_xticks(range(1, time + 1) if time < 6 else (1, (time + 1) // 2, time))
    ax.locator_params(axis="y", nbins=3)
    ax.grid(axis="y", color=LINE, lw=0.7)
    ax.spines["bottom"].set(visible=True, color=LINE)
    ax.set_xlabel("time step", fontsize=12, color=INK)


def outside(rate: float) -> str:
    """Say in words where a firing rate in percent lies outside the band; empty inside it."""
    if rate <= 0:
        return "silent"
    return "below the band" if rate < LOW else "above the band" if rate > HIGH else ""


def rates(layers: dict[str, float], width: Number) -> Figure:
    """Draw the firing rate in percent of each layer on a logarithmic scale, the band lightly shaded."""
    tall = 42
    figure = canvas(width, 26 + tall * len(layers) + 46)
    ax = axes(figure, 14, 26, width - 32, tall * len(layers))
    ax.set(ylim=(-len(layers) + 0.5, 0.85), yticks=[])
    ax.set_xscale("log")
    ax.set_xlim(0.1, 100)
    ax.set_xticks([0.1, 1, 3, 10, 30, 100], labels=["0.1", "1", "3", "10", "30", "100"])
    ax.minorticks_off()
    ax.axvspan(LOW, HIGH, color=BAND, zorder=0)
    above = ax.get_xaxis_transform() + _up(figure, 6)
    ax.text((LOW * HIGH) ** 0.5, 1, f"aim: {LOW:.0f}–{HIGH:.0f} %", transform=above, ha="center", fontsize=12, color=MUTED)
    for i, (layer, rate) in enumerate(layers.items()):
        note = outside(rate)
        at = min(max(rate, 0.1), 100)
        ax.plot([0.1, at], [-i, -i], color=SERIES[0], lw=2.5, alpha=0.45)
        ax.plot(at, -i, "D" if note else "o", color=SERIES[0], mfc=PAPER if note else SERIES[0], mew=2, ms=9, clip_on=False)
        row(ax, -i, layer, f"{rate:.1f} %" + (f", {note}" if note else ""), INK)
    ax.set_xlabel("neurons firing per time step (%, logarithmic)", fontsize=12, color=INK, labelpad=6)
    return figure
