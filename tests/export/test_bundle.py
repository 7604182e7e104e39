"""A bundle on disk: what is written is read, and what is damaged, hostile or newer is refused before anything runs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, read, write
from tests.export.networks import random_bundle


@pytest.fixture
def made(tmp_path: Path) -> Path:
    bundle, _ = random_bundle(3, recurrent=True, conv=True, layers=2, extreme=False)
    write(tmp_path / "b", bundle._replace(floats={"s1.w": np.ones((3, 2, 3, 3))}))
    return tmp_path / "b"


def test_what_is_written_is_read(made: Path) -> None:
    bundle, _ = random_bundle(3, recurrent=True, conv=True, layers=2, extreme=False)
    found = read(made)
    assert found.network == bundle.network
    assert found.arrays.keys() == bundle.arrays.keys()
    assert all(np.array_equal(found.arrays[name], array) for name, array in bundle.arrays.items())
    assert found.floats["s1.w"].sum() == 54


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    path = folder / "bundle.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


EDITS: dict[str, Callable[[dict], object]] = {
    "version 99, this neurometa reads 2": lambda v: v.update(version=99),
    "does not say format": lambda v: v.update(format="other"),
    "checksum differs": lambda v: v["arrays"].update(sha256="0" * 64),
    r"\$.arrays.file": lambda v: v["arrays"].update(file="../outside.npz"),
    r"\$.floats.file": lambda v: v["floats"].update(file="/etc/x.npz"),
    "unknown field `code`": lambda v: v["network"].update(code="import os"),
    r"\$.network.populations\[0\].vth": lambda v: v["network"]["populations"][0].update(vth=131072),
    r"\$.network.populations\[0\].du": lambda v: v["network"]["populations"][0].update(du=-1),
    r"\$.network.populations\[0\].da": lambda v: v["network"]["populations"][0].update(da=4096),
    r"\$.network.populations\[0\].beta": lambda v: v["network"]["populations"][0].update(beta=-1),
    "beta of p1 names the array absent": lambda v: v["network"]["populations"][0].update(beta="absent"),
    r"\$.network.synapses\[0\].exponent": lambda v: v["network"]["synapses"][0].update(exponent=8),
    "the source nobody": lambda v: v["network"]["synapses"][0].update(source="nobody"),
    "is missing": lambda v: v["network"]["synapses"][0].update(weight="absent"),
    "given twice": lambda v: v["network"]["synapses"][1].update(name="s1"),
    "makes a picture of": lambda v: v["network"]["synapses"][0].update(padding=0),
    "can receive": lambda v: v["network"]["synapses"].extend(
        {**v["network"]["synapses"][1], "name": f"x{i}", "exponent": 7} for i in range(200)
    ),
}


@pytest.mark.parametrize("says", EDITS)
def test_a_description_that_cannot_be_played_is_refused(made: Path, says: str) -> None:
    change(made, EDITS[says])
    with pytest.raises(UserError, match=says):
        read(made)


def test_only_a_bundle_that_adapts_asks_for_a_reader_that_knows_adaptation(made: Path, tmp_path: Path) -> None:
    assert json.loads((made / "bundle.json").read_text())["version"] == 1
    bundle, _ = random_bundle(0, recurrent=True, conv=False, layers=2, extreme=False, adaptive=True)
    write(tmp_path / "adaptive", bundle)
    assert any(one.adapts for one in bundle.network.populations)
    assert json.loads((tmp_path / "adaptive" / "bundle.json").read_text())["version"] == 2
    assert read(tmp_path / "adaptive").network == bundle.network


def test_a_truncated_file_is_refused(made: Path) -> None:
    content = (made / "arrays.npz").read_bytes()
    (made / "arrays.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="checksum differs"):
        read(made)


def test_truncated_arrays_are_refused(made: Path) -> None:
    bundle = read(made)
    short = {name: array[:-1] if name == "s1.w" else array for name, array in bundle.arrays.items()}
    with pytest.raises(UserError, match="expected int32 of shape"):
        write(made, bundle._replace(arrays=short))


def test_integers_out_of_range_are_refused(made: Path) -> None:
    bundle = read(made)
    for name, array in bundle.arrays.items():
        with pytest.raises(UserError, match="has integers from"):
            write(made, Bundle(bundle.network, {**bundle.arrays, name: array + np.int32(200_000)}))


def test_a_link_out_of_the_folder_is_refused(made: Path, tmp_path: Path) -> None:
    (made / "arrays.npz").rename(tmp_path / "arrays.npz")
    (made / "arrays.npz").symlink_to(tmp_path / "arrays.npz")
    with pytest.raises(UserError, match="leads out of its folder"):
        read(made)


def test_pickled_objects_are_refused(made: Path) -> None:
    np.savez(made / "arrays.npz", **{"s1.w": np.array([{}], dtype=object)})
    digest = hashlib.sha256((made / "arrays.npz").read_bytes()).hexdigest()
    change(made, lambda v: v["arrays"].update(sha256=digest))
    with pytest.raises(UserError, match="is damaged"):
        read(made)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a folder that `neurometa export` wrote"):
        read(tmp_path)
