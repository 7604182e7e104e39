"""What there is to choose from: the names that `kind = "..."` takes, and whether each can be used on this machine."""

from typing import Any

import msgspec.inspect as inspect

from neurometa.chips.read import shipped
from neurometa.core.compiled.windows import knows
from neurometa.core.kernels.choice import KERNELS, missing
from neurometa.errors import UserError
from neurometa.experiment import config, units

_FIELDS = {"plasticity": "plasticity", "estimators": "estimator", "tasks": "task", "networks": "network"}

WHAT = (*_FIELDS, "chips", "kernels")
"""What can be listed."""


def catalogue(what: str) -> list[dict[str, Any]]:
    """List one table as {name, available, why}; `why` says what it is, or what is missing.

    Raises:
        UserError: there is no such table.
    """
    if what not in WHAT:
        raise UserError(f"list {what} is not known: expected one of {', '.join(WHAT)}")
    if what == "kernels":
        return [_kernel(name, about) for name, about in KERNELS.items()]
    if what == "chips":
        return [_row(name, True, card.title) for name, card in shipped().items()]
    return _kinds(_FIELDS[what])


def _kinds(field: str) -> list[dict[str, Any]]:
    """The kinds that a field of the experiment takes, described by the first line of their docstrings."""
    types = {f.name: f.type for f in inspect.type_info(config.Experiment).fields}  # type: ignore[attr-defined]
    structs = [t for t in types[field].types if isinstance(t, inspect.StructType)]
    return [_row(str(s.tag), True, (s.cls.__doc__ or "").strip().splitlines()[0]) for s in structs]


def _kernel(name: str, about: str) -> dict[str, Any]:
    """A kernel, and which neurons it runs; the others run on the reference."""
    reason = missing(name)
    tags = [str(unit.__struct_config__.tag) for unit, neuron in units.NEURONS.items() if name != "reference" and knows(name, neuron())]
    return _row(name, reason is None, reason or (f"{about}: neurons {', '.join(tags)}; others run on reference" if tags else about))


def _row(name: str, available: bool, why: str) -> dict[str, Any]:
    return {"name": name, "available": available, "why": why}
