"""The gradient of dense weights before a population, by one compiled pass: an autograd node, differentiable to any order."""

from typing import Any

import torch
from torch import Tensor

from neurometa.core.compiled import adjoint
from neurometa.core.compiled.adaptive import Kind, Own, pulled
from neurometa.core.signature import signed


def window(kind: Kind, error: Tensor, weights: Tensor, x: Tensor, fields: tuple[Tensor, ...], constants: Own) -> tuple[Tensor, Tensor]:
    """Take the gradient of a window, see `neurometa.core.learnt`.

    Args:
        kind: which equations; of LIF with plain numbers, or ALIF.
        error: (steps, batch, out); `weights`, (out, post).
        x: presynaptic activity, (steps, batch, pre).
        fields: z and v and, of an adaptive population, a, each (steps, batch, post).
        constants: each (batch, post), `first` not among them.
    Returns:
        dE/dweights (post, pre) and dE/dbias (post,).
    """
    return _Learnt.apply(kind, error, weights, x, *fields, *constants.given)  # type: ignore[return-value]


class _Learnt(torch.autograd.Function):
    """(kind, error, weights, x, z, v[, a], *constants) -> (dE/dweights, dE/dbias)."""

    @staticmethod
    @signed
    def forward(kind: Kind, *tensors: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        from neurometa.core.kernels import adjoint as kernels

        error, weights, x, _, *seen = (tensor.detach() for tensor in tensors)
        like = seen[0]
        number = like.numpy().dtype.type
        total, bias = like.new_zeros(x.shape[2], like.shape[2]), like.new_zeros(like.shape[2])
        arrays = [tensor.contiguous().numpy() for tensor in (error, weights, x.flatten(0, 1), *(seen if kind.adaptive else seen[:1]))]
        constants = [] if kind.numbers is None else [number(constant) for constant in kind.numbers]
        compiled = kernels.alif if kind.adaptive else kernels.lif
        learnt = compiled(kind.surrogate.code, kind.hard, kind.surrogate.smooth)
        learnt(*arrays[:3], number(kind.surrogate.slope), *arrays[3:], *constants, total.numpy(), bias.numpy())
        return total.t(), bias

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kind, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *h: Tensor) -> Any:  # type: ignore[override]
        return None, *pulled(_in_steps, ctx.kind, ctx.saved_tensors, h)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        kind, *tensors = args

        def each(*some: Any) -> tuple[Tensor, Tensor]:
            return _in_steps(kind, *some)

        return torch.func.vmap(each, in_dims=in_dims[1:])(*tensors), (0, 0)


def _in_steps(kind: Kind, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    """The same, one operation after the other."""
    error, weights, x, *rest = tensors
    n = 3 if kind.adaptive else 2
    signals = (error @ weights, *[None] * (n - 1))
    delta = adjoint.window(kind, signals, tuple(rest[:n]), Own(*rest[n:]))[0].flatten(0, 1)
    return delta.mT @ x.flatten(0, 1), delta.sum(0)
