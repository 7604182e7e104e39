"""The adjoint of a population by compiled passes: one autograd node, differentiable to any order by everything that it is given."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurometa.core.compiled import lif
from neurometa.core.compiled.adaptive import Kind, Own
from neurometa.core.compiled.layout import aligned, flat, optional, order, unflat
from neurometa.core.compiled.recurrence import recurrence
from neurometa.core.neuron import LIF


def window(kind: Kind, gradients: tuple[Tensor | None, ...], fields: tuple[Tensor, ...], constants: Own) -> tuple[Tensor, ...]:
    """Run the adjoint of a window, see `neurometa.core.adjoint`.

    Args:
        kind: which equations.
        gradients: of z and v and, of an adaptive population, of a, each (steps, *batch, n) or None.
        fields: z and v and, of an adaptive population, a, each (steps, *batch, n).
        constants: each (*batch, n), `first` not among them.
    Returns:
        delta and, of an adaptive population, eta.
    """
    return _Adjoint.apply(kind, *gradients, *fields, *constants.given)  # type: ignore[return-value]


class _Adjoint(torch.autograd.Function):
    """(kind, gz, gv[, ga], z, v[, a], *constants) -> (delta,) or (delta, eta)."""

    @staticmethod
    def forward(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:  # type: ignore[override]
        n = 3 if kind.adaptive else 2
        gradients, (_, v, *a), constants = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
        axes = order(v)
        if kind.numbers is not None:
            return (_plain(kind, tensors[0], tensors[1], v, axes),)
        arrays = [flat(x, axes) for x in (v, *a)]
        inner = [flat(constant.unsqueeze(0), axes) for constant in constants]
        out = [np.empty_like(x) for x in arrays]
        k = arrays[0].dtype.type(kind.surrogate.slope)
        kind.passes.backward(*(optional(g, arrays[0], axes) for g in gradients), k, *arrays, *inner, *out)
        return tuple(unflat(y, v, axes) for y in out)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kind, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *h: Tensor) -> Any:  # type: ignore[override]
        kind, saved = ctx.kind, ctx.saved_tensors
        present = [i for i, x in enumerate(saved) if x is not None]

        def plain(*some: Tensor) -> tuple[Tensor, ...]:
            tensors = dict(zip(present, some, strict=True))
            return composed(kind, *(tensors.get(i) for i in range(len(saved))))

        pull = torch.func.vjp(plain, *(saved[i] for i in present))[1]
        gradients = dict(zip(present, pull(h), strict=True))
        return None, *(gradients.get(i) for i in range(len(saved)))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        kind, *tensors = args
        windows = 6 if kind.adaptive else 4
        moved = aligned(info, in_dims[1 : 1 + windows], *tensors[:windows])
        moved += aligned(info, in_dims[1 + windows :], *tensors[windows:], at=0)
        out = _Adjoint.apply(kind, *moved)
        return out, (1,) * len(out)  # type: ignore[arg-type]


def _plain(kind: Kind, gz: Any, gv: Any, v: Tensor, axes: list[int]) -> Tensor:
    """delta of LIF with plain numbers for constants, by the pass that reads none from memory."""
    neuron = LIF(*kind.numbers, kind.hard, False, kind.surrogate)  # type: ignore[misc]
    return unflat(lif._delta(gz, gv, v, lif.Population(neuron, len(v), "numba"), len(v), axes), v, axes)


def composed(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:
    """What `window` computes, in operations that autograd knows. Unlike the gradient of a scan, it has derivatives by the reset, too."""
    n = 3 if kind.adaptive else 2
    (gz, gv, *ga), (z, v, *a), constants = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
    decay, threshold = constants[:2]
    above = v - threshold - constants[2] * a[0] if kind.adaptive else v - threshold
    psi = kind.surrogate.derivative(above)
    kept = decay * (1 - z) if kind.hard else decay.expand_as(v)
    first = _sum(gv, None if gz is None else psi * gz, v)
    if not kind.adaptive:
        return recurrence((kept,), (first,), reverse=True)
    beta_psi = constants[2] * psi
    second = _sum(ga[0], None if gz is None else -beta_psi * gz, v)
    return recurrence((kept, psi, torch.zeros_like(v), constants[3] - beta_psi), (first, second), reverse=True)


def _sum(x: Tensor | None, y: Tensor | None, like: Tensor) -> Tensor:
    found = [part for part in (x, y) if part is not None]
    return sum(found[1:], found[0]).expand_as(like) if found else torch.zeros_like(like)
