"""How figures look: palette, canvas in pixels, and the way from a matplotlib figure to an SVG inside a page."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Number = int | float

WIDE, NARROW = 860.0, 350.0
"""Figure widths in pixels: every figure is drawn once for a desktop and once for a phone."""

INK, MUTED, LINE, BAND, PAPER = "#1b1f24", "#59616b", "#d5d8dc", "#e6edf5", "#ffffff"
SERIES = ("#1d4f91", "#d55e00", "#4a9fd4", "#8a4f9e")
"""One colour a run: told apart by colour-blind readers, and by their lightness in grey."""
MARKS = ("o", "s", "^", "D")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))

_ROLES = {INK: "ink", MUTED: "muted", LINE: "line", BAND: "band", PAPER: "paper"} | {colour: f"s{i}" for i, colour in enumerate(SERIES)}


def pick(choices: Sequence[Any], index: int) -> Any:
    """Return the `index`-th choice, starting over after the last."""
    return choices[index % len(choices)]


def canvas(width: Number, height: Number) -> Figure:
    """Make an empty figure of `width` x `height` pixels (one point is one pixel)."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=PAPER)


def axes(figure: Figure, left: Number, top: Number, width: Number, height: Number) -> Axes:
    """Add bare axes at a place given in pixels from the top left corner."""
    across, down = figure.get_size_inches() * 72
    ax = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down), facecolor="none")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=12, labelcolor=MUTED, pad=5)
    ax.set_axisbelow(True)
    return ax


def row(ax: Axes, y: Number, left: str, right: str, colour: str) -> None:
    """Write `left ... right` above the line at `y`, in data units; a `left` that is too long loses its middle."""
    across = ax.get_yaxis_transform()
    room = int(ax.bbox.width / 7.4) - len(right)
    ax.text(0, y + 0.3, shorten(left, room), transform=across, ha="left", va="bottom", fontsize=13, color=INK)
    ax.text(1, y + 0.3, right, transform=across, ha="right", va="bottom", fontsize=13, color=colour, fontweight="bold")


def shorten(text: str, room: int) -> str:
    """Cut the middle of a text out where it has more than `room` letters."""
    if len(text) <= room:
        return text
    head = max(room - 1, 2) // 2
    return f"{text[:head]}…{text[len(text) - (max(room - 1, 2) - head) :]}"


def svg(figure: Figure, name: str, alt: str) -> str:
    """Render a figure as SVG to be put inside HTML.

    Text stays text in the page's font, palette colours become CSS variables (so that the page's dark scheme reaches them),
    and every id that is used starts with `name`, which must be unique in the page; others go.
    """
    text = file_text(figure, "none")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    wanted = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    text = re.sub(r" id=\"([^\"]*)\"", lambda found: f' id="{name}-{found[1]}"' if found[1] in wanted else "", text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;\"]+", "font-family: inherit", text)
    text = re.sub(r"font: ((?:[\w.]+ )*[\d.]+px) [^;\"]+", r"font: \1 var(--sans)", text)
    text = re.sub(r" xmlns(:xlink)?=\"[^\"]*\"", "", text).replace("xlink:href", "href")
    for colour, role in _ROLES.items():
        text = text.replace(colour, f"var(--{role})")
    width, height = (round(side * 72) for side in figure.get_size_inches())
    head = f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}" style="max-width:{width}px">'
    return head + re.sub(r"\n\s*", "\n", text[text.index(">") + 1 :]).strip()


def file_text(figure: Figure, fonttype: str = "path") -> str:
    """Render a figure as a standalone SVG file; `fonttype` "path" draws the letters, "none" leaves them as text."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "neurometa", "svg.image_inline": True, "svg.fonttype": fonttype}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
