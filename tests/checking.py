"""The checker that the import hook of conftest.py puts around every function of the package."""

from collections.abc import Callable
from typing import Any, get_args, runtime_checkable

from beartype import BeartypeConf, beartype

CONF = BeartypeConf(is_pep484_tower=True)  # a whole number is a float too


def checked(function: Callable) -> Callable:
    """Check arguments and result against the annotations at every call; protocols by the presence of their members."""
    for hint in getattr(function, "__annotations__", {}).values():
        _open(hint)
    return beartype(conf=CONF)(function)


def _open(hint: Any) -> None:
    """Let `isinstance` look into the protocols that an annotation names."""
    if getattr(hint, "_is_protocol", False):
        runtime_checkable(hint)
    for part in get_args(hint):
        _open(part)
