"""Few-shot characters without a download: one character drawn by the typefaces that come inside matplotlib.

A class is a character, a drawing of it is one face (DejaVu Sans, Sans Mono and Serif, STIX General; upright, bold, slanted). Which
characters are classes, which look alike, and which are unseen is fixed in glyphs.json, made by experiments/make_glyphs_split.py.
"""

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from neurometa.errors import UserError
from neurometa.tasks.augment import Augment
from neurometa.tasks.base import INK, ImageClasses

EM = 24 / 28
"""Height of the font in units of the picture's: capitals fill about two thirds of it."""

_SMALLEST = 8  # pixels; below it letters are blots


class Glyph(NamedTuple):
    """A class.

    Attributes:
        character: the one that is drawn.
        alike: other characters that look like it, which are therefore no classes of their own.
        faces: numbers of the faces that have it, no two of which draw the same pixels.
    """

    character: str
    alike: str
    faces: tuple[int, ...]


def table() -> dict:
    """Content of glyphs.json: the faces in order, and the classes of each part."""
    return json.loads(resources.files("neurometa.tasks").joinpath("glyphs.json").read_text(encoding="utf-8"))


def characters(part: str) -> list[Glyph]:
    """List the classes of one part, sorted by code point."""
    if part not in ("train", "unseen"):
        raise UserError(f"part {part!r} given, expected train or unseen: choose one of them")
    return [
        Glyph(look[0], look[1:], tuple(bit for bit in range(int(mask, 16).bit_length()) if int(mask, 16) >> bit & 1))
        for look, mask in table()[part]
    ]


def glyphs(
    part: str,
    ways: int = 5,
    shots: int = 1,
    queries: int = 5,
    binary: bool = True,
    size: int = 28,
    augment: Augment | None = None,
) -> ImageClasses:
    """Draw one part of the characters into memory as a task family.

    Args:
        part: "train" for the characters to meta-train on, "unseen" for those to be judged on.
        ways, shots, queries: classes of an episode, support and query drawings of each (at least 12 drawings a class).
        binary: pixels are exactly 0 or 1; else grey.
        size: height and width, pixels.
        augment: affine change drawn anew for each image; for training.
    """
    if size < _SMALLEST:
        raise UserError(f"size {size} given, expected at least {_SMALLEST} pixels: raise size")
    chosen = characters(part)
    faces = font_files(table()["faces"])
    images = np.zeros((len(chosen), max(len(glyph.faces) for glyph in chosen), size, size), np.uint8)
    for number, face in enumerate(faces):
        having = [row for row, glyph in enumerate(chosen) if number in glyph.faces]
        drawn = draw(face, (chosen[row].character for row in having), size)
        for row, picture in zip(having, drawn, strict=True):
            images[row, chosen[row].faces.index(number)] = picture
    counts = torch.tensor([len(glyph.faces) for glyph in chosen])
    return ImageClasses(torch.from_numpy(images), ways, shots, queries, counts=counts, threshold=INK if binary else None, augment=augment)


def font_files(names: Iterable[str]) -> list[Path]:
    """Find the faces inside matplotlib's installation."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [folder / f"{name}.ttf" for name in names]
    if missing := [file.name for file in files if not file.is_file()]:
        raise UserError(f"{folder} lacks {', '.join(missing)}, expected the fonts that matplotlib ships: reinstall matplotlib")
    return files


def draw(face: Path, text: Iterable[str], size: int) -> list[np.ndarray]:
    """Draw each character alone, in the middle of a square picture, ink 255 on 0; what would not fit is drawn smaller.

    Args:
        face: a TrueType file.
        text: the characters.
        size: height and width of a picture, pixels.
    Returns:
        One uint8 array (size, size) a character.
    """
    em = round(EM * size)
    font = ImageFont.truetype(face, em)
    pictures = []
    for character in text:
        fitting, (left, top, right, bottom) = font, font.getbbox(character)
        if (extent := max(right - left, bottom - top)) > size - 2:
            fitting = font.font_variant(size=int(em * (size - 2) / extent))
            left, top, right, bottom = fitting.getbbox(character)
        picture = Image.new("L", (size, size))
        at = ((size - right + left) // 2 - left, (size - bottom + top) // 2 - top)
        ImageDraw.Draw(picture).text(at, character, fill=255, font=fitting)
        pictures.append(np.asarray(picture))
    return pictures
