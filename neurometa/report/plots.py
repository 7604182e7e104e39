"""Accuracy before and after adaptation, the learning curve, and runs side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurometa.report.style import DASHES, INK, LINE, MARKS, MUTED, PAPER, SERIES, Number, axes, canvas, pick, row

ROW = 46


class Score(NamedTuple):
    """Accuracy of one evaluation in percent; a half-width of the 95 % interval stands beside each mean; None where not measured.

    `guess` says that nothing was measured before adaptation, where there is no readout: `before` is then chance.
    """

    group: str
    label: str
    series: int
    chance: float
    after: float
    after_ci95: float
    before: float | None = None
    before_ci95: float = 0.0
    zeroed: float | None = None
    guess: bool = False


class Curve(NamedTuple):
    """Accuracy in percent of the training episodes at each meta-training step."""

    label: str
    steps: np.ndarray
    accuracy: np.ndarray
    chance: float


class Bar(NamedTuple):
    """One value of one run: `text` is how it is written, `value` None where the run has none."""

    label: str
    value: float | None
    text: str


class Panel(NamedTuple):
    """One measure, a bar a run, on a scale from 0 to `top` (None: to the largest)."""

    title: str
    top: float | None
    bars: Sequence[Bar]


def accuracy(scores: Sequence[Score], width: Number) -> Figure:
    """Draw accuracy before -> after adaptation on a scale from 0 to 100 %, one row an evaluation, a heading over each group."""
    places, bottom = _places(scores)
    figure = canvas(width, 34 + ROW * bottom + 48)
    ax = axes(figure, 14, 34, width - 28, ROW * bottom)
    _percent_axis(ax, "accuracy on characters never seen in training (%)")
    ax.set(ylim=(-bottom, 0), yticks=[])
    for place, before, score in zip(places, [None, *scores], scores, strict=False):
        if before is None or before.group != score.group:
            up = 0.8 if score.label else 0.3
            ax.text(0, place + up, score.group, transform=ax.get_yaxis_transform(), va="bottom", fontsize=13, fontweight="bold", color=INK)
        _score(ax, place, score)
        row(ax, place, score.label, f"{score.after:.1f} ± {score.after_ci95:.1f} %", pick(SERIES, score.series))
    shown = {"before": any(not score.guess for score in scores), "hidden updates off": any(score.zeroed is not None for score in scores)}
    _accuracy_key(figure, shown)
    return figure


def _places(scores: Sequence[Score]) -> tuple[list[float], float]:
    """Where each row's line lies, and how deep they reach together, in rows: a heading takes half a row where the rows have labels."""
    places, depth, group = [], 0.0, None
    for score in scores:
        depth += 1.0 + (0.6 if score.label and score.group != group else 0.0)
        group = score.group
        places.append(0.35 - depth)
    return places, depth


def _score(ax: Axes, y: Number, score: Score) -> None:
    colour, mark = pick(SERIES, score.series), pick(MARKS, score.series)
    ax.plot([0, 100], [y, y], color=LINE, lw=1)
    ax.plot([score.chance] * 2, [y - 0.2, y + 0.2], color=MUTED, lw=1.6, ls=(0, (2, 1.5)))
    if score.before is not None:
        ax.plot([score.before, score.after], [y, y], color=colour, lw=2.5, alpha=0.45)
    if score.before is not None and not score.guess:
        ax.errorbar(score.before, y, xerr=score.before_ci95, color=colour, lw=2, capsize=4)
        ax.plot(score.before, y, mark, color=colour, mfc=PAPER, mew=2, ms=9)
    ax.errorbar(score.after, y, xerr=score.after_ci95, color=colour, lw=2, capsize=4)
    ax.plot(score.after, y, mark, color=colour, ms=10)
    if score.zeroed is not None:  # edged with the paper's colour, to be seen where it lies on the other mark
        ax.plot(score.zeroed, y, "x", color=PAPER, mew=5, ms=10)
        ax.plot(score.zeroed, y, "x", color=colour, mew=2.2, ms=8)


