"""Draw docs/assets/omniglot.png: what the published learners reach on unseen Omniglot characters, and one problem of theirs.

    python -m experiments.make_readme_figure

Reads experiments/trained/omniglot-prototype, its conventional twin, and experiments/data/published.toml; trains and measures nothing.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from neurometa.report.style import INK, LINE, MUTED, PAPER, SERIES, axes, canvas

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "assets" / "omniglot.png"
WIDTH, HEIGHT, LOWEST = 1000, 330, 80.0


def measured(name: str, label: str) -> dict:
    """Accuracy of a published learner with 5 and with 20 ways, from its evaluations."""
    ways = {}
    for n in ("5", "20"):
        path = HERE / "trained" / name / "evaluations" / f"background-evaluation-{n}w1s-1.json"
        ways[n] = json.loads(path.read_text(encoding="utf-8"))["accuracy"]["mean"]
    return {"name": label, "ways": ways}


def problem(ax: Axes, arrays: dict[str, np.ndarray], queries: int = 3) -> None:
    """One example of each class on the left, new drawings of it and whether they were named rightly on the right."""
    ways = int(arrays["support_y"].max()) + 1
    ax.set(xlim=(-0.15, queries + 1.45), ylim=(ways + 0.06, -0.42), xticks=[], yticks=[], aspect="equal")
    ax.text(0.5, -0.16, "shown", ha="center", fontsize=12, color=MUTED)
    ax.text(1.3 + queries / 2, -0.16, "asked", ha="center", fontsize=12, color=MUTED)
    for label in range(ways):
        tiles = [(0.0, arrays["support_x"][arrays["support_y"] == label][0], True)]
        for j, q in enumerate(np.flatnonzero(arrays["query_y"] == label)[:queries]):
            tiles.append((1.3 + j, arrays["query_x"][q], arrays["predicted"][q] == label))
        for x, picture, right in tiles:
            ax.imshow(1 - picture[0], cmap="gray", vmin=0, vmax=1, extent=(x + 0.06, x + 0.94, label + 0.94, label + 0.06))
            if not right:
                ax.text(x + 0.88, label + 0.24, "✗", ha="right", fontsize=14, fontweight="bold", color=SERIES[1])
    ax.plot([1.15, 1.15], [0.06, ways - 0.06], color=LINE, lw=1.2)


def accuracies(ax: Axes, results: list[dict], ways: str) -> None:
    """One line a result, a dot at its accuracy."""
    ax.set(xlim=(LOWEST, 100.5), ylim=(len(results) - 0.4, -0.75), yticks=[], xticks=[80, 90, 100])
    ax.set_title(f"{ways} characters, one example each: % right", loc="left", fontsize=13, color=INK, pad=12)
    for y, result in enumerate(results):
        value, ours = result["ways"][ways], y == 0
        colour = SERIES[0] if ours else MUTED
        ax.plot([LOWEST, value], [y, y], color=LINE, lw=1.2, zorder=1)
        ax.plot([value], [y], marker="o", ms=10 if ours else 8, color=colour, mfc=colour if ours else PAPER, mew=1.8, zorder=2)
        ax.text(LOWEST, y - 0.2, result["name"], fontsize=11.5, color=INK if ours else MUTED, fontweight="bold" if ours else "normal")
        ax.text(100.5, y - 0.2, f"{value:.1f}", ha="right", fontsize=12, color=colour, fontweight="bold" if ours else "normal")


def main() -> None:
    """Draw and save."""
    published = tomllib.loads((HERE / "data" / "published.toml").read_text(encoding="utf-8"))["result"]
    ours = measured("omniglot-prototype", "neurometa, spiking"), measured("omniglot-prototype-relu", "neurometa, conventional twin")
    results = [*ours, *published]
    figure = canvas(WIDTH, HEIGHT)
    with np.load(HERE / "trained" / "omniglot-prototype" / "episode.npz") as arrays:
        problem(axes(figure, 10, 14, 290, 306), dict(arrays))
    for left, ways in ((340, "5"), (680, "20")):
        accuracies(axes(figure, left, 44, 300, 256), results, ways)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=144, facecolor=PAPER)


if __name__ == "__main__":
    main()
