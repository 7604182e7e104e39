import os

import pytest

from neurometa.errors import UserError
from neurometa.experiment import atomic


def test_a_file_is_replaced_and_its_folder_is_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for content in (b"old", b"", b"new" * 100_000):
        atomic.replace(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_whatever_fails_the_old_file_stays_and_nothing_else_is_left(tmp_path, monkeypatch, where):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    atomic.replace(path, b"old")
    monkeypatch.setattr(os, where, full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\).*untouched: free space"):
        atomic.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        atomic.replace(tmp_path / "file" / "inside", b"x")
    assert "\n" not in str(caught.value)
