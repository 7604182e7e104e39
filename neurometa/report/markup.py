"""The few pieces of HTML that every section is made of. Plain text goes in, escaped HTML comes out."""

import re
from collections.abc import Sequence
from html import escape
from itertools import count

from neurometa.report.figures import Drawing
from neurometa.report.style import NARROW, WIDE, svg


def text(value: object) -> str:
    """Escape anything for HTML."""
    return escape(str(value))


def paragraph(*sentences: str, kind: str = "") -> str:
    """Wrap sentences, which are plain text."""
    return f"<p{_class(kind)}>{text(' '.join(sentence for sentence in sentences if sentence))}</p>"


def missing(sentence: str) -> str:
    """Say what a page would show in this place and why it cannot."""
    return paragraph(sentence, kind="missing")


def section(title: str, *parts: str, level: int = 2) -> str:
    """Put a heading over parts, which are HTML."""
    return f"<section><h{level}>{text(title)}</h{level}>{''.join(parts)}</section>"


def table(caption: str, head: Sequence[str], lines: Sequence[Sequence[object]], words: int = 1) -> str:
    """Make a table; the first column names the row, the first `words` columns are words, the others numbers."""
    top = "".join(f'<th scope="col"{_class("" if i < words else "n")}>{text(title)}</th>' for i, title in enumerate(head))
    body = "".join("<tr>" + "".join(_cell(i, value, words) for i, value in enumerate(line)) + "</tr>" for line in lines)
    inside = f"<table><caption><span>{text(caption)}</span></caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}">{inside}</div>'


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """List names with their values."""
    entries = ((_class("whole" if len(str(value)) > 40 else ""), text(key), text(value)) for key, value in pairs)
    return '<dl class="facts">' + "".join(f"<div{kind}><dt>{key}</dt><dd>{value}</dd></div>" for kind, key, value in entries) + "</dl>"


def code(lines: str) -> str:
    """Show text to be copied."""
    return f'<pre tabindex="0"><code>{text(lines.strip())}</code></pre>'


def commands(lines: Sequence[str]) -> str:
    """Show command lines to be copied; an option stays in one piece with its value where a line must wrap."""
    shown = ""
    for line in lines:
        head, *options = re.split(r" (?=--)", line)
        shown += "<code>" + text(head) + "".join(f" <span>{text(option)}</span>" for option in options) + "</code>"
    return f'<pre class="commands" tabindex="0">{shown}</pre>'


def folded(title: str, *parts: str) -> str:
    """Put parts, which are HTML, into a block that opens on a click."""
    return f"<details><summary>{text(title)}</summary>{''.join(parts)}</details>"


class Figures:
    """Numbers the figures of one page, so that the ids inside them differ."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def show(self, drawing: Drawing) -> str:
        """Draw a figure twice, for a desktop and for a phone; the style sheet shows one of them."""
        number = next(self._numbers)
        wide, narrow = (svg(drawing.draw(width), f"f{number}{letter}", drawing.alt) for width, letter in ((WIDE, "w"), (NARROW, "n")))
        caption = f"<figcaption><b>Figure {number}.</b> {text(drawing.caption)}</figcaption>"
        return f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>{caption}</figure>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _cell(i: int, value: object, words: int) -> str:
    size = len(str(value))
    kind = _class("n" if i >= words else "long" if size > 24 else "short" if size < 16 else "")
    return f'<th scope="row"{kind}>{text(value)}</th>' if i == 0 else f"<td{kind}>{text(value)}</td>"
