"""Draw docs/assets/rules.svg and docs/assets/curves.svg: the comparison of rules, and accuracy over examples and over inner steps.

    python -m experiments.make_rules_figures

Reads experiments/data/rules.jsonl and curves.jsonl; measures nothing.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neurometa.report.style import DASHES, INK, LINE, MARKS, MUTED, PAPER, SERIES, axes, canvas, file_text, pick

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "assets"


def lines(name: str) -> list[dict[str, Any]]:
    """A file of experiments/data, line by line."""
    return [json.loads(line) for line in (HERE / "data" / name).read_text(encoding="utf-8").splitlines()]


def gained(ax: Axes, found: list[dict[str, Any]], names: list[str], task: str) -> None:
    """By hand to trained, one line a rule, the mean over seeds."""
    chance = 100 / int(task.split("w")[0])
    ax.set(xlim=(0, 101), ylim=(len(names) - 0.4, -0.7), yticks=[], xticks=[0, 20, 40, 60, 80, 100])
    ax.axvline(chance, color=LINE, lw=1.2, zorder=0)
    ax.text(chance, -0.75, "chance", ha="center", va="bottom", fontsize=10.5, color=MUTED)
    ax.set_title(f"{task.split('w')[0]} ways, 1 example each: % right", loc="left", fontsize=13, color=INK, pad=18)
    for y, name in enumerate(names):
        own = [line for line in found if line["row"] == name and line["task"] == task]
        if not own:
            ax.text(chance + 2, y, "not measured", va="center", fontsize=11, color=MUTED)
            continue
        after = float(np.mean([line["trained"]["mean"] for line in own]))
        given = [line["by hand"]["mean"] for line in own if "by hand" in line]
        if given:
            hand = float(np.mean(given))
            ax.plot([hand, after], [y, y], color=SERIES[2], lw=3, solid_capstyle="butt", zorder=1)
            ax.plot([hand], [y], "o", ms=8, color=MUTED, mfc=PAPER, mew=1.8, zorder=2)
        ax.plot([after], [y], "o", ms=8, color=SERIES[0], zorder=3)
        left = min([after, *(line["by hand"]["mean"] for line in own if "by hand" in line)])
        ax.text(left - 3, y, f"{after:.1f}", ha="right", va="center", fontsize=12, color=SERIES[0])


def rules() -> None:
    """The comparison: a panel for each number of ways."""
    found = lines("rules.jsonl")
    five = {line["row"]: line["trained"]["mean"] for line in found if line["task"] == "5w1s"}
    names = sorted(five, key=lambda name: -five[name])
    figure = canvas(900, 90 + 30 * len(names))
    high = 30 * len(names)
    labels = axes(figure, 0, 46, 140, high)
    labels.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.7), xticks=[], yticks=[])
    for y, name in enumerate(names):
        labels.text(0.97, y, name, ha="right", va="center", fontsize=11.5, color=INK)
    for left, task in ((150, "5w1s"), (530, "20w1s")):
        gained(axes(figure, left, 46, 350, high), found, names, task)
    figure.text(0.995, 0.012, "○ by hand    ● meta-trained", ha="right", fontsize=11.5, color=MUTED)
    (OUT / "rules.svg").write_text(file_text(figure), encoding="utf-8")


def curve(ax: Axes, found: list[dict[str, Any]], title: str) -> None:
    """Accuracy over one quantity, on a logarithmic axis, a line a rule."""
    ax.set_xscale("log")
    ticks = sorted({point["value"] for point in found})
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    low = min(point["mean"] - point["ci95"] for point in found)
    low -= 0.05 * (100 - low)
    ax.set_ylim(low, 100 + 0.02 * (100 - low))
    ax.grid(axis="y", color=LINE, lw=0.8)
    ax.set_title(title, loc="left", fontsize=13, color=INK, pad=10)
    ends = []
    for i, name in enumerate(dict.fromkeys(point["rule"] for point in found)):
        own = sorted((p for p in found if p["rule"] == name), key=lambda p: p["value"])
        x, y, e = ([p[key] for p in own] for key in ("value", "mean", "ci95"))
        colour = pick((*SERIES, MUTED, INK), i)
        ax.errorbar(x, y, e, color=colour, lw=2, ls=pick(DASHES, i), marker=pick(MARKS, i), ms=5)
        ends.append([y[-1], ticks[-1], name, colour])
    ends.sort(key=lambda end: -end[0])
    for above, end in zip([None, *ends], ends, strict=False):
        end.append(end[0] if above is None else min(end[0], above[4] - 0.06 * (100 - low)))
    for _, x, name, colour, at in ends:
        ax.text(x * 1.06, at, name, va="center", fontsize=11.5, color=colour)


def curves() -> None:
    """Over examples on the left, over inner steps on the right."""
    found = lines("curves.jsonl")
    figure = canvas(980, 400)
    curve(axes(figure, 40, 46, 310, 310), [p for p in found if p["over"] == "examples"], "% right over examples of each class")
    curve(axes(figure, 530, 46, 310, 310), [p for p in found if p["over"] != "examples"], "% right over inner steps, 1 example each")
    (OUT / "curves.svg").write_text(file_text(figure), encoding="utf-8")


if __name__ == "__main__":
    rules()
    curves()
