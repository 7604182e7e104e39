"""Write neurometa/tasks/glyphs.json: which characters are classes of the `glyphs` task, what looks like them, and which are unseen.

python -m experiments.make_glyphs_split

1. Candidates: letters, digits and currency signs that all twelve DejaVu faces have, less those that Unicode decomposes (an accented letter
   is its letter with a mark of two pixels, a compatibility form is another character).
2. A face counts for a character where it has it and draws other pixels than every earlier face (at 28 pixels); at least 12 must remain.
3. Two characters look alike where, cut out and brought to one size, their pictures have a cosine similarity above ALIKE_ONCE in some face
   (Latin, Greek and Cyrillic A are the same outline) or above ALIKE_ON_AVERAGE over the faces that both have. Cutting out makes C and c
   alike, too. A character that looks like one with a lower code point is no class: it is listed with the one it is most like.
4. The unseen quarter is drawn with a fixed seed.
"""

import json
import random
import unicodedata
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image

from neurometa.tasks.glyphs import draw, font_files

DEJAVU = [
    f"DejaVu{family}{style}"
    for family, slant in (("Sans", "Oblique"), ("SansMono", "Oblique"), ("Serif", "Italic"))
    for style in ("", "-Bold", f"-{slant}", f"-Bold{slant}")
]
STIX = ["STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"]
FACES = DEJAVU + STIX
CATEGORIES = {"Lu", "Ll", "Lo", "Nd", "Sc"}
FEWEST = 12
ALIKE_ONCE, ALIKE_ON_AVERAGE = 0.95, 0.9
LOOK, SIDE = 96, 32  # pixels of the picture that is cut out, and of the one that is compared
SEED, UNSEEN = 0, 0.25


def candidates(has: list[set[int]]) -> list[str]:
    """Characters that could be classes, by code point."""
    shared = sorted(set.intersection(*has[: len(DEJAVU)]))
    return [c for c in map(chr, shared) if unicodedata.category(c) in CATEGORIES and not unicodedata.decomposition(c)]


def faces_of(text: list[str], has: list[set[int]], files: list[Path]) -> dict[str, int]:
    """Bit mask of the faces that count, for each character that has enough of them."""
    seen: dict[str, set[bytes]] = {c: set() for c in text}
    masks = dict.fromkeys(text, 0)
    for number, file in enumerate(files):
        having = [c for c in text if ord(c) in has[number]]
        for c, picture in zip(having, draw(file, having, 28), strict=True):
            if picture.any() and picture.tobytes() not in seen[c]:
                seen[c].add(picture.tobytes())
                masks[c] |= 1 << number
    return {c: mask for c, mask in masks.items() if mask.bit_count() >= FEWEST}


def outline(picture: np.ndarray) -> np.ndarray:
    """Picture cut out, its longer side brought to SIDE pixels, as a vector of length 1."""
    image = Image.fromarray(picture)
    cut = image.crop(image.getbbox())
    scale = SIDE / max(cut.size)
    width, height = (max(1, round(n * scale)) for n in cut.size)
    square = Image.new("L", (SIDE, SIDE))
    square.paste(cut.resize((width, height), Image.Resampling.BOX), ((SIDE - width) // 2, (SIDE - height) // 2))
    vector = np.asarray(square, np.float64).ravel()
    return vector / np.linalg.norm(vector)


def likeness(text: list[str], has: list[set[int]], files: list[Path]) -> np.ndarray:
    """How far each pair is above the bound that makes it alike (alike where positive)."""
    once, total, faces = (np.zeros((len(text), len(text))) for _ in range(3))
    for number, file in enumerate(files):
        rows = [row for row, c in enumerate(text) if ord(c) in has[number]]
        vectors = np.stack([outline(picture) for picture in draw(file, (text[row] for row in rows), LOOK)])
        pairs = np.ix_(rows, rows)
        cosine = vectors @ vectors.T
        once[pairs] = np.maximum(once[pairs], cosine)
        total[pairs] += cosine
        faces[pairs] += 1
    return np.maximum(once - ALIKE_ONCE, total / faces - ALIKE_ON_AVERAGE)


def classes(text: list[str], alike: np.ndarray) -> dict[str, str]:
    """For each class, the other characters that look like it."""
    drawn: list[int] = []
    for row in range(len(text)):
        if not any(alike[row, other] > 0 for other in drawn):
            drawn.append(row)
    found = {text[row]: "" for row in drawn}
    for row, c in enumerate(text):
        if row not in drawn:
            found[text[max(drawn, key=lambda other: alike[row, other])]] += c
    return found


def main() -> None:
    """Write the file and say what is in it."""
    files = font_files(FACES)
    has = [set(TTFont(file).getBestCmap()) for file in files]
    masks = faces_of(candidates(has), has, files)
    text = list(masks)
    found = classes(text, likeness(text, has, files))
    unseen = set(random.Random(SEED).sample(sorted(found), round(UNSEEN * len(found))))
    rows = {part: [[c + found[c], f"{masks[c]:04x}"] for c in found if (c in unseen) == (part == "unseen")] for part in ("train", "unseen")}
    about = (
        "Classes of the glyphs task: the character that is drawn, then those that look like it; and the faces that count, as a bit mask "
        "(lowest bit: first face). Made by experiments/make_glyphs_split.py: change that, not this."
    )
    lines = [f'  "{part}": [\n' + ",\n".join(f"    {json.dumps(row)}" for row in rows[part]) + "\n  ]" for part in rows]
    head = f'{{\n  "about": {json.dumps(about)},\n  "faces": {json.dumps(FACES)},\n'
    target = Path(__file__).parents[1] / "neurometa" / "tasks" / "glyphs.json"
    target.write_text(head + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(text)} characters, {len(found)} classes: {len(rows['train'])} for training, {len(rows['unseen'])} unseen, in {target}")


if __name__ == "__main__":
    main()
