"""The adjoint of a population by compiled passes: one autograd node, differentiable to any order by everything that it is given."""

from typing import Any

import torch
from torch import Tensor

from neurometa.core.compiled import lif
from neurometa.core.compiled.adaptive import Kind, Own, moved, pulled, swept
from neurometa.core.compiled.layout import order, unflat
from neurometa.core.compiled.recurrence import recurrence
from neurometa.core.neuron import LIF
from neurometa.core.signature import signed


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
    @signed
    def forward(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:  # type: ignore[override]
        if kind.numbers is not None:
            return (_plain(kind, tensors[0], tensors[1], tensors[3]),)
        return swept(kind, *tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kind, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *h: Tensor) -> Any:  # type: ignore[override]
        return None, *pulled(composed, ctx.kind, ctx.saved_tensors, h)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        out = _Adjoint.apply(args[0], *moved(info, in_dims, *args))
        return out, (1,) * len(out)  # type: ignore[arg-type]


def _plain(kind: Kind, gz: Any, gv: Any, v: Tensor) -> Tensor:
    """delta of LIF with plain numbers for constants, by the pass that reads none from memory."""
    axes = order(v)
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
