"""One episode as a picture: a row a class, its examples on the left, its queries with what the learner called them on the right."""

import string

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neurometa.report.style import INK, LINE, MUTED, SERIES, Number, axes, canvas

_TILE = np.array([1.0, 1.0, 1.0])
_DRAWN = np.array([0.106, 0.122, 0.141])


def letter(label: int | np.integer) -> str:
    """Name a class: A, B, ... Z, then A1, B1, ..."""
    turn, place = divmod(int(label), 26)
    return string.ascii_uppercase[place] + (str(turn) if turn else "")


def episode(arrays: dict[str, np.ndarray], width: Number) -> Figure:
    """Draw support and queries; a wrong answer has a heavy dashed frame, a cross and the letter that was given.

    Args:
        arrays: `support_x` (n, channels, height, width) with ink = 1, `support_y` (n,), `query_x`, `query_y`, `predicted` (queries,).
    """
    classes = np.unique(arrays["support_y"])
    support = [arrays["support_x"][arrays["support_y"] == label] for label in classes]
    asked = [np.flatnonzero(arrays["query_y"] == label) for label in classes]
    shots, queries = max(map(len, support)), max(map(len, asked))
    blocks = 2 if width > 500 and len(classes) > 6 else 1
    lines = -(-len(classes) // blocks)
    name, divide, between = 22.0, 20.0, 44.0
    room = (width - between * (blocks - 1)) / blocks - name - divide
    cell = min(room / (shots + queries), 98.0)
    tall = cell + 26
    figure = canvas(width, 24 + lines * tall)
    ax = axes(figure, 0, 0, width, 24 + lines * tall)
    ax.set(xlim=(0, width), ylim=(24 + lines * tall, 0), xticks=[], yticks=[])
    block = name + divide + cell * (shots + queries)
    for b in range(blocks):
        left = b * (block + between)
        ax.text(left + name, 14, "shown" if shots == 1 else "shown: examples", fontsize=12, color=MUTED)
        ax.text(left + name + shots * cell + divide, 14, "asked: which one is this?", fontsize=12, color=MUTED)
        ax.plot([left + name + shots * cell + divide / 2] * 2, [24, 24 + lines * tall - 14], color=LINE, lw=1.2)
    for i, label in enumerate(classes):
        x, y = (i // lines) * (block + between), 24 + (i % lines) * tall
        ax.text(x + 2, y + cell / 2, letter(label), fontsize=15, fontweight="bold", color=INK, va="center_baseline")
        for j, picture in enumerate(support[i]):
            _tile(ax, picture, x + name + j * cell, y, cell)
        for j, q in enumerate(asked[i]):
            at = x + name + shots * cell + divide + j * cell
            right = arrays["predicted"][q] == label
            _tile(ax, arrays["query_x"][q], at, y, cell, wrong=not right)
            mark, colour, weight = ("✓", MUTED, "normal") if right else ("✗", SERIES[1], "bold")
            said = f"{letter(arrays['predicted'][q])} {mark}"
            ax.text(at + cell / 2, y + cell + 12, said, ha="center", fontsize=12.5 if cell > 40 else 11, color=colour, fontweight=weight)
    return figure


def _tile(ax: Axes, picture: np.ndarray, x: Number, y: Number, cell: Number, wrong: bool = False) -> None:
    ink = np.clip(picture.reshape(-1, *picture.shape[-2:]).mean(axis=0), 0, 1)[..., None]
    inner = 3.0 if cell > 30 else 1.5
    box = (x + inner, x + cell - inner, y + cell - inner, y + inner)
    ax.imshow(_TILE * (1 - ink) + _DRAWN * ink, extent=box, interpolation="none", aspect="auto")
    frame = Rectangle((box[0], box[3]), box[1] - box[0], box[2] - box[3], fill=False, ec=LINE, lw=1)
    if wrong:
        frame.set(edgecolor=SERIES[1], linewidth=2.4, linestyle=(0, (4, 2)))
    ax.add_patch(frame)
