"""Dense synapses with few spikes before them: sums of weight rows in place of the matrix product, where that is faster."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.kernels.choice import FLOATS, fastest

FEW = 0.05
"""Share of non-zero inputs below which rows are summed. Measured on one x86-64 core against the dense product: (6,400 x 512) times
(512 x 512) is 6.8 times faster at 1 %, 3.8 at 3 %, 2.7 at 5 %, 2.1 at 10 %, even at 25 %; (800 x 128) times (128 x 128) is even up to
15 %. The limit lies below the rates at which trained networks fire, 8 to 16 %: these keep the rounding of the matrix product."""

FEW_OUTER = 0.15
"""The same for the gradient of the weights alone, which nobody's rounding depends on: at 10 % twice as fast."""

LEAST = 50_000_000
"""Products of a dense multiplication from which on it is looked for: at 13 million both ways take as long, at 60 million it pays."""

EVERY = 17
"""Of so many rows one is looked at to measure the share: a hundredth of the product's time, and no common batch size divides it."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b, the same to rounding whichever way it is computed; exact derivatives of every order.

    Args:
        x: (rows, pre), rows being time steps of examples.
        weight: (post, pre).
        bias: (post,), or none.
    """
    if not few_events(x, weight):
        return F.linear(x, weight, bias)
    y: Tensor = _Product.apply(x, weight)  # type: ignore[assignment]
    return y if bias is None else y + bias


def outer(g: Tensor, x: Tensor) -> Tensor:
    """g^T x, what a signal at each output and the spikes at each input add up to, by whichever way is faster.

    Args:
        g: (rows, post).
        x: (rows, pre), mostly zero.
    Returns:
        (post, pre).
    """
    if not few_events(x, g[:1].mT.expand(-1, x.shape[-1]), FEW_OUTER):
        return g.mT @ x
    total: Tensor = _Outer.apply(g, x)  # type: ignore[assignment]
    return total


def few_events(x: Tensor, weight: Tensor, share: float = FEW) -> bool:
    """Whether summing rows is the faster way: a large product on one thread of the CPU, fewer of whose inputs are not zero."""
    dense = x.ndim != 2 or x.device.type != "cpu" or x.dtype not in FLOATS or weight.dtype != x.dtype
    if dense or x.shape[0] * weight.numel() < LEAST or torch.get_num_threads() > 1 or fastest("cpu") != "numba":
        return False
    shown = x.detach()[::EVERY]
    try:
        return shown.count_nonzero().item() < share * shown.numel()
    except RuntimeError:  # under vmap the inputs of all tasks are one: no branch may depend on them
        return False


class _Product(torch.autograd.Function):
    """(x, W) -> x W^T. Bilinear, so its derivatives are itself, `_Outer` and a dense product."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        from neurometa.core.kernels.events import product

        y = x.new_zeros(len(x), len(weight))
        product(x.detach().contiguous().numpy(), weight.detach().t().contiguous().numpy(), y.numpy())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        return (g @ weight if ctx.needs_input_grad[0] else None), (_Outer.apply(g, x) if ctx.needs_input_grad[1] else None)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        x, weight = _first(in_dims, *args)
        return x @ weight.mT, 0


class _Outer(torch.autograd.Function):
    """(g, x) -> g^T x, the gradient of the weights."""

    @staticmethod
    def forward(g: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        from neurometa.core.kernels.events import outer

        total = x.new_zeros(x.shape[1], g.shape[1])
        outer(x.detach().contiguous().numpy(), g.detach().contiguous().numpy(), total.numpy())
        return total.t()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> Any:  # type: ignore[override]
        g, x = ctx.saved_tensors
        return (_Product.apply(x, h) if ctx.needs_input_grad[0] else None), (g @ h if ctx.needs_input_grad[1] else None)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        g, x = _first(in_dims, *args)
        return g.mT @ x, 0


def _first(in_dims: Any, *tensors: Tensor) -> list[Tensor]:
    """Each tensor with its vmapped axis in front; what has none is broadcast by the product."""
    return [x if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, in_dims, strict=True)]
