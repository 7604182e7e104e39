"""A made-up Omniglot with every member; the real one is the fixture `real` of all tests."""

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
