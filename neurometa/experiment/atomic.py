"""Files that are either the old one or the new one, never half of each."""

import contextlib
import os
from pathlib import Path

from neurometa.errors import UserError


def replace(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, force it to the disk, then put it in the place of `path`.

    Its folder is made if need be.

    Raises:
        UserError: the disk is full or refuses the file; what stood at `path` still stands there.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(beside, content)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        kept = "; the one that was there is untouched" if path.exists() else ""
        raise UserError(f"{path} cannot be written ({error.strerror}){kept}: free space on that disk, or write elsewhere") from None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
