"""Zips are read in place, and whatever is wrong with one is said in a line."""

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.tasks.archive import read_drawings
from tests.tasks.drawn import drawings, one_line, picture, write_zip

CHARACTERS = ["Greek/character01", "Greek/character02"]


def members() -> dict[str, bytes]:
    return drawings("images", CHARACTERS)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        read_drawings(path, "images", CHARACTERS)
    return one_line(raised)


def test_drawings_are_read_in_order_with_ink_255(tmp_path: Path) -> None:
    backwards = dict(reversed({"images/": b"", "images/Greek/": b"", "images/Greek/.DS_Store": b"x", **members()}.items()))
    images = read_drawings(write_zip(tmp_path / "a.zip", backwards), "images", CHARACTERS)
    assert images.shape == (2, 20, 28, 28)
    assert (images[:, :, 0] == 0).all(), "the page is background"
    assert 150 < images.max() <= 255
    heights = (images.double().sum(3) * torch.arange(28)).sum(2) / images.sum((2, 3))
    assert (heights.diff(dim=1) > 0).all(), "drawer d strokes lower than drawer d - 1"
    assert images.sum((2, 3)).double().mean() / 255 == pytest.approx(3 * 40 / 3.75**2, rel=0.02), "averaging keeps the share of ink"


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    read_drawings(write_zip(tmp_path / "a.zip", members()), "images", CHARACTERS)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "/etc/evil.png", "elsewhere/x.png", "images/../../evil.png", "images\\evil.png", "images/a\\..\\b.png", "images2/x"],
)
def test_a_member_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    message = refused(write_zip(tmp_path / "a.zip", {**members(), name: b""}))
    assert repr(name) in message
    assert "expected only members inside images/" in message


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_zip_is_refused(tmp_path: Path, share: float) -> None:
    path = write_zip(tmp_path / "a.zip", members())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "expected a whole zip" in refused(path)


def test_a_member_said_to_start_at_the_end_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", members())
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 42 : directory + 46] = (len(content) - 10).to_bytes(4, "little")  # where the first member's header should lie
    path.write_bytes(content)
    assert "cannot be read" in refused(path)


def test_a_missing_zip_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "nowhere.zip does not exist" in refused(tmp_path / "nowhere.zip")


def test_a_missing_character_is_named(tmp_path: Path) -> None:
    assert "0 drawings of Greek/character02, expected 20" in refused(write_zip(tmp_path / "a.zip", drawings("images", CHARACTERS[:1])))


def test_a_missing_drawing_is_counted(tmp_path: Path) -> None:
    fewer = members()
    fewer.pop("images/Greek/character02/0001_07.png")
    assert "19 drawings of Greek/character02, expected 20" in refused(write_zip(tmp_path / "a.zip", fewer))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a picture", "cannot be read"),
        (picture(3)[:-30], "cannot be read"),
        (picture(3, size=64), "(64, 64) pixels, expected (105, 105)"),
        (b"\0" * 200_000, "200000 bytes"),
    ],
)
def test_a_bad_drawing_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(write_zip(tmp_path / "a.zip", {**members(), "images/Greek/character01/0000_05.png": content}))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12))
def test_damaged_bytes_never_raise_anything_but_a_user_error(tmp_path: Path, damage: list[tuple[float, int]]) -> None:
    path = write_zip(tmp_path / "a.zip", members())
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert read_drawings(path, "images", CHARACTERS).shape == (2, 20, 28, 28)
