"""What is built of the package, and that it works away from a checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from neurometa.export import lava

ROOT = Path(__file__).resolve().parents[1]
BUILT = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt", "neurometa", "hardware")
LEFT = shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info")


def build(what: str, tree: Path, out: Path) -> Path:
    """An sdist or a wheel of a source tree, made as pip makes it."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
    out.mkdir()
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=tree, capture_output=True, text=True, check=True)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from an sdist of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT:
        copied = ROOT / name
        if copied.is_dir():
            shutil.copytree(copied, folder / "tree" / name, ignore=LEFT)
        else:
            (folder / "tree").mkdir(exist_ok=True)
            shutil.copyfile(copied, folder / "tree" / name)
    with tarfile.open(build("sdist", folder / "tree", folder / "sdist")) as sdist:
        sdist.extractall(folder, filter="data")
    with zipfile.ZipFile(build("wheel", next(folder.glob("neurometa-*")), folder / "wheel")) as wheel:
        wheel.extractall(folder / "unpacked")
    return folder / "unpacked"


def held(folder: Path) -> dict[str, bytes]:
    """Every file but what Python compiled."""
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def seen_from_elsewhere(unpacked: Path, code: str, **environment: str) -> str:
    """What code prints that runs outside of every checkout, and finds the unpacked wheel first."""
    variables = {**os.environ, "PYTHONPATH": str(unpacked), **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=unpacked.parent, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_carries_exactly_the_sources_of_neurometa_lava(unpacked: Path) -> None:
    source = ROOT / "hardware" / "lava"
    expected = {f"neurometa_lava/{name}": content for name, content in held(source / "neurometa_lava").items()}
    expected |= {name: (source / name).read_bytes() for name in ("pyproject.toml", "README.md")}
    assert "neurometa_lava/processes/learning.py" in expected
    assert held(unpacked / "neurometa" / "_lava") == expected


def test_the_wheel_carries_every_file_of_the_package(unpacked: Path) -> None:
    inside = {name: content for name, content in held(unpacked / "neurometa").items() if not name.startswith("_lava/")}
    assert inside == held(ROOT / "neurometa")


def test_an_installed_neurometa_finds_its_own_sources_and_puts_no_environment_beside_them(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "from neurometa.export import lava, lava_install; print(lava.SOURCE, lava.interpreter())\n"
        "steps = []; lava_install._step = lambda command, timeout_s: steps.append(command)\n"
        "lava_install._candidates = lambda: iter(['python']); lava_install._version = lambda python: '3.10'\n"
        "print(lava_install.install(lambda text: None), steps[0][-1])"
    )
    first, second = seen_from_elsewhere(unpacked, code, HOME=str(tmp_path), NEUROMETA_LAVA="").splitlines()
    place = tmp_path / ".cache" / "neurometa" / "lava"
    assert first == f"{unpacked / 'neurometa' / '_lava'} None"
    assert second == f"{place / 'bin' / 'python'} {place}"


def test_an_installed_neurometa_plays_in_lava(unpacked: Path) -> None:
    python = lava.interpreter()
    if python is None:
        pytest.skip("no Lava environment: `neurometa lava install` makes one; the wheel played nothing")
    code = "import json; from neurometa.export import lava; print(lava.SOURCE); print(json.dumps(lava.check()))"
    source, checked = seen_from_elsewhere(unpacked, code, NEUROMETA_LAVA=str(python)).splitlines()
    assert Path(source) == unpacked / "neurometa" / "_lava"
    assert json.loads(checked)["works"]
    assert all(json.loads(checked)["works"].values())
