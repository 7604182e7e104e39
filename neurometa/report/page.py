"""The report: run folders in, one self-contained HTML page out. No script, no font, no picture from elsewhere."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

import neurometa
from neurometa.errors import UserError
from neurometa.report import costs, detail, figures, loihi, opening, read, regression, results, words
from neurometa.report.figures import Drawing
from neurometa.report.markup import Figures, missing, text
from neurometa.report.read import Reading


def write(runs: list[Path], out: Path | None = None) -> Path:
    """Write the page and each run's figures.

    Figures go to `figures/` inside each run folder; those of a published learner, which is only read, to a folder beside the page.

    Args:
        runs: run folders or published learners, at least one; several are set side by side in the order given.
        out: file to write; by default report.html inside the first run, or NAME-report.html here where that is a published learner.
    Returns:
        The page's path.
    Raises:
        UserError: no run was given, a folder is no run, or the page cannot be written.
    """
    if not runs:
        raise UserError("no run folder was given, expected at least one: name a folder that 'neurometa run' wrote")
    readings = [read.load(Path(folder)) for folder in runs]
    first = readings[0]
    if out is None:
        out = Path(f"{_safe(words.name(first))}-report.html") if first.published else first.folder / "report.html"
    unsaved = [problem for reading in readings if (problem := _save(reading, readings, out))]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(render(readings, unsaved), encoding="utf-8")
    except OSError as problem:
        raise UserError(f"{out} cannot be written ({problem.strerror}): choose another file with --out") from problem
    return out


def render(runs: Sequence[Reading], unsaved: Sequence[str] = ()) -> str:
    """Return the page's HTML."""
    labels, show = words.labels(list(runs)), Figures()
    if any(map(regression.is_one, runs)):
        return _page(regression.title(runs), _values(runs, labels, show), unsaved)
    parts = [opening.opening(runs, labels), opening.method(runs, labels)]
    if len(runs) == 1:
        run = runs[0]
        parts += [detail.episode(run, show), results.accuracy(runs, labels, show), results.learning(runs, labels, show)]
        parts += [detail.activity(run, show), costs.section_of(run, show), loihi.loihi(run, show), detail.network(run), detail.again(run)]
    else:
        parts += [results.comparison(runs, labels, show), results.accuracy(runs, labels, show), results.learning(runs, labels, show)]
        for run, label in zip(runs, labels, strict=True):
            inside = [
                detail.episode(run, show, 3),
                detail.activity(run, show, 3),
                costs.section_of(run, show, 3),
                loihi.loihi(run, show, 3),
            ]
            inside += [detail.network(run, 3), detail.again(run, 3)]
            parts.append(f'<article><h2 class="run">{text(label)}</h2>{"".join(inside)}</article>')
    return _page(opening.title(runs), parts, unsaved)


def _values(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> list[str]:
    """The parts of a page about regressions."""
    if not all(map(regression.is_one, runs)):
        raise UserError("runs of regressions and of classifications given, one kind expected: write a page for each kind")
    parts, several = [regression.opening(runs, labels, show)], len(runs) > 1
    for run, label in zip(runs, labels, strict=True):
        level = 3 if several else 2
        inside = [
            regression.episode(run, show, level),
            detail.activity(run, show, level),
            detail.network(run, level),
            detail.again(run, level),
        ]
        heading = f'<h2 class="run">{text(label)}</h2>' if several else ""
        parts.append(f"<article>{heading}{''.join(inside)}</article>")
    return parts


def _page(title: str, parts: Sequence[str], unsaved: Sequence[str]) -> str:
    here = resources.files("neurometa.report")
    page = Template((here / "page.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=text(title),
        style=(here / "page.css").read_text(encoding="utf-8"),
        body="\n".join(parts),
        unsaved="".join(missing(sentence) for sentence in unsaved),
        version=text(neurometa.__version__),
    )


def _save(run: Reading, runs: Sequence[Reading], out: Path) -> str:
    """Save a run's own figures, and beside those of the first run the joint comparison; return a sentence where that fails."""
    own = [figures.accuracy([run], [words.name(run)]), figures.learning([run], [words.name(run)])]
    own += [figures.episode(run), figures.raster(run), figures.rates(run), loihi.overlay(run)]
    own += [figures.comparison(runs, words.labels(list(runs)))] if run is runs[0] else []
    drawings: list[Drawing] = [drawing for drawing in own if drawing is not None]
    folder = out.parent / f"{out.stem}-figures" / _safe(words.name(run)) if run.published else run.folder / "figures"
    try:
        figures.save(drawings, folder)
    except OSError as problem:
        return f"The figures could not be saved as files in {folder} ({problem.strerror}); they are complete on this page."
    return ""


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
