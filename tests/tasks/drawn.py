"""Small Omniglot-like zips made on the spot, and what every message must be."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurometa.errors import UserError


def one_line(raised: pytest.ExceptionInfo[UserError]) -> str:
    message = str(raised.value)
    assert message
    assert "\n" not in message
    return message


def picture(row: int, size: int = 105) -> bytes:
    """White page with one horizontal stroke, three pixels thick, at `row`."""
    page = np.full((size, size), 255, np.uint8)
    page[row : row + 3, 20:60] = 0
    file = io.BytesIO()
    Image.fromarray(page).convert("1").save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(10 + 4 * drawing) for drawing in range(20)]  # drawer d strokes lower the larger d


def drawings(folder: str, characters: list[str]) -> dict[str, bytes]:
    return {
        f"{folder}/{character}/{number:04d}_{drawing + 1:02d}.png": PICTURES[drawing]
        for number, character in enumerate(characters)
        for drawing in range(20)
    }


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
