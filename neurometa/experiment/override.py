"""Flags of the command line that edit the TOML mapping: `--training.steps 100`, `--task.ways=20`, `--seed 3`."""

import copy
import re
import tomllib
from typing import Any, NamedTuple

import msgspec.inspect as inspect

from neurometa.errors import UserError
from neurometa.experiment import config


class Override(NamedTuple):
    """One flag: `path` is ("training", "steps"), `value` a TOML value."""

    path: tuple[str, ...]
    value: Any

    @property
    def flag(self) -> str:
        """The flag as it is written on the command line."""
        return "--" + ".".join(self.path)


def split(arguments: list[str]) -> tuple[list[str], list[Override]]:
    """Separate positional arguments from overriding flags.

    Args:
        arguments: what is left of the command line, such as ["file.toml", "--seed", "3", "--task.ways=20"].
    Returns:
        Positional arguments and overrides, each in the order given.
    Raises:
        UserError: a flag without a value or without a name.
    """
    positional: list[str] = []
    overrides: list[Override] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--"):
            positional.append(argument)
            continue
        name, equals, text = argument[2:].partition("=")
        if not equals:
            text = next(rest, "--")
            if text.startswith("--"):
                raise UserError(f"{argument} has no value: write `{argument} VALUE`, or `{argument}=VALUE`")
        path = tuple(name.split("."))
        if not all(path):
            raise UserError(f"{argument} names no field: expected a dotted name such as --training.steps")
        overrides.append(Override(path, scalar(text)))
    return positional, overrides


def scalar(text: str) -> Any:
    """Read `text` as a TOML value (`.5` and `5.` too); what is not one is taken as text itself, so that quotes are not needed."""
    if re.fullmatch(r"[+-]?(\.\d+|\d+\.)", text):
        return float(text)
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table["value"]
    plain = list(table) == ["value"] and isinstance(value, bool | int | float | str | list)
    return value if plain else text


def apply(mapping: dict[str, Any], overrides: list[Override]) -> dict[str, Any]:
    """Return `mapping` with the overrides written into it; tables that the file leaves out take their default kind.

    Raises:
        UserError: a flag that would change a kind, or that goes through something that is not a table.
    """
    edited = copy.deepcopy(mapping)
    for override in overrides:
        *tables, field = override.path
        if field == "kind" or (tables == [] and isinstance(edited.get(field), dict)):
            raise UserError(f"{override.flag} {override.value}: a flag overrides a field of the chosen kind, never the kind; edit the file")
        here: Any = edited
        for depth, name in enumerate(tables, start=1):
            here = here.setdefault(name, _default_kind(edited, override.path[:depth]))
            if not isinstance(here, dict):
                raise UserError(f"{override.flag}: {'.'.join(override.path[:depth])} is {here!r}, not a table; edit the file")
        here[field] = override.value
    return edited


def _default_kind(mapping: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The table that stands at `path` when a file leaves it out: {"kind": its default}, or {} where it has no kinds."""
    struct: Any = inspect.type_info(config.Experiment)
    here: Any = mapping
    for name in path[:-1]:
        here = here.get(name, {})
        struct = _variant(_field_type(struct, name), here)
    default = next((field.default for field in getattr(struct, "fields", ()) if field.name == path[-1]), None)
    tag = getattr(getattr(default, "__struct_config__", None), "tag", None)
    return {"kind": tag} if tag else {}


def _field_type(struct: Any, name: str) -> Any:
    return next((field.type for field in getattr(struct, "fields", ()) if field.name == name), None)


def _variant(kind: Any, table: dict[str, Any]) -> Any:
    """The struct among `kind`'s alternatives that `table` chose."""
    alternatives = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((t for t in alternatives if isinstance(t, inspect.StructType) and t.tag in (None, table.get("kind"))), None)
