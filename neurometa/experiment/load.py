"""TOML to `config.Experiment` and back: one strict reading, with messages that say where and what to do."""

import difflib
import hashlib
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as inspect
import tomli_w

from neurometa.errors import UserError
from neurometa.experiment import config
from neurometa.experiment.override import Override, apply

_WORDS = {
    "int": "a whole number",
    "int | str": "a whole number, or auto",
    "float": "a number",
    "float | object": "a number, or a table",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "object | null": "a table, or false",
}


def read(path: Path, overrides: list[Override] | None = None) -> config.Experiment:
    """Read an experiment from a TOML file, then apply the overriding flags.

    Raises:
        UserError: no such file, not TOML, or not an experiment; the message names the field.
    """
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected an experiment file such as experiments/omniglot-prototype.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return convert(apply(mapping, overrides or []), str(path))


def changed(experiment: config.Experiment, overrides: list[Override], source: str) -> config.Experiment:
    """The experiment with some fields replaced; `source` opens the message about a value that cannot be."""
    return convert(apply(_without_none(msgspec.to_builtins(experiment)), overrides), source) if overrides else experiment


def convert(mapping: dict[str, Any], source: str) -> config.Experiment:
    """Turn a TOML mapping into an experiment; `source` opens every message."""
    try:
        checked = _check(mapping, inspect.type_info(config.Experiment), "")
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    try:
        experiment = msgspec.convert(checked, config.Experiment)
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: {_plain(str(error), checked)}") from None
    if isinstance(experiment.task, config.DelayedCue) and "ways" not in mapping.get("evaluation", {}):
        evaluation = msgspec.structs.replace(experiment.evaluation, ways=experiment.task.ways)  # it can be asked no others
        experiment = msgspec.structs.replace(experiment, evaluation=evaluation)
    return experiment


def dump(experiment: config.Experiment) -> str:
    """Write an experiment as TOML with every default spelt out; an absent table is `false`."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(experiment)))


def digest(experiment: config.Experiment) -> str:
    """Eight hexadecimal digits that tell one resolved experiment from another."""
    return hashlib.sha256(dump(experiment).encode()).hexdigest()[:8]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items()}
    return False if value is None else value


def _check(value: Any, kind: inspect.Type, path: str) -> Any:
    """Refuse unknown keys, wrong kinds and values outside a list, which msgspec names too briefly; the rest is left to it."""
    if isinstance(kind, inspect.UnionType):
        if value is False and any(isinstance(t, inspect.NoneType) for t in kind.types):
            return None
        words = [str(known) for t in kind.types if isinstance(t, inspect.LiteralType) for known in t.values]
        if isinstance(value, str) and words and value not in words:
            raise UserError(f"{path} = {value!r} is not known; expected a number, or {' or '.join(words)}")
        if not isinstance(value, dict):
            return _finite(value, path)
        kind = _choose(value, [t for t in kind.types if isinstance(t, inspect.StructType)], path)
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        types = {field.name: field.type for field in kind.fields}
        allowed = [*([kind.tag_field] if kind.tag_field else []), *types]
        for key in value:
            if key not in allowed:
                raise UserError(f"unknown key {_join(path, key)}; {_choices(key, allowed)}")
        return {key: _check(item, types[key], _join(path, key)) if key in types else item for key, item in value.items()}
    if isinstance(kind, inspect.LiteralType) and value not in kind.values:
        raise UserError(f"{path} = {value!r} is not known; {_choices(value, [str(known) for known in kind.values])}")
    return _finite(value, path) if isinstance(kind, inspect.FloatType) else value


def _finite(value: Any, path: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{path} = {value}, expected a finite number")
    return value


def _choose(table: dict[str, Any], variants: list[inspect.StructType], path: str) -> inspect.StructType:
    """Pick the struct that the table's kind names."""
    if len(variants) == 1 and variants[0].tag_field is None:
        return variants[0]
    kinds = [str(variant.tag) for variant in variants]
    if "kind" not in table:
        raise UserError(f"[{path}] has no kind; {_choices('', kinds)}")
    if table["kind"] not in kinds:
        raise UserError(f"{path}.kind = {table['kind']!r} is not known; {_choices(table['kind'], kinds)}")
    return variants[kinds.index(table["kind"])]


def _choices(given: Any, allowed: list[str]) -> str:
    """List what is allowed and, where one of them looks like what was given, ask for it."""
    close = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.5)
    return f"expected one of {', '.join(allowed)}" + (f"; did you mean {close[0]}?" if close else "")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _plain(message: str, mapping: dict[str, Any]) -> str:
    """Say msgspec's message in plain words, with the path of the field and the value that was given."""
    words, _, where = message.partition(" - at ")
    path = where.strip("`").removeprefix("$").lstrip(".")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", words)
    if missing:
        name = _join(path, missing[1])
        return f"{name} is missing; add it to the file" + (', such as name = "my-experiment"' if name == "name" else "")
    if "matching regex" in words:
        expected = "expected lower-case letters, digits and hyphens, beginning with a letter or digit"
    else:
        expected = re.sub(r", got .*", "", words).replace("Expected", "expected", 1)
        expected = re.sub(r"`([^`]+)`", lambda match: _WORDS.get(match[1], match[1]), expected)
    return f"{path} = {_at(mapping, path)!r}, {expected}"


def _at(mapping: Any, path: str) -> Any:
    """The value at a path such as `network.channels[1]`."""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        mapping = mapping[int(index)] if index else mapping[name]
    return mapping
