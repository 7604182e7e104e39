"""Surrogate derivatives by snnTorch's names: the same function where there is one, otherwise a refusal."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError

STRAIGHT_THROUGH = Surrogate("box", 1e-30)
"""Derivative 1 wherever |v - threshold| < 1e30."""


def read(spike_grad: Callable[[Tensor], Tensor], where: str) -> Surrogate:
    """What snnTorch's function is called here.

    fast_sigmoid(slope)           1 / (1 + slope |x|)^2                         "fast-sigmoid", k = slope
    atan(alpha)                   (alpha/2) / (1 + (pi alpha x / 2)^2)          "arctan", k = alpha
    sigmoid(slope)                slope e^(-slope x) / (1 + e^(-slope x))^2     "sigmoid", k = slope
    straight_through_estimator()  1                                             "box", k = 1e-30

    Raises:
        UserError: for every other one; it names those that can be read and the argument `surrogate`.
    """
    name = getattr(spike_grad, "__qualname__", repr(spike_grad)).partition(".")[0]
    if getattr(spike_grad, "__module__", "") == "snntorch.surrogate":
        given: Any = inspect.getclosurevars(spike_grad).nonlocals
        if name == "fast_sigmoid":
            return Surrogate("fast-sigmoid", float(given["slope"]))
        if name == "atan":
            return Surrogate("arctan", float(given["alpha"]))
        if name == "sigmoid":
            return Surrogate("sigmoid", float(given["slope"]))
        if name == "straight_through_estimator":
            return STRAIGHT_THROUGH
    raise UserError(
        f"{where} has the surrogate {name}, which neurometa has no equal of; expected atan, fast_sigmoid, sigmoid or "
        "straight_through_estimator: choose one of these, or say which to use instead with surrogate=Surrogate(kind, slope)"
    )


def write(surrogate: Surrogate) -> Callable[[Tensor], Tensor]:
    """snnTorch's function of the same derivative; "triangle" and "box", which it lacks, become a `custom_surrogate`."""
    from snntorch import surrogate as theirs

    k = surrogate.slope
    if surrogate.smooth:
        raise UserError("a surrogate with smooth=True given, whose output is no spike; expected smooth=False")
    if surrogate == STRAIGHT_THROUGH:
        return theirs.straight_through_estimator()
    if surrogate.kind == "triangle":
        return theirs.custom_surrogate(lambda x, gradient, spikes: gradient * torch.clamp(1 - k * x.abs(), min=0))
    if surrogate.kind == "box":
        return theirs.custom_surrogate(lambda x, gradient, spikes: gradient * (x.abs() < 1 / k))
    return {"fast-sigmoid": theirs.fast_sigmoid, "arctan": theirs.atan, "sigmoid": theirs.sigmoid}[surrogate.kind](k)
