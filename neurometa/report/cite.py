"""BibTeX of what a run rests on: its rule, outer loop and data, and the sources of the chips and cells of its estimate and evaluation."""

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from neurometa import __version__
from neurometa.chips.read import shipped, sources
from neurometa.experiment.folder import open_run, read_json

PARTS = ("plasticity", "estimator", "task")


def entries(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The works by their key, and the parts of the run for which none is known."""
    run = open_run(folder)
    known = tomllib.loads((resources.files("neurometa.report") / "citations.toml").read_text(encoding="utf-8"))
    config, found, missing = msgspec.to_builtins(run.experiment), {}, []
    for part in PARTS:
        kind = config[part]["kind"]
        found |= {key: known["works"][key] for key in known[part].get(kind, {}).get("works", ())}
        missing += [] if kind in known[part] else [f"{part} {kind}"]
    estimate = run.path / "estimate.json"
    names = {name for one in (read_json(estimate)["estimates"] if estimate.exists() else []) for name in _sources(one)}
    names |= _cells(config["evaluation"]["cells"])
    for name in sorted(names & set(sources())):
        source = msgspec.to_builtins(sources()[name])
        found[name] = {key: source[key] for key in ("title", "authors", "year", "doi", "arxiv", "url", "note")}
    return {
        "neurometa": {"title": "neurometa", "authors": "The neurometa authors", "year": "", "note": f"version {__version__}"},
        **found,
    }, missing


def _sources(one: dict[str, Any]) -> set[str]:
    """Names of the sources of the figures that went into an estimate: the figures of its card that its basis names."""
    card = shipped().get(f"{one['chip']}-{one['profile']}" if one["profile"] else one["chip"])
    used = {line.partition(":")[0] for line in one["basis"]}
    figures = [
        (f"{table}.{name}", figure) for table in ("energy", "time", "power", "limits") for name, figure in getattr(card, table, {}).items()
    ]
    return {name.strip() for key, figure in figures if key in used for name in figure.source.split(",")} - {"assumption", "recalled"}


def _cells(kind: str) -> set[str]:
    """Sources of the device constants of the cells in which a readout was judged."""
    return set() if kind == "exact" else {name for figure in shipped()["pcm"].device.values() for name in figure.source.split(",")}


def bibtex(works: dict[str, dict[str, Any]]) -> str:
    """The works as BibTeX, every title kept as it is written."""
    return "\n\n".join(_entry(key, work) for key, work in works.items())


def _entry(key: str, work: dict[str, Any]) -> str:
    fields = {
        "title": f"{{{work['title']}}}",
        "author": work["authors"],
        "year": work["year"],
        "doi": work.get("doi"),
        "note": work.get("note"),
    }
    if work.get("arxiv"):
        fields |= {"eprint": work["arxiv"], "archiveprefix": "arXiv"}
    if work.get("url"):
        fields["url"] = work["url"]
    lines = [f"  {name} = {{{_escaped(name, str(value))}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _escaped(name: str, value: str) -> str:
    return value if name in ("doi", "url", "eprint") else re.sub(r"([&%#_])", r"\\\1", value)
