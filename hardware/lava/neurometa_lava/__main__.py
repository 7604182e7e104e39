"""`python -m neurometa_lava play JOBS.json`, and `check`: one JSON object on standard output."""

import argparse
import json
import os
import pathlib
import sys

import numpy as np

from neurometa_lava import compat
from neurometa_lava.bundle import Refused, read
from neurometa_lava.guard import Guard

JOBS = """JSON: a list of {"bundle": folder, "input": .npz, "out": .npz to write, "arithmetic": "fixed" or "float", "stock": true for nothing but
Lava's own processes, one sample after another, "learn": true to let synapses learn}; an input has `given`, (steps, n, batch), or (n, batch)
to be held, and to learn `signal/<name>`"""


def main() -> int:
    """Run one command; 0, 2 for what was refused, 1 for anything else."""
    parser = argparse.ArgumentParser(prog="neurometa-lava")
    commands = parser.add_subparsers(dest="command", required=True)
    play = commands.add_parser("play", help="play bundles")
    play.add_argument("jobs", type=pathlib.Path, help=JOBS)
    play.add_argument("--timeout", type=float, default=300, help="seconds")
    check = commands.add_parser("check", help="say what works")
    check.add_argument("--timeout", type=float, default=60, help="seconds")
    asked = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # Lava prints to standard output
    guard = Guard(asked.timeout)
    try:
        answer = _play(asked) if asked.command == "play" else _check()
    except Refused as error:
        sys.stderr.write(f"neurometa-lava: {' '.join(str(error).split())}\n")
        return 2
    finally:
        guard.release()
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return 0


def _play(asked: argparse.Namespace) -> dict:
    """Every job in turn; all bundles are read and checked before the first runs."""
    jobs = json.loads(asked.jobs.read_text(encoding="utf-8"))
    bundles = [read(pathlib.Path(job["bundle"])) for job in jobs]
    return {"timing": [_job(bundle, job) for bundle, job in zip(bundles, jobs)], "lava": _version()}


def _job(bundle, job: dict) -> dict:
    """One window; its timing."""
    from neurometa_lava.learn import learn
    from neurometa_lava.play import play

    with np.load(job["input"], allow_pickle=False) as file:
        given = file["given"]
        signals = {key.partition("/")[2]: file[key] for key in file.files if key.startswith("signal/")}
    if job.get("learn"):
        learned = learn(bundle, given, signals)
        parts = {what: getattr(learned, what) for what in ("spikes", "potential", "weights", "tags", "read")}
        _save(pathlib.Path(job["out"]), {f"{what}/{name}": array for what, found in parts.items() for name, array in found.items()})
        return learned.timing
    played = play(bundle, given, timed=given.ndim == 3, arithmetic=job.get("arithmetic", "fixed"), stock=job.get("stock", False))
    arrays = {f"spikes/{name}": np.packbits(spikes, axis=-1) for name, spikes in played.spikes.items()}
    arrays.update({f"potential/{name}": v for name, v in played.potential.items()})
    _save(pathlib.Path(job["out"]), arrays)
    return played.timing


def _save(out: pathlib.Path, arrays: dict) -> None:
    beside = out.with_name(f".{out.name}.part.npz")
    np.savez(beside, **arrays)
    os.replace(beside, out)


def _check() -> dict:
    """Play two neurons in both arithmetics."""
    compat.apply()
    from neurometa_lava.bundle import Bundle
    from neurometa_lava.play import play

    population = {"name": "p", "shape": [2], "du": 4095, "dv": 0, "vth": 10, "onset": 1}
    network = {
        "steps": 6,
        "input": {"shape": [2], "kind": "spikes"},
        "populations": [population],
        "synapses": [{"name": "s", "source": "input", "target": "p", "weight": "w"}],
    }
    weights = np.array([[6, 0], [0, 40]], np.int32)
    floats = {"w": weights.astype(float), "p.du": np.array(1.0), "p.dv": np.array(0.0), "p.vth": np.array(10.0)}
    given = np.ones((2, 1), np.uint8)
    found = {}
    for arithmetic in ("fixed", "float"):
        spikes = play(Bundle(network, {"w": weights}, floats), given, timed=False, arithmetic=arithmetic).spikes["p"]
        found[arithmetic] = spikes.sum(0).ravel().tolist() == [2, 5]
    return {"python": sys.version.split()[0], "numpy": np.__version__, "lava": _version(), "works": found}


def _version() -> str:
    from importlib.metadata import version

    return version("lava-nc")


if __name__ == "__main__":
    sys.exit(main())
