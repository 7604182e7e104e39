"""A run folder as plain data. A missing or broken piece becomes a sentence in `gaps`, never a crash."""

import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from neurometa.errors import UserError
from neurometa.experiment.folder import find
from neurometa.experiment.load import convert

METRICS = {"step": pl.Int64, "loss": pl.Float64, "accuracy": pl.Float64, "elapsed_s": pl.Float64}


class Reading(NamedTuple):
    """What one run folder holds.

    Attributes:
        folder: where it lies.
        text: config.toml word for word.
        config: the same as a mapping, defaults filled in where this version of neurometa knows the schema.
        environment: environment.json, or empty.
        metrics: the logged steps of meta-training; accuracy in percent; empty where there is none.
        summary: summary.json, or None while the run is not done.
        evaluations: every file of evaluations/, in order of name.
        episode: arrays of episode.npz, or None.
        estimate: estimate.json, or None where nothing was estimated.
        export: export.json, or None where nothing was exported to Loihi.
        spikes: arrays of export.npz, or None.
        gaps: what could not be read, by the name of the file: one sentence each.
    """

    folder: Path
    text: str
    config: dict[str, Any]
    environment: dict[str, Any]
    metrics: pl.DataFrame
    summary: dict[str, Any] | None
    evaluations: tuple[dict[str, Any], ...]
    episode: dict[str, np.ndarray] | None
    estimate: dict[str, Any] | None
    export: dict[str, Any] | None
    spikes: dict[str, np.ndarray] | None
    gaps: dict[str, str]

    @property
    def published(self) -> bool:
        """Whether this is a trained learner that was published: read, never written."""
        return not (self.folder / "environment.json").exists()


def load(folder: Path) -> Reading:
    """Read a run folder, a published learner, or a folder that holds exactly one of them.

    Raises:
        UserError: the folder has no readable config.toml, so it is no run.
    """
    folder = find(folder)
    gaps: dict[str, str] = {}
    text, config = _config(folder / "config.toml")
    evaluations = (_json(path, gaps, f"evaluations/{path.name}") for path in sorted((folder / "evaluations").glob("*.json")))
    return Reading(
        folder=folder,
        text=text,
        config=config,
        environment=_json(folder / "environment.json", gaps) or {},
        metrics=_metrics(folder / "metrics.jsonl", gaps),
        summary=_json(folder / "summary.json", gaps),
        evaluations=tuple(found for found in evaluations if found is not None),
        episode=_episode(folder / "episode.npz", gaps),
        estimate=_json(folder / "estimate.json", {}),
        export=_json(folder / "export.json", {}),
        spikes=_episode(folder / "export.npz", {}),
        gaps=gaps,
    )


def _config(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        config = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UserError(f"{path} cannot be read ({problem}). Give a folder that 'neurometa run' wrote.") from problem
    try:
        return text, msgspec.to_builtins(convert(config, str(path)))
    except UserError:
        return text, config  # written by another version: what is there is still shown


def _json(path: Path, gaps: dict[str, str], name: str = "") -> dict[str, Any] | None:
    name = name or path.name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        gaps[name] = f"This folder has no {name}."
        return None
    except (OSError, ValueError):
        gaps[name] = f"{name} is there but cannot be read."
        return None
    if isinstance(found, dict):
        return found
    gaps[name] = f"{name} is there but does not hold what was expected (one JSON object)."
    return None


def _metrics(path: Path, gaps: dict[str, str]) -> pl.DataFrame:
    empty = pl.DataFrame(schema=METRICS)
    try:
        whole = path.read_bytes()
    except OSError:
        gaps[path.name] = f"This folder has no {path.name}."
        return empty
    lines = whole[: whole.rfind(b"\n") + 1]  # the last line may be half written while the run goes on
    if not lines.strip():
        gaps[path.name] = f"{path.name} is empty: no step of meta-training has been logged yet."
        return empty
    try:
        return pl.read_ndjson(lines, schema=METRICS).drop_nulls(["step"])
    except pl.exceptions.PolarsError:
        gaps[path.name] = f"{path.name} is there but cannot be read."
        return empty


def _episode(path: Path, gaps: dict[str, str]) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        gaps[path.name] = f"This folder has no {path.name}."
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        gaps[path.name] = f"{path.name} is there but cannot be read."
    return None
