"""Facts about the whole: what importing costs, that versions agree, that every shipped experiment can be read."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import neurometa
from neurometa.experiment import build, load

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.toml"))


def test_importing_neurometa_imports_no_heavy_library():
    code = "import sys, neurometa; print(*(m for m in ('torch', 'numba', 'matplotlib', 'typer', 'polars') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_versions_agree():
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation is not None
    assert newest is not None
    assert {citation[1], newest[1], version("neurometa")} == {neurometa.__version__}


def test_torch_is_pinned_to_the_version_in_use():
    import torch

    assert f"torch=={torch.__version__.partition('+')[0]}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_every_runtime_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[><=]", line)[0] for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert [name for name in names if name not in pinned] == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_builds(path):
    experiment = load.read(path)
    assert experiment.name == path.stem
    build.learner(experiment, experiment.task.ways)


@pytest.mark.parametrize("name", [path.stem.removesuffix("-relu") for path in EXPERIMENTS if path.stem.endswith("-relu")])
def test_a_conventional_twin_differs_in_its_neuron_alone(name):
    spiking, twin = (load.convert(tomllib.loads((ROOT / f"experiments/{n}.toml").read_text()), n) for n in (name, f"{name}-relu"))
    mine, other = (load.dump(experiment) for experiment in (spiking, twin))
    assert spiking.network.neuron != twin.network.neuron
    differing = {line.split(" = ")[0] for line in set(mine.splitlines()) ^ set(other.splitlines())}
    assert differing <= {"name", "kind", "decay", "threshold", "reset", "reset_gradient", "slope", "[network.neuron.surrogate]"}
