"""Chip cards from TOML files, read strictly: a number without unit, range, kind, source and locator is refused."""

import difflib
import math
import re
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec

from neurometa.chips.card import EVENTS, Card, Figure, Kind, Source
from neurometa.chips.quantity import ENERGY, NUMBER, POWER, TIME, UNITS, Dimension
from neurometa.errors import UserError

TABLES = ("energy", "time", "power", "limits", "device", "validation")
DIMENSIONS: dict[str, Dimension] = {"energy": ENERGY, "time": TIME, "power": POWER, "limits": NUMBER}
"""What the figures of a table must be; the other tables hold any."""
NEEDED = {
    "event": {},
    "digital": {"energy": ("add", "multiply", "address", "memory_8kb", "memory_32kb", "memory_1mb")},
    "board": {"power": ("dynamic",), "time": ("overhead", "each"), "limits": ("reference_macs", "scaling")},
    "mac": {},
    "bound": {"energy": ("flop",)},
}
ONE_WAY = (
    (("synaptic_event",), ("synaptic_event_dense", "synaptic_event_sparse", "synaptic_event_conv"), ("cell_read",), ("array_read",)),
    (("neuron_update",), ("neuron_update_active", "neuron_update_inactive"), ("neuron_access", "neuron_change")),
)
"""Ways to charge one and the same thing, as a whole or in parts: a table that has figures of two of them would charge it twice."""
SOURCES = "sources.toml"
_EXAMPLE = '{ value = 23.6, low = 15.7, high = 35.4, unit = "pJ", kind = "simulated", source = "davies2018", locator = "Table 2" }'


@cache
def shipped() -> dict[str, Card]:
    """The cards that come with neurometa, by name."""
    here = resources.files("neurometa.chips")
    files = sorted((f for f in here.iterdir() if f.name.endswith(".toml") and f.name != SOURCES), key=lambda f: f.name)
    return _named([(f.name, card(f.read_text(encoding="utf-8"), f.name, sources())) for f in files])


@cache
def sources() -> dict[str, Source]:
    """The sources that come with neurometa, by name."""
    return _sources((resources.files("neurometa.chips") / SOURCES).read_text(encoding="utf-8"), SOURCES)


