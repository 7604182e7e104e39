"""Archives for the Omniglot tests: a made-up one with every member, and the real one where it is."""

import os
from pathlib import Path

import pytest

from neurometa.tasks.omniglot import contents
from tests.tasks.drawn import drawings, write_zip


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with both archives complete; every character looks the same, every drawer differs."""
    folder = tmp_path_factory.mktemp("data")
    for archive, alphabets in contents()["characters"].items():
        characters = [f"{name}/character{n:02d}" for name, count in alphabets.items() for n in range(1, count + 1)]
        write_zip(folder / "omniglot" / f"{archive}.zip", drawings(archive, characters))
    return folder


@pytest.fixture(scope="session")
def real() -> Path:
    """Directory of the real Omniglot."""
    folder = Path(os.environ.get("NEUROMETA_DATA") or Path.home() / ".cache" / "neurometa")
    if not all((folder / "omniglot" / f"images_{part}.zip").is_file() for part in ("background", "evaluation")):
        pytest.skip(f"no Omniglot in {folder}: set NEUROMETA_DATA to a directory that has omniglot/images_background.zip")
    return folder
