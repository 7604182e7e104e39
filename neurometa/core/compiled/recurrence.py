"""Linear recurrences in time as autograd nodes. The derivative of one is one, run the other way, so that derivatives of any order exist."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurometa.core.compiled.layout import aligned, flat, optional, order, unflat
from neurometa.core.signature import signed


def recurrence(factors: tuple[Tensor, ...], inputs: tuple[Tensor, ...], *, reverse: bool) -> tuple[Tensor, ...]:
    """Solve y[t] = g[t] + M[t-1] y[t-1], or with `reverse` y[t] = g[t] + M[t] y[t+1], from zero, for each neuron alone.

    Args:
        factors: M row by row, one tensor or four of shape (steps, *batch, n); the last step's is not used.
        inputs: g, one tensor or two of the same shape.
        reverse: from the last step to the first.
    Returns:
        y, as many tensors as `inputs`, of their shape.
    """
    return _Recurrence.apply(reverse, *factors, *inputs)  # type: ignore[return-value]


def filtered(x: Tensor, decay: Tensor) -> Tensor:
    """Low-pass filter y[t] = decay y[t-1] + x[t] of (steps, *batch, n), with a decay for each of (*batch, n)."""
    return recurrence((decay.expand(x.shape),), (x,), reverse=False)[0]


class _Recurrence(torch.autograd.Function):
    """(reverse, *factors, *inputs) -> y."""

    @staticmethod
    @signed
    def forward(reverse: bool, *tensors: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        from neurometa.core.kernels import recurrence as kernels

        like = tensors[-1]
        axes = order(like)
        if len(tensors) == 2:
            g = flat(like, axes)
            out = (np.empty_like(g),)
            kernels.single(optional(tensors[0], g, axes), g, reverse, *out)
        else:
            arrays = [flat(x, axes) for x in tensors]
            out = (np.empty_like(arrays[-1]), np.empty_like(arrays[-1]))
            kernels.double(*arrays, reverse, *out)  # type: ignore[call-arg]
        return tuple(unflat(y, like, axes) for y in out)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.reverse, *tensors = inputs
        ctx.size = len(output)
        ctx.save_for_backward(*tensors[: ctx.size**2], *output)

    @staticmethod
    def backward(ctx: Any, *h: Tensor) -> Any:  # type: ignore[override]
        n, saved = ctx.size, ctx.saved_tensors
        m, y = saved[: n * n], saved[n * n :]
        turned = tuple(m[j * n + i] for i in range(n) for j in range(n))
        w = recurrence(turned, h, reverse=not ctx.reverse)
        needed = ctx.needs_input_grad[1 : 1 + n * n]
        to_m = [_between(w[k // n], y[k % n], ctx.reverse) if needed[k] else None for k in range(n * n)]
        return None, *to_m, *w

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        reverse, *tensors = args
        out = _Recurrence.apply(reverse, *aligned(info, in_dims[1:], *tensors))
        return out, (1,) * len(out)  # type: ignore[arg-type]


def _between(w: Tensor, y: Tensor, reverse: bool) -> Tensor:
    """Derivative by the factor between steps t and t+1: the cotangent where it was added times the value that it multiplied."""
    product = w[:-1] * y[1:] if reverse else w[1:] * y[:-1]
    return torch.cat([product, torch.zeros_like(w[:1])])
