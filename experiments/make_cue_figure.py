"""Draw docs/assets/delayed-cue.png: one trial of the delayed cue, and what each rule reaches.

    python -m experiments.make_cue_figure

Reads experiments/data/delayed-cue.jsonl and the episode that the first of its e-prop learners left; trains and measures nothing.
"""

import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from neurometa.report.style import INK, LINE, MUTED, PAPER, SERIES, axes, canvas

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "assets" / "delayed-cue.png"
WIDTH, HEIGHT = 1000, 360
CUE, QUESTION = (0, 20), (220, 240)

ROWS = {
    "bptt": "backpropagation through time",
    "eprop-alif": "e-prop, adaptive neurons",
    "eprop-short": "the same, eligibility without adaptation",
    "eprop-lif": "e-prop, plain leaky neurons",
    "frozen": "nothing learns within the episode",
}
"""Learners by the end of their name, the best first, and what a reader should know of each."""


def trial(ax: Axes, arrays: dict[str, np.ndarray]) -> None:
    """Input spikes of one trial above, those of the adaptive neurons below."""
    given, sent = arrays["query_x"][0], arrays["raster/alif1"]
    for first, last, name in ((*CUE, "cue"), (*QUESTION, "question")):
        ax.axvspan(first, last, color=LINE, alpha=0.6, lw=0)
        ax.text((first + last) / 2, -4, name, ha="center", va="bottom", fontsize=12, color=MUTED)
    ax.text(120, -4, "200 steps of silence", ha="center", va="bottom", fontsize=12, color=MUTED)
    for spikes, offset, colour in ((given, 0, MUTED), (sent, given.shape[1] + 4, SERIES[0])):
        step, neuron = np.nonzero(spikes)
        ax.scatter(step, neuron + offset, s=5, marker="s", color=colour, lw=0)
    whole = given.shape[1] + 4 + sent.shape[1]
    ax.set(xlim=(-2, 242), ylim=(whole, -3), yticks=[given.shape[1] / 2, given.shape[1] + 4 + sent.shape[1] / 2], xticks=[0, 100, 200])
    ax.set_yticklabels(["inputs", "neurons"], rotation=90, va="center")
    ax.set_xlabel("time step", fontsize=12, color=MUTED)


def accuracies(ax: Axes) -> None:
    """One line a rule, a dot at its accuracy, the chance level drawn."""
    ax.set(xlim=(45, 101), ylim=(len(ROWS) - 0.4, -0.7), yticks=[], xticks=[50, 75, 100])
    ax.axvline(50, color=MUTED, lw=1, ls=(0, (2, 2)))
    lines = [json.loads(line) for line in (HERE / "data" / "delayed-cue.jsonl").read_text(encoding="utf-8").splitlines()]
    first = {line["experiment"]: line["accuracy"] for line in lines if (line["variant"], line["training_seed"]) == ("cue-silent", 0)}
    for y, (name, label) in enumerate(ROWS.items()):
        found = first[f"delayed-cue-{name}"]
        ours = name == "eprop-alif"
        colour = SERIES[0] if ours else MUTED
        ax.plot([50, found["mean"]], [y, y], color=LINE, lw=1.2, zorder=1)
        ax.errorbar(
            [found["mean"]], [y], xerr=[found["ci95"]], marker="o", ms=8, color=colour, mfc=colour if ours else PAPER, mew=1.8, zorder=2
        )
        ax.text(50.8, y - 0.2, label, fontsize=12, color=INK if ours else MUTED, fontweight="bold" if ours else "normal")
        ax.text(101, y - 0.2, f"{found['mean']:.1f}", ha="right", fontsize=12, color=colour, fontweight="bold" if ours else "normal")
    ax.set_xlabel("% of unseen episodes' questions answered right; 50 is chance", fontsize=12, color=MUTED)


def main() -> None:
    """Draw both halves."""
    figure = canvas(WIDTH, HEIGHT)
    with np.load(HERE / "data" / "delayed-cue-episode.npz") as arrays:
        trial(axes(figure, 50, 40, 460, 260), dict(arrays))
    accuracies(axes(figure, 560, 20, 410, 280))
    figure.savefig(OUT, dpi=144)


if __name__ == "__main__":
    main()
