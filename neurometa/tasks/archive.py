"""Drawings read out of a zip where it lies: nothing is unpacked, no member name is trusted."""

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from neurometa.errors import UserError

DRAWERS = 20
"""Drawings of each Omniglot character, one by each of 20 people."""

_PIXELS = 105  # side of an Omniglot drawing
_LARGEST = 100_000  # bytes; a drawing of 105 x 105 bits has a few hundred, so a larger member is no drawing
_REMEDY = "delete the file and fetch it again"
_BROKEN = (  # what zipfile and Pillow raise over damaged, encrypted or oversized content
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    SyntaxError,
)


def read_drawings(path: Path, folder: str, characters: Sequence[str], side: int = 28) -> UInt8[Tensor, "characters 20 side side"]:
    """Read every drawing of the given characters from a zip, scaled down by averaging (Pillow's box filter).

    Args:
        path: the zip.
        folder: the one folder that every member must lie in.
        characters: folders of drawings inside it, such as "Greek/character01".
        side: height and width of the result, pixels.
    Returns:
        uint8, shape (characters, 20, side, side), ink 255 on 0; characters in the given order, drawings by file name, so that drawing d
        of every character of one alphabet comes from the same person.
    Raises:
        UserError: the zip is missing, broken, incomplete, or has a member outside its folder.
    """
    images = np.empty((len(characters), DRAWERS, side, side), np.uint8)
    try:
        with zipfile.ZipFile(path) as archive:
            found = _drawings(archive, path, folder)
            for row, character in enumerate(characters):
                names = sorted(found.get(character, []))
                if len(names) != DRAWERS:
                    raise UserError(f"{path} has {len(names)} drawings of {character}, expected {DRAWERS}: {_REMEDY}")
                for column, name in enumerate(names):
                    images[row, column] = _drawing(archive, path, name, side)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist, expected the Omniglot archive {folder}.zip: check the data directory") from error
    except _BROKEN as error:
        raise UserError(f"{path} cannot be read ({error}), expected a whole zip of Omniglot drawings: {_REMEDY}") from error
    return torch.from_numpy(images)


def _drawings(archive: zipfile.ZipFile, path: Path, folder: str) -> dict[str, list[str]]:
    """Names of the drawings by character; a name that leads out of `folder` is refused, whatever it is."""
    pattern = re.compile(rf"{re.escape(folder)}/([^/]+/[^/]+)/[^/]+\.png")
    found: dict[str, list[str]] = {}
    for member in archive.infolist():
        name = member.orig_filename
        if "\\" in name or "\0" in name or ".." in name.split("/") or not name.startswith(f"{folder}/"):
            raise UserError(f"{path} has the member {name!r}, expected only members inside {folder}/: do not use this file, {_REMEDY}")
        if match := pattern.fullmatch(name):
            found.setdefault(match[1], []).append(name)
    return found


def _drawing(archive: zipfile.ZipFile, path: Path, name: str, side: int) -> np.ndarray:
    """One drawing with ink 255 on 0."""
    size = archive.getinfo(name).file_size
    if size > _LARGEST:
        raise UserError(f"{path} has {name} with {size} bytes, expected a drawing of at most {_LARGEST}: {_REMEDY}")
    with Image.open(io.BytesIO(archive.read(name)), formats=("PNG",)) as image:
        if image.size != (_PIXELS, _PIXELS):
            raise UserError(f"{path} has {name} with {image.size} pixels, expected {(_PIXELS, _PIXELS)}: {_REMEDY}")
        return 255 - np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))
