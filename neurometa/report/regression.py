"""The page of runs that learn to tell values: squared errors and curves in the place of accuracies and pictures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from neurometa.report import scores, words
from neurometa.report.figures import Drawing
from neurometa.report.markup import Figures, missing, paragraph, section, table, text
from neurometa.report.plots import smooth
from neurometa.report.read import Reading
from neurometa.report.style import DASHES, INK, LINE, MUTED, SERIES, Number, axes, canvas, pick


def is_one(run: Reading) -> bool:
    """Whether a run is of a task that asks for values."""
    return words.part(run, "task", "kind") == "sinusoid"


def title(runs: Sequence[Reading]) -> str:
    """One sentence in plain text."""
    if len(runs) > 1:
        return f"{len(runs)} learners, asked for values of functions they had never seen"
    found = _measured(runs[0])
    kind = "spiking" if words.spiking(runs[0]) else "conventional"
    if not found:
        return f"A {kind} network that is learning to tell functions from a few points: not yet judged"
    return f"A {kind} network tells a new sine from {_shots(found[0])} with a squared error of {found[0]['mse']['mean']:.2f}"


def opening(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> str:
    """Header, what was asked, how well it went, and how it came to be."""
    tags = " · ".join(dict.fromkeys(words.name(run) for run in runs))
    lead = paragraph(
        "Each problem is one sine of its own amplitude and phase. The learner sees some of its points and is asked for values elsewhere.",
        "The squared error is in squared units of that value; a sine of amplitude 5 has a mean square of 12.5.",
        kind="lead",
    )
    steps = [
        paragraph(f"{label}: {words.network(run)}. In an episode the learner {words.plasticity(run)}. Meta-training moves the slow weights")
        + paragraph(f"{words.estimator(run)}.")
        for run, label in zip(runs, labels, strict=True)
    ]
    head = f'<header><p class="tag">neurometa report · {text(tags)}</p><h1>{text(title(runs))}</h1>{lead}</header>'
    return head + _table(runs, labels) + _curve(runs, labels, show) + section("How it works", *steps)


def episode(run: Reading, show: Figures, level: int = 2) -> str:
    """One problem, drawn: the points that were shown, the function, what the learner says before and after."""
    arrays = run.episode or {}
    if not {"support_x", "support_y", "query_x", "query_y", "predicted", "predicted_before"} <= arrays.keys():
        return section("One problem, drawn", missing(f"No episode can be drawn. {run.gaps.get('episode.npz', '')}"), level=level)
    error = float(np.mean((arrays["predicted"] - arrays["query_y"]) ** 2))
    told = f"{len(arrays['support_x'])} points shown, {len(arrays['query_x'])} asked for; squared error {error:.3f}"
    caption = f"One problem that was never seen in training. {told}. Dots: points shown. Strong line: the learner after them. "
    caption += "Dashed: before them. Thin: the function itself, at the points asked for."
    drawing = Drawing("episode", lambda width: drawn(arrays, width), f"One problem of regression: {told}.", caption)
    return section("One problem, drawn", show.show(drawing), level=level)


def _measured(run: Reading) -> list[dict]:
    return [found for found in (run.summary, *run.evaluations) if found and isinstance(found.get("mse"), dict)]


def _shots(found: dict) -> str:
    return words.count(found["task"]["shots"], "point")


def _table(runs: Sequence[Reading], labels: Sequence[str]) -> str:
    lines = []
    for run, label in zip(runs, labels, strict=True):
        seen = set()
        for found in _measured(run):
            if (key := (found["task"]["shots"], found["episodes"], found["seed"])) not in seen:
                seen.add(key)
                lines.append([label, _shots(found), *(_spread(found.get(k)) for k in ("mse", "before_adaptation")), found["episodes"]])
    if not lines:
        return section("Squared error", missing("No evaluation is recorded: the run is not done, or summary.json is missing."))
    caption = "Mean squared error over episodes of new sines, and half-width of its 95 % interval"
    return section("Squared error", table(caption, ["Run", "Shown", "After", "Before", "Episodes"], lines, words=2))


def _spread(found: dict | None) -> str:
    """The same form as an accuracy's, in squared units."""
    one = scores.interval(found)
    return "-" if one is None else f"{one.mean:.3f} ± {one.ci95:.3f}"


def _curve(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> str:
    curves = [(label, run.metrics) for run, label in zip(runs, labels, strict=True) if run.metrics.height]
    if not curves:
        return section("Learning curve", missing(f"No curve can be drawn. {runs[0].gaps.get('metrics.jsonl', '')}"))

    def draw(width: Number) -> Figure:
        figure = canvas(width, 300)
        ax = axes(figure, 52, 26, width - 70, 222)
        for i, (label, metrics) in enumerate(curves):
            loss = metrics["loss"].to_numpy()
            ax.plot(metrics["step"].to_numpy(), smooth(loss)[0], color=pick(SERIES, i), lw=2.4, ls=pick(DASHES, i), label=label)
        ax.set_yscale("log")
        ax.grid(axis="y", color=LINE, lw=0.7)
        ax.set_xlabel("meta-training step", fontsize=12, color=INK, labelpad=6)
        figure.text(6 / width, 1 - 6 / 300, "squared error on training problems", fontsize=12, color=INK, va="top")
        if len(curves) > 1:
            ax.legend(frameon=False, fontsize=12, labelcolor=INK, handlelength=3)
        return figure

    ends = "; ".join(f"{label} ends at {metrics['loss'][-1]:.3f}" for label, metrics in curves)
    caption = "Squared error after adaptation, on practice problems, as meta-training goes on (moving average)."
    return section("Learning curve", show.show(Drawing("learning", draw, f"Learning curve: {ends}.", caption)))


def drawn(arrays: dict[str, np.ndarray], width: Number) -> Figure:
    """Draw the points shown, the function, and what the learner says before and after them.

    Args:
        arrays: `support_x`, `support_y`, `query_x`, `query_y`, `predicted`, `predicted_before`, each (points, 1).
    """
    figure = canvas(width, 360)
    ax = axes(figure, 50, 60, width - 68, 250)
    x = arrays["query_x"][:, 0]
    order = np.argsort(x)
    for name, style in (
        ("query_y", {"color": MUTED, "lw": 1.2, "label": "the function"}),
        ("predicted_before", {"color": SERIES[1], "lw": 1.6, "ls": (0, (4, 3)), "label": "learner before"}),
        ("predicted", {"color": SERIES[0], "lw": 2.4, "label": "learner after"}),
    ):
        ax.plot(x[order], arrays[name][order, 0], **style)
    ax.plot(arrays["support_x"][:, 0], arrays["support_y"][:, 0], "o", color=INK, ms=6, label="points shown")
    ax.grid(color=LINE, lw=0.7)
    ax.set_xlabel("x", fontsize=12, color=INK)
    ax.set_ylabel("y", fontsize=12, color=INK)
    where = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4 if width > 500 else 2}
    ax.legend(frameon=False, fontsize=12, labelcolor=INK, handlelength=2, columnspacing=1.4, **where)
    return figure
