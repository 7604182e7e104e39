"""Omniglot: its splits, its made-up archives everywhere, its real ones where they are."""

from pathlib import Path

import pytest
import torch

from neurometa.errors import UserError
from neurometa.tasks.augment import Augment
from neurometa.tasks.omniglot import Character, characters, contents, omniglot
from tests.tasks.drawn import drawings, one_line, write_zip

TUNING = "background-validation"  # the smallest, so the fastest to read
SPLITS = {"background-evaluation": (964, 659), "background-validation": (764, 200), "vinyals": (1200, 423)}


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_its_published_size_and_its_sides_are_disjoint(split: str) -> None:
    train, unseen = characters(split, "train"), characters(split, "unseen")
    assert (len(train), len(unseen)) == SPLITS[split]
    assert len({*train, *unseen}) == len(train) + len(unseen)
    assert train == sorted(train), "the order is fixed by archive, alphabet and number"


def test_tuning_never_sees_an_evaluation_character() -> None:
    used = {*characters("background-validation", "train"), *characters("background-validation", "unseen")}
    assert used == set(characters("background-evaluation", "train"))
    alphabets = [{c.alphabet for c in characters("background-validation", part)} for part in ("train", "unseen")]
    assert not alphabets[0] & alphabets[1], "whole alphabets are held out"


def test_the_published_423_begin_with_the_42nd_character_of_gurmukhi() -> None:
    unseen = characters("vinyals", "unseen")
    assert unseen[0] == Character("images_evaluation", "Gurmukhi", "character42")
    assert unseen[-1] == Character("images_evaluation", "ULOG", "character26")
    assert Character("images_evaluation", "Gurmukhi", "character41") in characters("vinyals", "train")


@pytest.mark.parametrize(("split", "part", "said"), [("lake", "train", "'lake'"), ("vinyals", "test", "'test'")])
def test_an_unknown_split_or_part_is_refused(split: str, part: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        characters(split, part)
    assert said in one_line(raised)


def test_rotations_make_four_classes_of_one(made_up: Path) -> None:
    upright = omniglot(made_up, "unseen", TUNING)
    turned = omniglot(made_up, "unseen", TUNING, rotations=True, augment=Augment())
    assert upright.images.shape == (200, 20, 28, 28)
    assert turned.images.shape == (800, 20, 28, 28)
    assert torch.equal(turned.images[200:400], upright.images.rot90(1, (2, 3)))
    assert turned.shape == (1, 28, 28)
    assert turned.sample(torch.Generator().manual_seed(0), 2).support.x.unique().tolist() == [0.0, 1.0]


def test_within_an_alphabet_support_and_query_are_by_different_people(made_up: Path) -> None:
    family = omniglot(made_up, "unseen", TUNING, ways=20, shots=1, queries=2, binary=False, within_alphabet=True)
    episode = family.sample(torch.Generator().manual_seed(0), 30)
    for support, query in zip(episode.support.x, episode.query.x, strict=True):
        people = support.unique(dim=0), query.unique(dim=0)
        assert [len(p) for p in people] == [1, 2], "every made-up character looks the same, so a picture is a person"
        assert len(torch.cat(people).unique(dim=0)) == 3
    assert family.groups is not None
    names = [c.alphabet for c in characters(TUNING, "unseen")]
    for group in family.groups.unique():
        assert len({name for name, other in zip(names, family.groups, strict=True) if other == group}) == 1


def test_within_an_alphabet_its_turned_copies_are_alphabets_of_their_own(made_up: Path) -> None:
    upright, turned = (
        omniglot(made_up, "unseen", TUNING, ways=20, rotations=rotations, within_alphabet=True).groups for rotations in (False, True)
    )
    assert upright is not None
    assert turned is not None
    assert sorted(turned.bincount().tolist()) == sorted(upright.bincount().tolist() * 4)
    assert torch.equal(turned[:200], upright)


def test_within_an_alphabet_more_ways_than_its_largest_are_refused(made_up: Path) -> None:
    with pytest.raises(UserError) as raised:
        omniglot(made_up, "unseen", TUNING, ways=47, within_alphabet=True)
    assert "47 ways given, expected at most 46" in one_line(raised)


@pytest.mark.parametrize(
    ("ways", "shots", "queries", "said"),
    [(201, 1, 5, "expected at most 200"), (5, 16, 5, "16 shots + 5 queries given, expected at most 20")],
)
def test_more_than_omniglot_has_is_refused(made_up: Path, ways: int, shots: int, queries: int, said: str) -> None:
    with pytest.raises(UserError) as raised:
        omniglot(made_up, "unseen", TUNING, ways=ways, shots=shots, queries=queries)
    assert said in one_line(raised)


def test_a_zip_without_one_alphabet_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "omniglot" / "images_evaluation.zip", drawings("images_evaluation", ["Angelic/character01"]))
    with pytest.raises(UserError) as raised:
        omniglot(tmp_path, "unseen")
    assert "0 drawings of Angelic/character02" in one_line(raised)


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        omniglot(tmp_path, "train")
    assert "omniglot/images_background.zip" in one_line(raised)


def test_checksums_are_complete() -> None:
    for archive in contents()["characters"]:
        assert len(contents()["files"][f"{archive}.zip"]["sha256"]) == 64


@pytest.mark.data
def test_the_real_archives_hold_1623_characters_of_20_different_drawings(real: Path) -> None:
    parts = [omniglot(real, part, ways=20, within_alphabet=True).images for part in ("train", "unseen")]
    assert [len(images) for images in parts] == [964, 659]
    images = torch.cat(parts)
    assert images.shape == (1623, 20, 28, 28)
    ink = (images > 0.3 * 255).float().mean((2, 3))
    assert ink.min() > 1 / 784, "no drawing is blank: the smallest is a dot of two pixels"
    assert ink.max() < 0.5
    assert ink.mean() == pytest.approx(0.1, abs=0.02)
    different = sum(len(drawings.flatten(1).unique(dim=0)) for drawings in images)
    assert different > 0.999 * 1623 * 20
    seen = {drawing.numpy().tobytes() for drawing in parts[0].flatten(0, 1)}
    both = sum(drawing.numpy().tobytes() in seen for drawing in parts[1].flatten(0, 1))
    assert both < 20, "a few dots and bars coincide, no characters"


@pytest.mark.data
def test_the_real_unseen_characters_of_the_vinyals_split_are_the_last_423(real: Path) -> None:
    unseen = omniglot(real, "unseen", "vinyals").images
    assert unseen.shape == (423, 20, 28, 28)
    assert torch.equal(unseen, omniglot(real, "unseen").images[-423:])
