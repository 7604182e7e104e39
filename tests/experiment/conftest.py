"""A tiny experiment that trains in a second, and ways to run it: in this process or in one of its own."""

import copy
import functools
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from neurometa import tasks
from neurometa.experiment import load, session
from neurometa.experiment.progress import Silent

ROOT = Path(__file__).resolve().parents[2]

TINY = """
name = "tiny"
[task]
kind = "glyphs"
ways = 3
queries = 2
size = 14
augment = false
[network]
kind = "mlp"
widths = [12]
normalise = true
features = "spikes"
neuron = { kind = "lif", threshold = 0.5 }
[encoding]
kind = "direct"
steps = 4
[plasticity]
kind = "prototype"
[training]
steps = 40
tasks = 2
checkpoint_every = 7
[evaluation]
ways = 3
queries = 2
episodes = 20
"""


@pytest.fixture(scope="session", autouse=True)
def _characters_are_drawn_once():
    """Drawing the glyphs takes longer than training on them; what is drawn is never changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "glyphs", functools.lru_cache(tasks.glyphs))
        yield


@pytest.fixture
def tiny(tmp_path):
    """The tiny experiment as a file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def experiment():
    """Make the tiny experiment with fields changed: experiment({"task.ways": 5})."""

    def make(changes: dict | None = None):
        mapping = tomllib.loads(TINY)
        for name, value in (changes or {}).items():
            *tables, field = name.split(".")
            here = mapping
            for table in tables:
                here = here.setdefault(table, {})
            here[field] = copy.deepcopy(value)
        return load.convert(mapping, "test")

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory, _characters_are_drawn_once):
    """A run of the tiny experiment that ended. Tests only read it."""
    run, _ = session.start(load.convert(tomllib.loads(TINY), "test"), tmp_path_factory.mktemp("runs"), None, Silent())
    return run


@pytest.fixture
def neurometa(tmp_path):
    """Start the command line in a process of its own, in tmp_path: neurometa("run", path) -> Popen."""

    def start(*arguments: object, **options) -> subprocess.Popen:
        # ROOT comes first on the path so that this checkout is the one that runs
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "neurometa", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )

    return start
