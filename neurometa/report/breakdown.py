"""Energy by what it is spent on, one stacked bar a chip; and a spike rate beside the published break-even."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neurometa.report.style import BAND, INK, LINE, MUTED, PAPER, SERIES, Number, axes, canvas, row

ROW = 46

KINDS = {
    "synapses": ("synaptic_event", "cell_read", "array_read", "adc", "tree", "buffer"),
    "neurons": ("neuron_",),
    "messages": ("spike", "axon", "hop"),
    "arithmetic": ("arithmetic", "mac", "flop", "dynamic"),
    "memory": ("weights", "states", "activations", "addresses"),
    "learning": ("synaptic_update", "trace_update", "learning_signal", "weight_write"),
    "always on": ("static", "clock", "reset"),
}
"""What the parts of an estimate are drawn as, by how their names begin."""

LOOKS = {
    "synapses": (SERIES[0], ""), "neurons": (SERIES[2], ""), "messages": (BAND, "////"), "arithmetic": (SERIES[1], ""),
    "memory": (SERIES[3], ""), "learning": (PAPER, "xxxx"), "always on": (LINE, ""),
}  # fmt: skip
"""Colour and hatching: no two are alike in grey."""


class Bar(NamedTuple):
    """One chip: its name, what is written of its energy, and the share of each kind."""

    label: str
    text: str
    shares: dict[str, float]


class Rate(NamedTuple):
    """A spike rate, or a published break-even: a share of neuron-steps in percent."""

    label: str
    percent: float
    own: bool


def shares(parts: dict[str, Any]) -> dict[str, float]:
    """The parts of an energy by kind, as shares of the whole; what has no kind counts as always on."""
    whole = sum(part["value"] for part in parts.values()) or 1.0
    found = dict.fromkeys(KINDS, 0.0)
    for name, part in parts.items():
        kind = next((kind for kind, beginnings in KINDS.items() if name.startswith(beginnings)), "always on")
        found[kind] += part["value"] / whole
    return {kind: share for kind, share in found.items() if share > 0}


def breakdown(bars: Sequence[Bar], width: Number) -> Figure:
    """Draw one bar a chip, each as long as the other: energies differ by factors of a million and are written beside them."""
    kinds = [kind for kind in KINDS if any(kind in bar.shares for bar in bars)]
    columns = 7 if width > 500 else 3
    key = 24 * -(-len(kinds) // columns)
    figure = canvas(width, ROW * len(bars) + key + 24)
    ax = axes(figure, 2, 14, width - 4, ROW * len(bars))
    ax.set(xlim=(0, 1), ylim=(-len(bars) + 0.45, 0.85), xticks=[], yticks=[])
    for i, bar in enumerate(bars):
        start = 0.0
        for kind in kinds:
            share, (colour, hatch) = bar.shares.get(kind, 0.0), LOOKS[kind]
            ax.barh(-i, share, left=start, height=0.34, color=colour, hatch=hatch, edgecolor=MUTED, lw=0.6)
            start += share
        row(ax, -i, bar.label, bar.text, INK)
    handles = [Patch(facecolor=LOOKS[kind][0], hatch=LOOKS[kind][1], edgecolor=MUTED, lw=0.6, label=kind) for kind in kinds]
    figure.legend(handles=handles, loc="lower left", ncols=columns, frameon=False, fontsize=12, labelcolor=MUTED, borderaxespad=0,
                  columnspacing=1.3, handlelength=1.4)  # fmt: skip
    return figure


def rate(rates: Sequence[Rate], width: Number) -> Figure:
    """Draw the network's own rate, and the published rates below which spikes pay, on one line from 0."""
    figure = canvas(width, 44 + 26 * len(rates))
    ax = axes(figure, 2, 4, width - 4, 26 * len(rates))
    end = (1.7 if width > 500 else 3.2) * max(one.percent for one in rates)
    ax.set(xlim=(0, end), ylim=(-len(rates) + 0.4, 0.6), yticks=[])
    ax.grid(axis="x", color=LINE, lw=0.7)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g} %")
    ax.set_xlabel("spikes a neuron and time step", fontsize=12, color=INK)
    for i, one in enumerate(rates):
        if one.own:
            ax.barh(-i, one.percent, height=0.5, color=SERIES[0])
        else:  # down to its own words
            ax.plot([one.percent] * 2, [0.5, -i - 0.4], color=SERIES[1], lw=1.8, ls=(0, (4, 2)))
        ax.text(one.percent + 0.012 * end, -i, one.label, ha="left", va="center", fontsize=12, color=INK, backgroundcolor=PAPER)
    return figure
