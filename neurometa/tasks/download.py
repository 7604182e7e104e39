"""Where the Omniglot archives lie on this machine."""

import os
from pathlib import Path

from neurometa.errors import UserError


def find_archive(data: Path | None, archive: str) -> Path:
    """Path of an Omniglot archive."""
    for folder in (data, os.environ.get("NEUROMETA_DATA")):
        if folder:
            return Path(folder) / "omniglot" / f"{archive}.zip"
    raise UserError("no Omniglot")
