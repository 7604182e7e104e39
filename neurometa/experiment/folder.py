"""The run folder: where each file lies, how a run is made and opened. No pickle anywhere."""

import datetime
import difflib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from neurometa.errors import UserError
from neurometa.experiment import atomic, load
from neurometa.experiment.checkpoint import FORMAT
from neurometa.experiment.config import Experiment


class Run(NamedTuple):
    """A run folder, or a published learner (which has no environment.json and cannot be resumed)."""

    path: Path
    experiment: Experiment

    @property
    def digest(self) -> str:
        """What tells its configuration from another: `load.digest` of it by the neurometa that wrote it, which is the hash of its file."""
        return hashlib.sha256((self.path / "config.toml").read_bytes()).hexdigest()[:8]

    @property
    def checkpoint(self) -> Path:
        """Parameters, optimiser, generator, step."""
        return self.path / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line for every few outer steps."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """The evaluation that the experiment asks for."""
        return self.path / "summary.json"

    @property
    def episode(self) -> Path:
        """One episode as arrays: what the report draws."""
        return self.path / "episode.npz"

    @property
    def done(self) -> Path:
        """Exists when training and evaluation have ended."""
        return self.path / "done"

    @property
    def published(self) -> bool:
        """Whether this is a trained learner that was published: it is read, never written."""
        return not (self.path / "environment.json").exists()

    def evaluation(self, name: str) -> Path:
        """The evaluation of that name, such as `unseen-20w1s-1`."""
        return self.path / "evaluations" / f"{name}.json"


def create(experiment: Experiment, parent: Path, environment: dict[str, Any]) -> Run:
    """Make `<parent>/<name>-<utc>-<hash of config>/` with its config.toml and environment.json, which never change."""
    clock = datetime.datetime.now(datetime.UTC)
    while True:
        path = parent / f"{experiment.name}-{clock:%Y%m%dT%H%M%SZ}-{load.digest(experiment)}"
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            if not path.is_dir():
                raise UserError(f"{parent} is not a folder: choose another one with --out") from None
            clock += datetime.timedelta(seconds=1)  # two runs of one config in one second
        except OSError as error:
            raise UserError(f"{path} cannot be made ({error.strerror}): choose another folder with --out") from None
    run = Run(path, experiment)
    write_json(path / "environment.json", {"format": FORMAT, **environment})
    atomic.replace(path / "config.toml", load.dump(experiment).encode())
    return run


def find(path: Path) -> Path:
    """The folder of a run or a published learner: the one given, or the only one that it holds.

    Raises:
        UserError: there is none, or several.
    """
    if not path.is_dir():
        close = difflib.get_close_matches(path.name, [child.name for child in path.parent.glob("*/")], n=1)
        meant = f"; did you mean {path.parent / close[0]}?" if close else ""
        raise UserError(f"{path} is not a folder: expected a run folder such as runs/NAME-DATE-HASH, which `neurometa run` prints{meant}")
    if (path / "config.toml").exists():
        return path
    inside = sorted(child.parent for child in path.glob("*/config.toml"))
    if len(inside) == 1:
        return inside[0]
    advice = f"it holds {len(inside)} runs, name one, such as {inside[-1]}" if inside else "start one with `neurometa run FILE.toml`"
    raise UserError(f"{path} is not a run folder (it has no config.toml); {advice}")


def open_run(path: Path) -> Run:
    """Open a run folder, a published learner, or a folder that holds exactly one of them.

    Raises:
        UserError: there is none, or it has another format.
    """
    path = find(path)
    environment = read_json(path / "environment.json") if (path / "environment.json").exists() else {"format": FORMAT}
    if environment.get("format") != FORMAT:
        writer = environment.get("neurometa", "unknown")
        raise UserError(
            f"{path} has run format {environment.get('format')} (neurometa {writer}), this neurometa reads format {FORMAT}: "
            f"use that version, or start a new run with `neurometa run {path / 'config.toml'}`"
        )
    return Run(path, load.read(path / "config.toml"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file at once."""
    atomic.replace(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a run folder."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): finish the run with `neurometa run {path.parent}`") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): restore it from a copy") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (not a JSON object): restore it from a copy")
    return value


class Metrics:
    """metrics.jsonl: opened for one process alone, appended and flushed line by line."""

    def __init__(self, run: Run, step: int) -> None:
        """Open it and cut it after `step`, so that a resumed run writes each line once."""
        self._path = run.metrics
        try:
            self._file = self._path.open("ab", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{run.path} is being trained by another process: wait for it, or stop it") from None
        except OSError as error:
            raise UserError(f"{self._path} cannot be opened ({error.strerror}): check its permissions") from None
        self.last = self._cut(step)

    def _cut(self, step: int) -> dict[str, Any]:
        """Drop lines after `step` and a line that a kill tore; return the last line that stays."""
        last: dict[str, Any] = {}
        end = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or entry["step"] > step:
                break
            last, end = entry, end + len(line)
        os.truncate(self._path, end)
        return last

    def write(self, line: dict[str, Any]) -> None:
        """Append one line and hand it to the system at once."""
        content = (json.dumps(line) + "\n").encode()
        try:
            whole = self._file.write(content) == len(content)
            reason = "no space for a whole line"
        except OSError as error:
            whole, reason = False, error.strerror
        if not whole:
            raise UserError(f"{self._path} cannot be written ({reason}): free space, then go on with `neurometa run {self._path.parent}`")

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()
