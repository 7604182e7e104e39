"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Source: Lake, Salakhutdinov, Tenenbaum 2015, doi:10.1126/science.aab3050.
"""

import json
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch

from neurometa.errors import UserError
from neurometa.tasks.archive import read_drawings
from neurometa.tasks.augment import Augment
from neurometa.tasks.base import INK, ImageClasses, rotated
from neurometa.tasks.download import Source
from neurometa.tasks.locate import locate

PIXELS = 28
"""Height and width of a picture as it is shown."""


class Character(NamedTuple):
    """Where the drawings of a character lie: archive, alphabet, folder."""

    archive: str
    alphabet: str
    folder: str


def contents() -> dict:
    """What Omniglot holds: archives with checksums, alphabets with their number of characters, splits with their sources."""
    return json.loads(resources.files("neurometa.tasks").joinpath("omniglot.json").read_text(encoding="utf-8"))


def characters(split: str, part: str) -> list[Character]:
    """List the characters of one side of a split, sorted by archive, alphabet and number.

    Args:
        split: "background-evaluation" (964 / 659 characters), "background-validation" (764 / 200 of the background characters, for
            tuning) or "vinyals" (1,200 / 423, Matching Networks and MAML).
        part: "train" or "unseen".
    """
    known = contents()
    rules = {name: rule for name, rule in known["splits"].items() if name != "about"}
    if split not in rules:
        raise UserError(f"split {split!r} given, expected one of {', '.join(rules)}: choose one of them")
    if part not in ("train", "unseen"):
        raise UserError(f"part {part!r} given, expected train or unseen: choose one of them")
    first_unseen = rules[split]["unseen"]
    return [
        Character(archive, alphabet, f"character{number:02d}")
        for archive in rules[split]["archives"]
        for alphabet, count in sorted(known["characters"][archive].items())
        for number in range(1, count + 1)
        if (number >= first_unseen.get(alphabet, count + 1)) == (part == "unseen")
    ]


def find(data: Path | None, archive: str) -> Path:
    """Path of an archive, "images_background" or "images_evaluation": see `neurometa.tasks.locate.locate` for where it is looked for."""
    files = contents()["files"]
    name = f"{archive}.zip"
    return locate(data, f"omniglot/{name}", Source(f"{files['url']}/{name}", files[name]["bytes"], files[name]["sha256"]))


def omniglot(
    data: Path | None,
    part: str,
    split: str = "background-evaluation",
    ways: int = 5,
    shots: int = 1,
    queries: int = 5,
    binary: bool = True,
    rotations: bool = False,
    augment: Augment | None = None,
    within_alphabet: bool = False,
) -> ImageClasses:
    """Read one side of an Omniglot split into memory as a task family.

    Args:
        data: directory that holds omniglot/images_background.zip and omniglot/images_evaluation.zip; None looks in $NEUROMETA_DATA,
            then in ~/.cache/neurometa, and downloads what is missing into the latter.
        part: "train" for the characters to meta-train on, "unseen" for those to be judged on.
        split: see `characters`.
        ways, shots, queries: classes of an episode, support and query drawings of each.
        binary: pixels are exactly 0 or 1 (ink where a share of more than `INK` of the pixel is); else grey.
        rotations: every character turned by 90, 180 and 270 degrees is three more classes; for training.
        augment: affine change drawn anew for each image; for training.
        within_alphabet: Lake's harder test. All classes of an episode come from one alphabet (equally likely among those with enough
            characters); drawing d of every character of an alphabet is by the same person, and an episode draws `shots` people for the
            support and `queries` other people for the queries, the same for all its classes.
    """
    chosen = characters(split, part)
    images = torch.cat(
        [
            read_drawings(find(data, archive), archive, [f"{c.alphabet}/{c.folder}" for c in chosen if c.archive == archive])
            for archive in sorted({c.archive for c in chosen})
        ]
    )
    alphabets = {alphabet: index for index, alphabet in enumerate(dict.fromkeys(c.alphabet for c in chosen))}
    groups = torch.tensor([alphabets[c.alphabet] for c in chosen])
    if rotations:
        images, groups = rotated(images), torch.cat([groups + turns * len(alphabets) for turns in range(4)])
    return ImageClasses(
        images, ways, shots, queries, threshold=INK if binary else None, augment=augment, groups=groups if within_alphabet else None
    )
