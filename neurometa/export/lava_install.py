"""Makes the environment of its own in which Lava runs."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from neurometa.errors import UserError
from neurometa.export.lava import CACHE, CHECKOUT, SOURCE

LAVA = "lava-nc==0.10.0"
NEEDS = ("asteval>=0.9.31,<0.10", "networkx<=2.8.7", "scikit-learn", "scipy", "numpy")
"""What lava-nc needs, installed by hand on Python 3.11, which its metadata refuses; `neurometa_lava.compat` does the rest."""


def install(say: Callable[[str], None], python: Path | None = None, timeout_s: float = 900) -> Path:
    """Make the environment: hardware/lava/.venv of a checkout, else ~/.cache/neurometa/lava.

    Args:
        say: told what happens.
        python: a Python 3.10 or 3.11; default the first 3.10 on PATH, under pyenv or of uv, else the 3.11 that runs this.
        timeout_s: for each step.
    Returns:
        The environment's Python.
    Raises:
        UserError: no Python fits, neurometa-lava is not there, or a step failed.
    """
    if not SOURCE.is_dir():
        raise UserError(
            f"{SOURCE} does not exist, expected neurometa-lava's sources there: install neurometa again, or run from a checkout"
        )
    chosen = python or next(_candidates(), None)
    version = chosen and _version(chosen)
    if chosen is None or version not in ("3.10", "3.11"):
        given = f"{chosen} is Python {version}" if chosen else "no Python 3.10 found on PATH, under pyenv or of uv"
        raise UserError(f"{given}: Lava needs 3.10 (or 3.11, by a recipe); install one, such as by `uv python install 3.10`, or name it")
    place = CHECKOUT / ".venv" if CHECKOUT.is_dir() else CACHE  # never among the packages that pip installed
    say(f"making the Lava environment in {place} with Python {version} (about half a minute)")
    _step([str(chosen), "-m", "venv", "--clear", str(place)], timeout_s)
    made = place / "bin" / "python"
    pip = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if version == "3.10":
        _step([*pip, LAVA, "pytest"], timeout_s)
    else:
        _step([*pip, "--no-deps", "--ignore-requires-python", LAVA], timeout_s)
        _step([*pip, *NEEDS, "pytest"], timeout_s)
    return made


def _candidates() -> Iterator[Path]:
    """Pythons that fit, the best first."""
    if found := shutil.which("python3.10"):
        yield from _working(Path(found))
    for path in sorted(Path.home().glob(".pyenv/versions/3.10*/bin/python"), key=_numbers, reverse=True):
        yield from _working(path)
    if uv := shutil.which("uv"):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            asked = subprocess.run([uv, "python", "find", "3.10"], capture_output=True, text=True, timeout=30, check=True)
            yield from _working(Path(asked.stdout.strip()))
    if sys.version_info[:2] == (3, 11):
        yield Path(sys.executable)


def _working(path: Path) -> Iterator[Path]:
    """It, if it runs: pyenv puts names on PATH that lead nowhere."""
    with contextlib.suppress(UserError):
        if _version(path) == "3.10":
            yield path


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parts[-3])]


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        raise UserError(f"{python} is no Python that runs: expected one of version 3.10") from None


def _step(command: list[str], timeout_s: float) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        said = [line for line in (error.stderr + error.stdout).splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"`{' '.join(command[-3:])}` failed: {said[-1]}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"`{' '.join(command[-3:])}` did not finish within {timeout_s:g} s: check the network") from None
