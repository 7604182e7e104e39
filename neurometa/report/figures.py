"""From run folders to figures: which ones there are, what they say in words, and where they are saved."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from neurometa.report import activity, plots, scores, words
from neurometa.report.episode import episode as draw_episode
from neurometa.report.episode import letter
from neurometa.report.plots import Bar, Curve, Panel, Score
from neurometa.report.read import Reading
from neurometa.report.style import WIDE, file_text


class Drawing(NamedTuple):
    """A figure that can be drawn at any width in pixels, with its words; `name` is its file's."""

    name: str
    draw: Callable[[float], Figure]
    alt: str
    caption: str


def save(drawings: Sequence[Drawing], folder: Path) -> None:
    """Write each figure as .svg and .png."""
    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        figure = drawing.draw(WIDE)
        (folder / f"{drawing.name}.svg").write_text(file_text(figure), encoding="utf-8")
        figure.savefig(folder / f"{drawing.name}.png", dpi=144)


def accuracy(runs: Sequence[Reading], labels: Sequence[str]) -> Drawing | None:
    """Accuracy before and after adaptation, every evaluation of every run, the same task side by side."""
    found = [(run, i, one) for i, run in enumerate(runs) for one in scores.evaluations(run) if one.chance]
    order = list(dict.fromkeys((one.split, one.task) for _, _, one in found))
    several_splits = len({one.split for _, _, one in found}) > 1
    rows = []
    for _, i, one in sorted(found, key=lambda entry: (order.index((entry[2].split, entry[2].task)), entry[1])):
        group = one.task + (f", {words.split(one.split)}" if several_splits else "")
        before = one.before or scores.Interval(0, 0)
        start = one.chance if one.guess else before.mean if one.before else None
        zeroed = one.zeroed.mean if one.zeroed else None
        label = labels[i] if len(runs) > 1 else ""
        rows.append(Score(group, label, i, one.chance or 0, *one.after, start, before.ci95, zeroed, one.guess))
    if not rows:
        return None
    told = "; ".join(
        f"{row.group} {row.label}".strip()
        + ": "
        + (f"{row.before:.1f} % before{' (a guess)' if row.guess else ''}, " if row.before is not None else "")
        + f"{row.after:.1f} % after"
        for row in rows
    )
    if all(row.guess for row in rows):
        caption = "Accuracy after adaptation to the examples, on characters never seen in training. "
        caption += "Each line begins at chance: before adaptation no readout is written, so the answer is a guess. "
    else:
        caption = "Accuracy before (open) and after (filled) adaptation to the examples, on characters never seen in training. "
        if any(row.guess for row in rows):
            caption += "Where no mark is open, no readout is written before adaptation, so the answer is a guess. "
    caption += "Whiskers: 95 % interval, often narrower than the mark. Dashed tick: guessing."
    if any(row.zeroed is not None for row in rows):
        caption += " Cross: the same learner with the updates of its hidden layers set to zero."
    return Drawing("accuracy", lambda width: plots.accuracy(rows, width), f"Accuracy before and after adaptation. {told}.", caption)


def learning(runs: Sequence[Reading], labels: Sequence[str]) -> Drawing | None:
    """The learning curve of each run that has one."""
    curves = []
    for run, label in zip(runs, labels, strict=True):
        if run.metrics["accuracy"].drop_nulls().len():
            ways = words.part(run, "task", "ways")
            chance = 100 / ways if isinstance(ways, int) and ways else 0.0
            curves.append(Curve(label, run.metrics["step"].to_numpy(), run.metrics["accuracy"].to_numpy(), chance))
    if not curves:
        return None
    ends = [plots.smooth(curve.accuracy)[0] for curve in curves]
    told = "; ".join(
        f"{curve.label} goes from {end[0]:.0f} % to {end[-1]:.0f} % in {curve.steps[-1]:,} steps"
        for curve, end in zip(curves, ends, strict=True)
    )
    windows = sorted({plots.smooth(curve.accuracy)[1] for curve in curves})
    tasks = dict.fromkeys(
        f"{words.part(run, 'task', 'ways')}-way {words.part(run, 'task', 'shots')}-shot" for run in runs if run.metrics.height
    )
    caption = f"Accuracy on practice problems ({', '.join(tasks)}) made of training characters, as meta-training goes on. "
    caption += "Faint: as logged. "
    caption += f"Strong: moving average over {' or '.join(map(str, windows))} logged values. "
    caption += "".join(
        f"{label} began with the weights of {words.began(run)}. " for run, label in zip(runs, labels, strict=True) if words.began(run)
    )
    caption += "The unseen characters, on which the learner is judged, play no part in this curve."
    return Drawing("learning", lambda width: plots.learning(curves, width), f"Learning curve on training characters: {told}.", caption)


