"""Glyphs: classes that can be told apart, unseen ones that were not trained on, fonts that have them."""

from pathlib import Path

import pytest
import torch
from fontTools.ttLib import TTFont

from neurometa.errors import UserError
from neurometa.tasks.augment import Augment
from neurometa.tasks.glyphs import characters, draw, font_files, glyphs, table
from tests.tasks.drawn import one_line


def test_training_and_unseen_classes_are_disjoint_with_all_that_looks_like_them() -> None:
    train, unseen = ([glyph.character + glyph.alike for glyph in characters(part)] for part in ("train", "unseen"))
    every = "".join(train) + "".join(unseen)
    assert len(set(every)) == len(every), "each character is in one class"
    assert len(train) >= 300
    assert len(unseen) >= 100


@pytest.mark.parametrize("same", ["AΑА", "BΒВ", "EΕЕ", "HΗНП", "XΧХ", "cс", "pр", "Il", "æӕ", "vV"])
def test_look_alikes_of_several_scripts_are_one_class(same: str) -> None:
    glyph = [g for part in ("train", "unseen") for g in characters(part) if same[0] in g.character + g.alike]
    assert len(glyph) == 1
    assert set(same) <= set(glyph[0].character + glyph[0].alike)


def test_every_face_has_the_characters_it_draws() -> None:
    for number, file in enumerate(font_files(table()["faces"])):
        drawn = {ord(g.character) for part in ("train", "unseen") for g in characters(part) if number in g.faces}
        assert drawn
        assert drawn <= set(TTFont(file).getBestCmap())


@pytest.mark.parametrize("part", ["train", "unseen"])
def test_a_class_has_at_least_twelve_different_drawings_and_none_is_blank(part: str) -> None:
    family = glyphs(part, binary=False)
    assert family.counts is not None
    assert family.counts.min() >= 12
    for images, count in zip(family.images, family.counts, strict=True):
        assert len(images[:count].flatten(1).unique(dim=0)) == count
        assert (images[:count].amax((1, 2)) > 150).all()
        assert not images[count:].any()


def test_no_two_classes_draw_the_same_picture() -> None:
    images = torch.cat([torch.cat([i[:n] for i, n in zip(f.images, f.counts, strict=True)]) for f in map(glyphs, ("train", "unseen"))])
    assert len(images.flatten(1).unique(dim=0)) == len(images)


@pytest.mark.parametrize("size", [12, 28, 40])
def test_pictures_are_centred_and_fit_at_any_size(size: int) -> None:
    for file in font_files(["DejaVuSans-Bold", "STIXGeneral"]):
        for picture in draw(file, "lAЖЉ", size):
            assert picture.shape == (size, size)
            rows, columns = picture.any(1).nonzero()[0], picture.any(0).nonzero()[0]
            for used in (rows, columns):
                before, after = used[0], size - 1 - used[-1]
                assert abs(before - after) <= 2
                assert min(before, after) >= 0
            assert max(len(rows), len(columns)) > size / 2


def test_binary_episodes_have_zero_and_one_only_and_grey_ones_more() -> None:
    for binary, augment in ((True, None), (True, Augment()), (False, None)):
        episode = glyphs("train", ways=5, shots=1, queries=5, binary=binary, augment=augment).sample(torch.Generator().manual_seed(0), 4)
        assert episode.support.x.shape == (4, 5, 1, 28, 28)
        values = episode.query.x.unique()
        assert values.tolist() == [0.0, 1.0] if binary else len(values) > 20
        assert 0.03 < episode.query.x.mean() < 0.4


def test_letters_too_small_to_read_are_refused() -> None:
    with pytest.raises(UserError) as raised:
        glyphs("train", size=4)
    assert "size 4 given, expected at least 8" in one_line(raised)


def test_an_unknown_part_and_a_missing_font_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as raised:
        characters("test")
    assert "'test'" in one_line(raised)
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(UserError) as raised:
        glyphs("train")
    assert "DejaVuSans.ttf" in one_line(raised)
