"""Surrogate derivatives: what stands in for the derivative of the step function."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.errors import UserError

KINDS = ("fast-sigmoid", "arctan", "triangle", "sigmoid", "box")
"""Names in the order of the integer codes that the compiled kernels use."""


class Surrogate(NamedTuple):
    """A smooth step `value(x)` whose derivative replaces that of the spike; x = v - threshold, k = `slope`.

    fast-sigmoid   value = 1/2 + x / (1 + k|x|)          derivative = 1 / (1 + k|x|)^2
    arctan         value = 1/2 + atan(pi k x / 2) / pi   derivative = (k/2) / (1 + (pi k x / 2)^2)
    triangle       value = integral of the derivative    derivative = max(0, 1 - k|x|)
    sigmoid        value = 1 / (1 + exp(-k x))           derivative = k value (1 - value)
    box            value = 1/2 + clip(x, -1/k, 1/k)      derivative = 1 where |x| < 1/k (straight-through)

    Attributes:
        kind: one of `KINDS`.
        slope: k, larger is narrower.
        smooth: use `value` in the forward pass too. Only for checking derivatives by finite differences.
    Source:
        fast-sigmoid: Zenke & Ganguli 2018, doi:10.1162/neco_a_01086. triangle: Bellec et al. 2020, doi:10.1038/s41467-020-17236-y.
        arctan as in snnTorch's `surrogate.atan`.
    """

    kind: str = "fast-sigmoid"
    slope: float = 3.0
    smooth: bool = False

    @property
    def code(self) -> int:
        """Integer that the compiled kernels know this kind by.

        Raises:
            UserError: no such kind, or a slope that is not positive.
        """
        if self.kind not in KINDS:
            raise UserError(f"surrogate {self.kind!r} given, expected one of {', '.join(KINDS)}")
        if not self.slope > 0:
            raise UserError(f"surrogate {self.kind} of slope {self.slope} given, a number above 0 expected")
        return KINDS.index(self.kind)

    def value(self, x: Tensor) -> Tensor:
        """Smooth step, same shape as `x`."""
        k, kind = self.slope, KINDS[self.code]
        if kind == "fast-sigmoid":
            return 0.5 + x / (1 + k * x.abs())
        if kind == "arctan":
            return 0.5 + torch.atan(torch.pi / 2 * k * x) / torch.pi
        if kind == "triangle":
            inside = _clipped(x, 1 / k)
            return 0.5 + inside - k * inside * inside.abs() / 2
        if kind == "sigmoid":
            return torch.sigmoid(k * x)
        return 0.5 + _clipped(x, 1 / k)

    def derivative(self, x: Tensor) -> Tensor:
        """Slope of `value`, same shape as `x`; what stands for the derivative of the spike."""
        k, kind = self.slope, KINDS[self.code]
        if kind == "fast-sigmoid":
            return (1 + k * x.abs()).square().reciprocal()
        if kind == "arctan":
            return k / 2 / (1 + (torch.pi / 2 * k * x).square())
        if kind == "triangle":
            return (1 - k * x.abs()).relu()
        if kind == "sigmoid":
            soft = torch.sigmoid(k * x)
            return k * soft * (1 - soft)
        return (x.abs() < 1 / k).to(x)


def _clipped(x: Tensor, bound: float) -> Tensor:
    """`x` within +-bound; the derivative is 0 on the bound too, where `clamp` has 1: a silent neuron sits there when k = 1 / threshold."""
    return torch.where(x.abs() < bound, x, x.sign() * bound)


def spike(x: Tensor, surrogate: Surrogate) -> Tensor:
    """Step function forward (strict: 1 where x > 0), `surrogate` backward; safe under grad, vmap and jvp."""
    soft = surrogate.value(x)
    if surrogate.smooth:
        return soft
    return (x > 0).to(x) + (soft - soft.detach())
