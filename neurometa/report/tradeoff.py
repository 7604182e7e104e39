"""The energy-accuracy plane, and its twin in latency: spiking and conventional, inference and adaptation."""

import math
from collections.abc import Collection, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from neurometa.report.points import PHASES, Point, contenders, front
from neurometa.report.style import INK, LINE, MUTED, PAPER, SERIES, Number, axes, canvas

COLOURS = {True: SERIES[0], False: SERIES[1]}
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
"""One mark a device; spiking ones are filled, conventional ones open, so that grey print tells them apart."""
TITLES = {"inference": "one query", "adaptation": "learning one support set"}
TICKS = (0, 50, 80, 90, 93, 95, 96, 97, 97.5, 98, 98.5, 99, 99.5)
_SCALE = {"energy": ((1e9, "J"), (1e6, "mJ"), (1e3, "µJ"), (1, "nJ"), (1e-3, "pJ")),
          "latency": ((1e6, "s"), (1e3, "ms"), (1, "µs"), (1e-3, "ns"))}  # fmt: skip


def tradeoff(points: Sequence[Point], measure: str, width: Number) -> Figure:
    """Draw one row a task, inference left and adaptation right; intervals on both axes, each side's Pareto front as a line.

    Energies and latencies are drawn with their range, lower bounds with an open end; accuracies, on a scale that opens towards 100 %, with
    their 95 % interval. What another learner beats on the same device is a dot.

    Args:
        points: as `points.read` gives them.
        measure: "energy" or "latency".
        width: in pixels.
    """
    tasks = list(dict.fromkeys(p.task for p in points))
    devices = sorted({p.device for p in points})
    marks = {key: MARKS[devices.index(key[1]) % len(MARKS)] for key in sorted({(p.spiking, p.device) for p in points}, reverse=True)}
    tall, legend, across = 310, 20 + 17 * -(-(len(marks) + 3) // 3), (width - 20) / 2
    figure = canvas(width, tall * len(tasks) + legend)
    for row, task in enumerate(tasks):
        best = _unbeaten([p for p in points if p.task == task], measure)
        ends = _ends(best or points)
        for column, phase in enumerate(PHASES):
            ax = axes(figure, 62 + column * across, 34 + row * tall, across - 76, tall - 86)
            _panel(ax, [p for p in points if (p.task, p.phase) == (task, phase)], best, measure, marks, ends)
            ax.set_title(f"{phase}: {task if len(tasks) > 1 else TITLES[phase]}", fontsize=12.5, color=INK, loc="left", pad=9)
            for spiking in (True, False):
                line = front(contenders(points, spiking, phase, task), measure)
                style = {"color": COLOURS[spiking], "lw": 1.8, "ls": "-" if spiking else (0, (5, 2)), "alpha": 0.8, "zorder": 1}
                ax.plot([getattr(p, measure).value for p in line], [_stretched(p.accuracy) for p in line], **style)
    _legend(figure, marks, legend)
    return figure


def _stretched(accuracy: float) -> float:
    """Position on an axis on which half of the error is a step of its own."""
    return -math.log10(max(100.0 - accuracy, 0.05))


def _ends(points: Collection[Point]) -> tuple[float, float]:
    """The range of accuracies that is drawn: of what is not beaten."""
    low, high = min(p.accuracy - p.ci95 for p in points), max(p.accuracy + p.ci95 for p in points)
    return _stretched(low) - 0.06, _stretched(high) + 0.06


def _ticks(ends: tuple[float, float]) -> list[float]:
    """The accuracies that are written at the axis: as many as do not run into each other."""
    chosen: list[float] = []
    for tick in reversed(TICKS):
        at = _stretched(tick)
        if ends[0] <= at <= ends[1] and (not chosen or _stretched(chosen[-1]) - at > 0.045 * (ends[1] - ends[0])):
            chosen.append(tick)
    return chosen


def _unbeaten(points: Sequence[Point], measure: str) -> set[Point]:
    """The points that no other one on the same device beats."""
    groups: dict[tuple[str, bool, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.phase, point.spiking, point.device), []).append(point)
    return {point for group in groups.values() for point in front(group, measure)}


def _panel(ax: Axes, points: Sequence[Point], best: set[Point], measure: str, marks: dict, ends: tuple[float, float]) -> None:
    ax.set_xscale("log")
    ticks = _ticks(ends)
    ax.set(yticks=[_stretched(tick) for tick in ticks], yticklabels=[f"{tick:g}" for tick in ticks])
    ax.set_ylim(ends)
    ax.grid(color=LINE, lw=0.7)
    ax.xaxis.set_major_locator(LogLocator(numticks=7))
    ax.xaxis.set_major_formatter(lambda x, _: _written(x, measure))
    ax.set_xlabel(f"{measure} (logarithmic)", fontsize=12, color=INK)
    ax.set_ylabel("accuracy (%)", fontsize=12, color=INK)
    if hidden := {p.run for p in points if _stretched(p.accuracy) < ends[0]}:
        told = f"below: {len(hidden)} beaten learner{'s' if len(hidden) > 1 else ''}"
        ax.text(0.99, 0.015, told, transform=ax.transAxes, ha="right", fontsize=10, color=MUTED)
    for point in points:
        x = getattr(point, measure)
        if x is None:
            continue
        y, colour = _stretched(point.accuracy), COLOURS[point.spiking]
        if point not in best:
            ax.plot(x.value, y, ".", color=colour, ms=2.5, alpha=0.5, zorder=1)
            continue
        high = point.bound and measure == "energy"
        ax.plot([x.low, x.value if high else x.high], [y, y], color=colour, lw=0.9, alpha=0.35, zorder=2)
        if high:
            ax.plot(x.value * 1.3, y, ">", color=colour, ms=3, alpha=0.5, zorder=2)
        spread = [_stretched(point.accuracy - point.ci95), _stretched(point.accuracy + point.ci95)]
        ax.plot([x.value, x.value], spread, color=colour, lw=0.9, alpha=0.5, zorder=2)
        face = colour if point.spiking else PAPER
        ax.plot(x.value, y, marks[point.spiking, point.device], color=colour, mfc=face, mew=1.2, ms=5.5, zorder=3)


def _written(value: float, measure: str) -> str:
    scale, unit = next(((scale, unit) for scale, unit in _SCALE[measure] if value >= scale * 0.999), _SCALE[measure][-1])
    return f"{value / scale:g} {unit}"


def _legend(figure: Figure, marks: dict, height: Number) -> None:
    """Devices of both sides, and what the lines are."""
    handles = [Line2D([], [], color=COLOURS[True], lw=1.8, label="front, spiking"),
               Line2D([], [], color=COLOURS[False], lw=1.8, ls=(0, (5, 2)), label="front, conventional"),
               Line2D([], [], ls="", marker=".", color=MUTED, ms=4, label="beaten on the same device")]  # fmt: skip
    for (spiking, device), mark in marks.items():
        face = COLOURS[spiking] if spiking else PAPER
        said = f"{'spiking' if spiking else 'conventional'} on {device}"
        handles.append(Line2D([], [], ls="", marker=mark, color=COLOURS[spiking], mfc=face, mew=1.2, ms=6, label=said))
    columns = 3 if figure.get_figwidth() * 72 > 700 else 1
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=10.5, labelcolor=MUTED, columnspacing=1.2)
