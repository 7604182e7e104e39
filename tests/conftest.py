"""What every test stands on: shapes and types checked at run time, one thread, fixed seeds, no network."""

import hashlib
import os
import random
import socket
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

from tests.checking import checked

PACKAGE = Path(__file__).resolve().parents[1] / "neurometa"
UNCHECKED = ("neurometa.core.kernels",)  # numba compiles the plain function; the hook's wrapper is not one
HERE = ("127.0.0.1", "::1", "localhost")


def checked_modules() -> list[str]:
    """Dotted names of the package's modules whose annotations are checked when they are called."""
    files = (path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in ("__init__.py", "__main__.py"))
    names = (".".join(("neurometa", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in files)
    return [name for name in names if not name.startswith(UNCHECKED)]


def kernels_hash() -> str:
    """Of all sources of compiled kernels: numba notices a change in a function's own file only, not in what it calls."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("kernels/*.py")))).hexdigest()[:12]


os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"neurometa-kernels-{kernels_hash()}"))  # before numba
install_import_hook(checked_modules(), f"{checked.__module__}.{checked.__name__}")  # before any test imports the package

torch.set_num_threads(1)

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported: its kernels then run in Python, on the CPU

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for."""
    if "thorough" not in config.option.markexpr:
        for item in items:
            if "thorough" in item.keywords:
                item.add_marker(pytest.mark.skip("takes minutes: ask for it with -m thorough"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Global generators start alike in every test; the package itself takes explicit ones."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches beyond this machine fails, and says where it wanted to go."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: object) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and not (isinstance(address, tuple) and address[0] in HERE):
            raise OSError(f"tests may not use the network: connection to {address} refused")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


@pytest.fixture(scope="session")
def real() -> Path:
    """Directory of the real Omniglot."""
    folder = Path(os.environ.get("NEUROMETA_DATA") or Path.home() / ".cache" / "neurometa")
    if not all((folder / "omniglot" / f"images_{part}.zip").is_file() for part in ("background", "evaluation")):
        pytest.skip(f"no Omniglot in {folder}: set NEUROMETA_DATA to a directory that has omniglot/images_background.zip")
    return folder
