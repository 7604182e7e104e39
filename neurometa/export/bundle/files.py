"""A bundle as a folder: bundle.json and its arrays, each file named with its checksum. Everything is checked before it is used."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from neurometa.errors import UserError
from neurometa.export.bundle.check import check
from neurometa.export.bundle.schema import Bundle, Network

FORMAT, VERSION = "neurometa-loihi", 2
"""What a bundle calls itself; an older neurometa refuses a newer version. It is 2 where a population adapts, or an input
has lines or a neuron knows its own error, else 1: a reader that does not know these must not play such a network as one without."""

DESCRIPTION = "bundle.json"
ARRAYS, FLOATS = "arrays.npz", "floats.npz"

_LARGEST = 1 << 30
"""Bytes that a bundle's arrays may take."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file beside bundle.json."""

    file: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\.npz\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """bundle.json."""

    format: str
    version: int
    network: Network
    arrays: _File
    floats: _File | None = None


def write(folder: Path, bundle: Bundle) -> None:
    """Write bundle.json, arrays.npz and, where the floats are kept, floats.npz.

    Raises:
        UserError: the bundle does not hold together, or the folder cannot be written.
    """
    check(bundle)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: _save(folder / name, arrays) for name, arrays in ((ARRAYS, bundle.arrays), (FLOATS, dict(bundle.floats))) if arrays}
        version = VERSION if _newer(bundle) else 1
        described = _Description(FORMAT, version, bundle.network, files.get(ARRAYS) or _save(folder / ARRAYS, {}), files.get(FLOATS))
        text = json.dumps(msgspec.to_builtins(described), indent=1, allow_nan=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another folder with --out") from None


def _newer(bundle: Bundle) -> bool:
    """Whether a reader of version 1 could not play this."""
    third = (one.modulation.third for one in bundle.network.populations if one.modulation)
    adaptive = any(one.adapts for one in bundle.network.populations)
    return adaptive or bundle.network.lines > 0 or any(kind != "arriving" for kind in third)


def read(folder: Path) -> Bundle:
    """Read a bundle.

    Raises:
        UserError: no bundle, a newer one, a wrong checksum, a damaged or truncated file, a path out of the folder, integers out of range.
    """
    described = _describe(folder / DESCRIPTION)
    arrays = _load(folder, described.arrays, np.dtype(np.int32))
    floats = _load(folder, described.floats, np.dtype(np.float64)) if described.floats else {}
    bundle = Bundle(described.network, arrays, floats)
    try:
        check(bundle)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    return bundle


def _save(path: Path, arrays: dict[str, np.ndarray]) -> _File:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())
    return _File(path.name, hashlib.sha256(buffer.getvalue()).hexdigest())


def _describe(path: Path) -> _Description:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): expected a folder that `neurometa export` wrote") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): export again") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UserError(f"{path} does not say format {FORMAT!r}: expected a bundle that `neurometa export --to loihi` wrote")
    if not isinstance(value.get("version"), int) or value["version"] > VERSION:
        raise UserError(
            f"{path} has version {value.get('version')}, this neurometa reads {VERSION}: use a newer neurometa, or export again"
        )
    try:
        return msgspec.convert(value, _Description)
    except msgspec.ValidationError as error:
        raise UserError(f"{path} is refused: {error}") from None


def _load(folder: Path, named: _File, kind: np.dtype) -> dict[str, np.ndarray]:
    path = folder / named.file
    if path.resolve().parent != folder.resolve():
        raise UserError(f"{path} leads out of its folder: export again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): export again") from None
    if hashlib.sha256(content).hexdigest() != named.sha256:
        raise UserError(f"{path} is not the file that {DESCRIPTION} names (its checksum differs): copy it again, or export again")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            if sum(member.file_size for member in members.infolist()) > _LARGEST:
                raise UserError(f"{path} holds more than {_LARGEST:,} bytes: expected a network that fits the memory")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): export again") from None
    for name, array in found.items():
        if array.dtype != kind:
            raise UserError(f"{path}: array {name} is {array.dtype}, expected {kind}")
    return found