def comparison(runs: Sequence[Reading], labels: Sequence[str]) -> Drawing | None:
    """Accuracy, size, spikes and training time of several runs."""
    if len(runs) < 2:
        return None
    rows: list[list[Bar]] = [[], [], [], []]
    for run, label in zip(runs, labels, strict=True):
        one, summary = scores.main(run), run.summary or {}
        rows[0].append(Bar(label, one.after.mean, str(one.after)) if one else Bar(label, None, "not measured"))
        rows[1].append(_bar(label, summary.get("parameters"), ""))
        fired = summary.get("spikes_per_inference") if words.spiking(run) else None
        rows[2].append(_bar(label, fired, "" if words.spiking(run) else "does not spike"))
        spent = scores.trained_s(run, "wall_s")
        rows[3].append(Bar(label, spent, words.duration(spent)))
    titles = (("Accuracy on unseen characters", 100.0), ("Parameters", None), ("Spikes per inference", None), ("Training time", None))
    panels = [Panel(title, top, bars) for (title, top), bars in zip(titles, rows, strict=True)]
    told = " ".join(f"{panel.title}: " + "; ".join(f"{bar.label} {bar.text}" for bar in panel.bars) + "." for panel in panels)
    alike = "The runs, judged on the same kind of problem." if scores.comparable(runs) else "The runs, not all judged on the same problem."
    caption = f"{alike} Every bar begins at zero; accuracy runs to 100 %, the other panels to their largest value."
    return Drawing("comparison", lambda width: plots.comparison(panels, width), told, caption)


def _bar(label: str, value: object, without: str) -> Bar:
    return Bar(label, float(value), f"{value:,.0f}") if isinstance(value, int | float) else Bar(label, None, without or "not recorded")


def episode(run: Reading) -> Drawing | None:
    """One episode with the learner's answers."""
    arrays = run.episode or {}
    if not {"support_x", "support_y", "query_x", "query_y", "predicted"} <= arrays.keys() or arrays["support_x"].ndim < 3:
        return None
    truth, called = arrays["query_y"], arrays["predicted"]
    slips = "".join(f"; {letter(t)} was taken for {letter(c)}" for t, c in zip(truth, called, strict=True) if t != c)
    right, ways = int(np.sum(truth == called)), len(np.unique(arrays["support_y"]))
    told = f"{right} of {len(truth)} answers are right"
    guessed = arrays.get("predicted_before")
    if guessed is not None and not words.written(run):
        told += f"; before adaptation it named {int(np.sum(truth == guessed))} of these {len(truth)} right"
    caption = f"One problem of {ways} characters that were never seen in training, each called by a letter here. "
    caption += "Left: the examples shown to the learner. Right: new images of the same character and what the learner called them; "
    caption += f"a cross and a heavy dashed frame mark a wrong answer. {told}."
    return Drawing(
        "episode", lambda width: draw_episode(arrays, width), f"One few-shot problem with {ways} classes: {told}{slips}.", caption
    )


def raster(run: Reading) -> Drawing | None:
    """Spikes of one query."""
    layers = scores.raster(run)
    if not layers:
        return None
    told = "; ".join(f"{layer}: {int(z.sum()):,} spikes of {z.shape[1]:,} neurons in {len(z)} steps" for layer, z in layers.items())
    caption = "One image passes through the network. Each mark is a spike: a row is a neuron, a column a time step. "
    caption += "Of large layers evenly spaced neurons are drawn; the bars below count all of them."
    return Drawing("raster", lambda width: activity.raster(layers, width), f"Spike raster for one query. {told}.", caption)


def rates(run: Reading) -> Drawing | None:
    """Firing rate of each layer."""
    layers, source = scores.rates(run)
    if not layers or not words.spiking(run):
        return None
    told = "; ".join(f"{layer} {rate:.1f} %" for layer, rate in layers.items())
    strays = [f"{layer} is {activity.outside(rate)}" for layer, rate in layers.items() if activity.outside(rate)]
    caption = f"Share of each layer's neurons that fire at a time step, averaged over {source}. "
    caption += "Shaded: the band of 1 to 30 % in which spikes are sparse yet carry a signal. "
    caption += f"Open diamond: outside it ({', '.join(strays)})." if strays else "Every layer lies inside it."
    return Drawing("rates", lambda width: activity.rates(layers, width), f"Firing rates: {told}.", caption)