def _accuracy_key(figure: Figure, shown: dict[str, bool]) -> None:
    width = figure.get_figwidth() * 72
    key = axes(figure, 0, 2, width, 22)
    key.set(xlim=(0, width), ylim=(0, 1), xticks=[], yticks=[])
    x = 22.0
    entries = [("o", PAPER, "before"), ("o", MUTED, "after"), ("|", MUTED, "chance"), ("x", MUTED, "hidden updates off")]
    for mark, face, text in (entry for entry in entries if shown.get(entry[2], True)):
        key.plot(x, 0.5, mark, color=MUTED, mfc=face, mew=1.6, ms=8)
        key.text(x + 10, 0.5, text, va="center_baseline", fontsize=12, color=MUTED)
        x += 27 + 6.5 * len(text)


def _percent_axis(ax: Axes, label: str) -> None:
    ax.set_xlim(0, 100)
    ax.set_xticks(range(0, 101, 20))
    ax.grid(axis="x", color=LINE, lw=0.7, alpha=0.7)
    ax.set_xlabel(label, fontsize=12, color=INK, labelpad=6)


def smooth(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the centred moving average over a twentieth of the steps, and that window in steps."""
    window = max(1, len(values) // 20)
    kernel = np.ones(window)
    weight = np.convolve(np.ones(len(values)), kernel, mode="same")
    return np.convolve(values, kernel, mode="same") / weight, window


def learning(curves: Sequence[Curve], width: Number) -> Figure:
    """Draw accuracy on training characters against the meta-training step: each step faint, the moving average strong."""
    height = 330 if width > 500 else 270
    figure = canvas(width, height)
    ax = axes(figure, 44, 26, width - 62, height - 78)
    for i, curve in enumerate(curves):
        mean, _ = smooth(curve.accuracy)
        shown = np.unique(np.linspace(0, len(curve.steps) - 1, 400).astype(int))
        ax.plot(curve.steps[shown], curve.accuracy[shown], color=pick(SERIES, i), lw=0.8, alpha=0.4)
        ax.plot(curve.steps[shown], mean[shown], color=pick(SERIES, i), lw=2.4, ls=pick(DASHES, i), label=curve.label)
    for chance in sorted({curve.chance for curve in curves}):
        ax.axhline(chance, color=MUTED, lw=1.2, ls=(0, (2, 2)))
        across = ax.get_yaxis_transform()
        ax.text(1, chance + 1, f"chance {chance:.3g} %", transform=across, ha="right", va="bottom", fontsize=12, color=MUTED)
    ax.set(ylim=(0, 101), yticks=range(0, 101, 20), xlim=(0, max(curve.steps[-1] for curve in curves) or 1))
    ax.grid(axis="y", color=LINE, lw=0.7)
    ax.locator_params(axis="x", nbins=5)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    ax.set_xlabel("meta-training step", fontsize=12, color=INK, labelpad=6)
    figure.text(6 / width, 1 - 6 / height, "accuracy on training characters (%)", fontsize=12, color=INK, va="top")
    if len(curves) > 1:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 0.3), frameon=False, fontsize=12, labelcolor=INK, handlelength=3)
    return figure


def comparison(panels: Sequence[Panel], width: Number) -> Figure:
    """Draw one panel of bars a measure, one bar a run; two panels side by side where there is room."""
    across = 2 if width > 500 else 1
    down = -(-len(panels) // across)
    count = max(len(panel.bars) for panel in panels)
    tall, gap = 40 + ROW * count, 40
    figure = canvas(width, tall * down)
    size = (width - gap * (across - 1)) / across
    for k, (title, most, bars) in enumerate(panels):
        left, top = (k % across) * (size + gap), (k // across) * tall
        figure.text(left / width, 1 - (top + 6) / (tall * down), title, fontsize=14, fontweight="bold", color=INK, va="top")
        ax = axes(figure, left, top + 26, size, ROW * count)
        ax.set(xlim=(0, most or max((bar.value or 0.0) for bar in bars) or 1), xticks=[], ylim=(-len(bars) + 0.5, 0.85), yticks=[])
        for i, bar in enumerate(bars):
            ax.plot([0, 1], [-i, -i], color=LINE, lw=1, transform=ax.get_yaxis_transform(), zorder=0)
            ax.barh(-i, bar.value or 0.0, height=0.24, color=pick(SERIES, i))
            row(ax, -i, bar.label, bar.text, pick(SERIES, i))
    return figure
