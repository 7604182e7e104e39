"""Reads a bundle: bundle.json and its arrays, checked before anything runs. No pickle, no code.

neurometa's docs/loihi.md documents the format. This is a second reader, written apart from neurometa's, which needs neither torch nor it.
"""

import hashlib
import io
import json
import math
import pathlib
import re
import typing
import zipfile

import numpy as np

FORMAT, VERSION = "neurometa-loihi", 2
WEIGHTS = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
NEURON = {"du": (0, 4095), "dv": (0, 4095), "vth": (0, 131071), "da": (0, 4095), "beta": (0, 131071)}
LIMITS = {"start": (1 - (1 << 23), (1 << 23) - 1), "bias_exp": (0, 7), "onset": (0, 4096), "interval": (0, 1 << 20), "lines": (0, 1 << 16), "exponent": (-8, 7), "bits": (1, 8), "stride": (1, 64), "padding": (0, 64), "pool": (1, 64)}
MODULATION = {"height": (0, 127), "width": (0, 131071), "decay": (0, 4095), "offset": (-(1 << 15), (1 << 15) - 1), "slope": (0, 4095), "shift": (0, 24), "least": (0, 64)}
_LARGEST = 1 << 30


class Refused(Exception):
    """Something the user gave cannot be played. One line."""


class Bundle(typing.NamedTuple):
    """`network` of bundle.json as plain data, integer arrays, float arrays (empty where they were not kept)."""

    network: dict
    arrays: dict
    floats: dict


def read(folder: pathlib.Path) -> Bundle:
    """Read and check a bundle. Raises Refused."""
    path = folder / "bundle.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["format"] != FORMAT:
            raise Refused(f"{path}: format {described['format']!r}, expected {FORMAT!r}")
        if not isinstance(described["version"], int) or described["version"] > VERSION:
            raise Refused(f"{path}: version {described['version']}, this neurometa-lava reads {VERSION}: use a newer one")
        arrays = _load(folder, described["arrays"], np.int32)
        floats = _load(folder, described["floats"], np.float64) if described.get("floats") else {}
        bundle = Bundle(described["network"], arrays, floats)
        _check(bundle)
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is damaged ({type(error).__name__}: {error})") from None
    return bundle


def shapes(network: dict) -> dict:
    """Shape of the input, of its further lines where it has some, and of every population, by name."""
    lines = {"lines": (network["lines"],)} if network.get("lines") else {}
    return {"input": tuple(network["input"]["shape"]), **lines, **{one["name"]: tuple(one["shape"]) for one in network["populations"]}}


def arriving(network: dict, given: np.ndarray) -> dict:
    """An input, of which the axis before the last is that of its spikes, by the names of its sources."""
    size = math.prod(network["input"]["shape"])
    return {"input": given[..., :size, :], **({"lines": given[..., size:, :]} if network.get("lines") else {})}


def adapts(one: dict) -> bool:
    """Whether spikes of a population raise its threshold."""
    return one.get("beta", 0) != 0


def _load(folder: pathlib.Path, named: dict, kind: type) -> dict:
    name = named["file"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*\.npz", name) or (folder / name).resolve().parent != folder.resolve():
        raise Refused(f"{name!r} is not the name of a file in {folder}")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != named["sha256"]:
        raise Refused(f"{folder / name}: its checksum differs from the one in bundle.json")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            if sum(member.file_size for member in members.infolist()) > _LARGEST:
                raise Refused(f"{folder / name} holds more than {_LARGEST} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{folder / name} is damaged ({error})") from None
    for key, array in arrays.items():
        if array.dtype != kind:
            raise Refused(f"{folder / name}: array {key} is {array.dtype}, expected {np.dtype(kind)}")
    return arrays


def _check(bundle: Bundle) -> None:
    network, sizes = bundle.network, shapes(bundle.network)
    if not 1 <= _whole(network["steps"], "steps") <= 1 << 20:
        raise Refused(f"bundle.json: steps = {network['steps']}, expected 1 to {1 << 20}")
    _within(network.get("lines", 0), LIMITS["lines"], "lines")
    for one in network["populations"]:
        size = math.prod(one["shape"])
        for field in ("bias_exp", "onset", "start", "interval"):
            _within(one.get(field, 0), LIMITS[field], f"{one['name']}.{field}")
        for field, limits in NEURON.items():
            value = one.get(field, 0) if field in ("da", "beta") else one[field]
            if isinstance(value, str):
                _array(bundle, value, (size,), limits)
            else:
                _within(value, limits, f"{one['name']}.{field}")
        for field, limits in MODULATION.items():
            _within((one.get("modulation") or {}).get(field, 0), limits, f"modulation.{field} of {one['name']}")
        if one.get("bias"):
            _array(bundle, one["bias"], (size,), (-4096, 4095))
    for one in network["synapses"]:
        for field in ("exponent", "bits", "stride", "padding", "pool"):
            _within(one.get(field, LIMITS[field][1] if field == "bits" else max(LIMITS[field][0], 0)), LIMITS[field], f"{one['name']}.{field}")
        source, target = sizes[one["source"]], sizes[one["target"]]
        if one.get("kind", "dense") == "dense":
            expected = (math.prod(target), math.prod(source))
        else:
            kernel = bundle.arrays[one["weight"]].shape[-1]
            expected = (target[0], source[0], kernel, kernel)
        _array(bundle, one["weight"], expected, WEIGHTS[one.get("sign", "mixed")])


def _whole(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(f"bundle.json: {what} = {value!r}, expected a whole number")
    return value


def _within(value: object, limits: tuple, what: str) -> None:
    if not limits[0] <= _whole(value, what) <= limits[1]:
        raise Refused(f"bundle.json: {what} = {value}, expected {limits[0]} to {limits[1]}")


def _array(bundle: Bundle, name: str, shape: tuple, limits: tuple) -> None:
    if name not in bundle.arrays:
        raise Refused(f"array {name} is missing")
    array = bundle.arrays[name]
    if array.shape != shape:
        raise Refused(f"array {name} has shape {array.shape}, expected {shape}")
    if array.size and (array.min() < limits[0] or array.max() > limits[1]):
        raise Refused(f"array {name} has integers from {array.min()} to {array.max()}, expected {limits[0]} to {limits[1]}")