def folder(path: Path) -> dict[str, Card]:
    """The cards of a user's folder, by name; a sources.toml beside them may add sources.

    Raises:
        UserError: there is no such folder, it holds no card, or one of them is refused.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: expected one with chip cards, such as mychip.toml")
    files = sorted(file for file in path.glob("*.toml") if file.name != SOURCES)
    if not files:
        raise UserError(f"{path} holds no *.toml file: put a chip card into it, such as a copy of one that `neurometa list chips` names")
    own = _sources(_text(path / SOURCES), str(path / SOURCES)) if (path / SOURCES).exists() else {}
    return _named([(str(file), card(_text(file), str(file), {**sources(), **own})) for file in files])


def card(text: str, file: str, known: dict[str, Source]) -> Card:
    """Read one card.

    Args:
        text: TOML.
        file: opens every message.
        known: sources that its figures may name.
    Raises:
        UserError: what is wrong: file, key, and what is expected.
    """
    mapping = _toml(text, file)
    for table, figures in mapping.items():
        if table in TABLES and isinstance(figures, dict):
            for key, value in figures.items():
                if table in ("energy", "time") and key not in EVENTS and not (table == "time" and re.fullmatch(r"sync_[1-9]\d*", key)):
                    raise UserError(f"{file}: {table}.{key} is no event: {_expected(key, list(EVENTS))}")
                _figure(value, table, f"{file}: {table}.{key}", known)
    if "node" in mapping:
        _figure(mapping["node"], "limits", f"{file}: node", known)
    made = _convert(mapping, Card, file)
    for table, keys in NEEDED[made.model].items():
        for key in keys:
            if key not in getattr(made, table):
                raise UserError(f"{file}: {table}.{key} is missing: a card of model {made.model!r} needs it")
    for table in ("energy", "time"):
        for ways in ONE_WAY:
            used = [way for way in ways if any(name in getattr(made, table) for name in way)]
            if len(used) > 1:
                both = [next(name for name in way if name in getattr(made, table)) for way in used[:2]]
                raise UserError(f"{file}: {table}.{both[0]} and {table}.{both[1]} charge one thing twice: expected only one of them")
    if made.model in ("event", "mac") and not made.energy:
        raise UserError(f"{file}: energy is missing: a card of model {made.model!r} needs at least one figure in [energy]")
    return made


def _figure(value: Any, table: str, where: str, known: dict[str, Source]) -> None:
    """Check one number as it stands in the file, before its type is: the messages should say more than a type."""
    if not isinstance(value, dict):
        raise UserError(f"{where} = {value!r} stands alone: expected value, low, high, unit, kind, source and locator, such as {_EXAMPLE}")
    for key in Figure.__struct_fields__[:7]:
        if value.get(key) in (None, ""):
            raise UserError(f"{where}.{key} is missing: every number needs value, low, high, unit, kind, source and locator")
    unit = value["unit"]
    if unit not in UNITS:
        raise UserError(f"{where}.unit = {unit!r} is not known: {_expected(str(unit), list(UNITS))}")
    if table in DIMENSIONS and UNITS[unit][1] != DIMENSIONS[table]:
        fitting = [name for name, (_, dimension) in UNITS.items() if dimension == DIMENSIONS[table]]
        raise UserError(f"{where}.unit = {unit!r} is no unit of [{table}]: expected one of {', '.join(fitting)}")
    for name in _names(str(value["source"])):
        if name not in known:
            raise UserError(f"{where}.source = {name!r} is not in {SOURCES}: {_expected(name, sorted(known))}")
    if value["kind"] not in get_args(Kind):
        raise UserError(f"{where}.kind = {value['kind']!r} is not known: {_expected(str(value['kind']), list(get_args(Kind)))}")
    if unknown := [key for key in value if key not in Figure.__struct_fields__]:
        raise UserError(f"{where}.{unknown[0]} is not known: {_expected(unknown[0], list(Figure.__struct_fields__))}")
    low, middle, high = (value[key] for key in ("low", "value", "high"))
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in (low, middle, high)):
        raise UserError(f"{where} has low {low!r}, value {middle!r}, high {high!r}: expected finite numbers")
    signed = table in ("device", "validation")
    if 0 in (low, middle, high) or (low < 0 and not signed):
        raise UserError(f"{where} has low {low}, value {middle}, high {high}: expected numbers above 0; leave out what is unknown")
    if not low <= middle <= high:
        raise UserError(f"{where} has low {low}, value {middle}, high {high}: expected low <= value <= high")


def _names(source: str) -> list[str]:
    return [name.strip() for name in source.split(",")]


def _named(cards: list[tuple[str, Card]]) -> dict[str, Card]:
    found: dict[str, Card] = {}
    for file, one in cards:
        if one.name in found:
            raise UserError(f"{file}: a card named {one.name} was already read: give it another chip or profile")
        found[one.name] = one
    return found


def _sources(text: str, file: str) -> dict[str, Source]:
    return {name: _convert(value, Source, f"{file}: {name}") for name, value in _toml(text, file).items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}") from None


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not TOML: {error}") from None


def _convert(mapping: Any, kind: Callable[..., Any], file: str) -> Any:
    try:
        return msgspec.convert(mapping, kind)
    except msgspec.ValidationError as error:
        words, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").lstrip(".")
        plain = re.sub(r"^Object (missing required|contains unknown) field `([^`]+)`", r"\1 key \2", words)
        raise UserError(f"{file}: {key + ': ' if key else ''}{plain}") from None


def _expected(given: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    return f"expected one of {', '.join(allowed)}" + (f"; did you mean {close[0]}?" if close else "")
