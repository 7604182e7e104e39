"""One figure from run folders, as PDF, SVG and PNG."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from neurometa.errors import UserError
from neurometa.report import figures, points, read, words
from neurometa.report.estimates import energy
from neurometa.report.style import WIDE, file_text
from neurometa.report.tradeoff import tradeoff

KINDS = ("tradeoff", "learning", "raster")
LEVELS = (80.0, 90.0, 95.0, 97.0, 98.0, 99.0)
"""Accuracies at which the least energies are compared, in percent."""


def write(kind: str, folders: Sequence[Path], out: Path | None) -> tuple[list[Path], list[dict[str, Any]]]:
    """Draw runs and write the files.

    Args:
        kind: "tradeoff" (energy and latency against accuracy), "learning" (curves of all runs) or "raster" (one adapted query each).
        folders: run folders or published learners.
        out: without a suffix, the stem of all files; with .pdf, .svg or .png only that one. By default the kind, here.
    Returns:
        The files; of a trade-off, the least energies at each accuracy.
    Raises:
        UserError: no such kind or format, or the runs hold nothing to draw.
    """
    if kind not in KINDS:
        raise UserError(f"plot {kind} is not known: expected one of {', '.join(KINDS)}")
    out = out or Path(kind)
    if out.suffix not in ("", ".pdf", ".svg", ".png"):
        raise UserError(f"--out {out} given, expected a name that ends in .pdf, .svg or .png, or in nothing for all three")
    if kind == "tradeoff":
        found = points.read(folders)
        drawn = {stem: lambda width, measure=measure: tradeoff(found, measure, width) for measure, stem in _STEMS.items()}
        return [file for stem, draw in drawn.items() for file in _files(draw, out, stem)], points.iso(found, LEVELS)
    runs = [read.load(folder) for folder in folders]
    names = [words.name(run) for run in runs]
    if kind == "learning":
        drawings = [("", figures.learning(runs, words.labels(list(runs))))]
    else:
        several = len(runs) > 1
        drawings = [
            (f"-{name}-{i}" if several else "", figures.raster(run)) for i, (name, run) in enumerate(zip(names, runs, strict=True), 1)
        ]
    if not all(drawing for _, drawing in drawings):
        raise UserError(
            f"{', '.join(str(f) for f in folders)}: no {kind} to draw; give runs that have ended, of spiking networks for a raster"
        )
    return [file for stem, drawing in drawings if drawing for file in _files(drawing.draw, out, stem)], []


_STEMS = {"energy": "", "latency": "-latency"}


def _files(draw: Callable[[float], Figure], out: Path, stem: str) -> list[Path]:
    figure, kinds = draw(WIDE), [out.suffix] if out.suffix else [".pdf", ".svg", ".png"]
    files = [out.with_name(f"{out.stem}{stem}{suffix}") for suffix in kinds]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.suffix == ".svg":
                file.write_text(file_text(figure), encoding="utf-8")
            else:
                figure.savefig(file, dpi=144, metadata={"CreationDate": None} if file.suffix == ".pdf" else None)
    except OSError as problem:
        raise UserError(f"{files[0]} cannot be written ({problem.strerror}): choose another place with --out") from None
    return files


def table(found: list[dict[str, Any]]) -> list[str]:
    """The least energies of each side at each accuracy, one line each."""
    said = []
    for one in found:
        told = [f"{side} {_side(one[side])}" for side in ("spiking", "conventional")]
        ratio = one["ratio"]
        times = f"; ratio {ratio['value']:.3g} ({ratio['low']:.2g} to {ratio['high']:.2g})" if ratio else ""
        said.append(f"{one['task']}, {one['phase']}, {one['accuracy']:g} %: {told[0]}; {told[1]}{times}")
    return said


def _side(one: dict[str, Any] | None) -> str:
    if one is None:
        return "does not reach it"
    return f"{'>= ' if one['lower_bound'] else ''}{energy(one['energy_nj']['value'])} ({one['run']} on {one['device']})"
