"""What the simulator is given, checked where it comes in: shapes always, numbers once."""

import math
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack

from neurometa.core.neuron import Neuron
from neurometa.errors import UserError

RANGES = {
    "decay": (0.0, 1.0),
    "current_decay": (0.0, 1.0),
    "rho": (0.0, 1.0),
    "threshold": (0.0, math.inf),
    "beta": (0.0, math.inf),
    "refractory": (0.0, math.inf),
}
"""Smallest and largest value of each constant; the same name means the same in every neuron."""


def check_constants(neuron: Neuron) -> None:
    """Refuse constants out of `RANGES`; NaN is. Those that are tensors are not looked at under vmap.

    Raises:
        UserError: naming the constant.
    """
    for name, (low, high) in RANGES.items():
        value = getattr(neuron, name, low)
        if isinstance(value, Tensor):
            if vmapped() or value.numel() == 0:
                continue
            value = value.detach()
            worst = float(value.max() if bool(value.min() >= low) else value.min())
        else:
            worst = value
        if not low <= worst <= high:
            allowed = f"a number from {low:g} to {high:g}" if high < math.inf else "a number of at least 0"
            raise UserError(f"{type(neuron).__name__} with {name} = {worst} given, {allowed} expected")


def check_finite(what: str, x: Tensor) -> None:
    """Refuse NaN and infinity, which would silence a spiking neuron without a word. Not looked at under vmap or on the device meta.

    Raises:
        UserError: naming `what`.
    """
    if x.is_meta or vmapped() or math.isfinite(float(x.detach().sum())):
        return
    if not bool(x.detach().isfinite().all()):  # a sum may overflow where no number does
        raise UserError(f"{what} of shape {tuple(x.shape)} with NaN or infinite values given, finite numbers expected")


def check_floats(what: str, x: Tensor) -> None:
    """Refuse whole numbers and truth values, and tensors without an element.

    Raises:
        UserError: naming `what`.
    """
    if not x.is_floating_point():
        raise UserError(f"{what} of type {x.dtype} given, a floating-point tensor expected: convert it with .float()")
    if x.numel() == 0:
        raise UserError(f"{what} of shape {tuple(x.shape)} given, at least one time step, one example and one neuron expected")


def check_window(neuron: Neuron, current: Tensor, steps: int, state: Any) -> None:
    """Refuse a window whose parts do not fit together; no number is looked at.

    Raises:
        UserError: no time step, an empty current, one of whole numbers or with neither one row nor `steps` rows, constants or a state of
            another shape, type or neuron.
    """
    if steps < 1:
        raise UserError(f"{steps} time steps given, at least 1 expected")
    check_floats("current", current)
    if current.ndim == 0:
        raise UserError("a current of one number given, (steps, *batch, neurons) expected")
    if current.shape[0] not in (1, steps):
        raise UserError(f"current with {current.shape[0]} time steps given, 1 or {steps} expected")
    shape = current.shape[1:]
    for name, value in zip(neuron._fields, neuron, strict=True):  # type: ignore[call-overload]
        if isinstance(value, Tensor) and (value.dtype != current.dtype or not _fits(value.shape, shape)):
            given = f"{type(neuron).__name__} with {name} of shape {tuple(value.shape)} and type {value.dtype} given"
            raise UserError(f"{given}, {current.dtype} expected that broadcasts to {tuple(shape)}, the current's shape without time")
    if state is None:
        return
    fields = type(neuron.rest(current[0]))
    if not isinstance(state, fields):
        raise UserError(f"state {type(state).__name__} given to {type(neuron).__name__}, {fields.__name__} expected")
    for name, value in zip(state._fields, state, strict=True):
        if value.shape != shape:
            raise UserError(f"state with {name} of shape {tuple(value.shape)} given, {tuple(shape)} expected")
        if value.dtype != current.dtype:
            raise UserError(f"state with {name} of type {value.dtype} given, {current.dtype} expected, the current's type")


def _fits(small: torch.Size, large: torch.Size) -> bool:
    """Whether `small` broadcasts to `large`."""
    tail = large[len(large) - len(small) :]
    return len(small) <= len(large) and all(a in (1, b) for a, b in zip(small, tail, strict=True))


def vmapped() -> bool:
    """Whether vmap is at work, under which numbers cannot be looked at."""
    return any(level.key() == TransformType.Vmap for level in get_interpreter_stack() or ())
