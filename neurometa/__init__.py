"""Spiking networks that learn to learn: plasticity rules as fast inner loops over meta-trained slow weights."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "from_module": "neurometa.core.module",
    "from_snntorch": "neurometa.export.snntorch",
    "to_snntorch": "neurometa.export.snntorch",
}
"""Functions that need torch, by the module that has them: imported when first asked for, so that importing the package is quick."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
