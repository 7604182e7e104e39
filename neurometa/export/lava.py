"""Plays bundles in Intel's Lava: a process of its own, in an environment of its own, that ends within its timeout."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, write
from neurometa.export.learning import Learned

VARIABLE = "NEUROMETA_LAVA"
"""Environment variable that names the environment, or its Python, if it lies elsewhere."""

GRACE_S = 5.0
"""A worker ends itself when its time is up; after so much longer it is killed."""

CHECKOUT = Path(__file__).resolve().parents[2] / "hardware" / "lava"
"""The distribution neurometa-lava in a checkout of neurometa; beside an installed package there is no such folder."""

SOURCE = CHECKOUT if CHECKOUT.is_dir() else Path(__file__).resolve().parents[1] / "_lava"
"""Its sources: the checkout's, else those that the wheel brought along (setup.py puts them there)."""

CACHE = Path.home() / ".cache" / "neurometa" / "lava"


class Job(NamedTuple):
    """One window to be played.

    Attributes:
        bundle: what.
        given: its input, as for `emulator.play`: (steps, n, batch), or (n, batch) to be held.
        arithmetic: "fixed", or "float" for the network that was rounded (the bundle must hold its floats).
        stock: nothing but Lava's own processes, one sample after another; else connections that know a batch.
    """

    bundle: Bundle
    given: np.ndarray
    arithmetic: str = "fixed"
    stock: bool = False


class LavaPlayed(NamedTuple):
    """Spikes bool (steps, n, batch) and last potentials (n, batch) by population; seconds by part."""

    spikes: dict[str, np.ndarray]
    potential: dict[str, np.ndarray]
    timing: dict[str, float]


def interpreter() -> Path | None:
    """The Python of the Lava environment: $NEUROMETA_LAVA, a checkout's hardware/lava/.venv, ~/.cache/neurometa/lava; None for none."""
    named = os.environ.get(VARIABLE)
    for place in [Path(named)] if named else [CHECKOUT / ".venv", CACHE]:
        python = place if place.is_file() else place / "bin" / "python"
        if python.is_file():
            return python
    return None


def needed() -> Path:
    """The Python of the Lava environment.

    Raises:
        UserError: there is none; the message says how to make one.
    """
    found = interpreter()
    if found is None:
        raise UserError(f"no Lava environment found: make one with `neurometa lava install`, or name one in ${VARIABLE}")
    return found


def run(jobs: Sequence[Job], timeout_s: float = 300, python: Path | None = None) -> list[LavaPlayed]:
    """Play windows one after another in one worker.

    Raises:
        UserError: there is no Lava environment; or a worker refused, died or hung: it and all that it started are gone then.
    """
    with tempfile.TemporaryDirectory(prefix="neurometa-lava-") as name:
        folder, described = Path(name), []
        for i, job in enumerate(jobs):
            write(folder / f"{i}", job.bundle)
            np.savez(folder / f"{i}-in.npz", given=job.given)
            named = {"bundle": folder / f"{i}", "input": folder / f"{i}-in.npz", "out": folder / f"{i}-out.npz"}
            described.append({**{key: str(path) for key, path in named.items()}, "arithmetic": job.arithmetic, "stock": job.stock})
        (folder / "jobs.json").write_text(json.dumps(described), encoding="utf-8")
        answer = call(["play", str(folder / "jobs.json")], timeout_s, python, folder)
        return [_read(folder / f"{i}-out.npz", job, timing) for i, (job, timing) in enumerate(zip(jobs, answer["timing"], strict=True))]


def learn(
    jobs: Sequence[tuple[Bundle, np.ndarray, Mapping[str, np.ndarray]]], timeout_s: float = 300, python: Path | None = None
) -> list[Learned]:
    """Let synapses learn in Lava's fixed-point model, see `learning.learn`, whose arguments a job holds. Raises like `run`."""
    with tempfile.TemporaryDirectory(prefix="neurometa-lava-") as name:
        folder, described = Path(name), []
        for i, (bundle, given, signals) in enumerate(jobs):
            write(folder / f"{i}", bundle)
            arrays: dict[str, Any] = {"given": given, **{f"signal/{key}": signal for key, signal in signals.items()}}
            np.savez(folder / f"{i}-in.npz", **arrays)
            named = {"bundle": folder / f"{i}", "input": folder / f"{i}-in.npz", "out": folder / f"{i}-out.npz"}
            described.append({**{key: str(path) for key, path in named.items()}, "learn": True})
        (folder / "jobs.json").write_text(json.dumps(described), encoding="utf-8")
        call(["play", str(folder / "jobs.json")], timeout_s, python, folder)
        return [_learned(folder / f"{i}-out.npz") for i in range(len(jobs))]


def _learned(path: Path) -> Learned:
    found: dict[str, dict[str, np.ndarray]] = {what: {} for what in Learned._fields}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            what, _, name = key.partition("/")
            found[what][name] = arrays[key]
    return Learned(**found)


def check(timeout_s: float = 60) -> dict[str, Any]:
    """What works: versions, and whether two neurons spike as they must in both arithmetics. Raises like `run`."""
    return call(["check"], timeout_s)


def call(arguments: list[str], timeout_s: float, python: Path | None = None, scratch: Path | None = None) -> dict[str, Any]:
    """Run neurometa-lava, its own files in `scratch`; return the JSON object that it prints. Raises like `run`."""
    python = python or needed()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **({"PYTHONPATH": str(SOURCE)} if SOURCE.is_dir() else {})}
    environment |= {"TMPDIR": str(scratch)} if scratch else {}  # a worker that is killed cannot clear up
    command = [str(python), "-m", "neurometa_lava", *arguments, "--timeout", str(timeout_s)]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as worker:
        try:
            printed, said = worker.communicate(timeout=timeout_s + GRACE_S)
        except subprocess.TimeoutExpired:
            raise UserError(f"Lava did not finish within {timeout_s:g} s and was stopped: give it longer, or fewer samples") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
    if worker.returncode:
        raise UserError(_why(said, worker.returncode))
    try:
        return json.loads(printed)
    except ValueError:
        raise UserError(f"Lava's worker answered {printed[:80]!r}, expected JSON: see `neurometa lava check`") from None


def _why(said: str, code: int) -> str:
    """The last line that the worker said, ours before Python's."""
    lines = [line for line in said.splitlines() if line.strip()]
    ours = [line.removeprefix("neurometa-lava: ") for line in lines if line.startswith("neurometa-lava: ")]
    return f"Lava's worker ended with code {code}: {(ours or lines or ['it said nothing'])[-1]}"


def _read(path: Path, job: Job, timing: dict[str, float]) -> LavaPlayed:
    batch = job.given.shape[-1]
    with np.load(path, allow_pickle=False) as arrays:
        names = [one.name for one in job.bundle.network.populations]
        spikes = {name: np.unpackbits(arrays[f"spikes/{name}"], axis=-1, count=batch) for name in names}
        return LavaPlayed(spikes, {name: arrays[f"potential/{name}"] for name in names}, timing)
