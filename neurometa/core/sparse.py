"""Dense synapses with few spikes before them: sums of weight rows in place of the matrix product, where that is faster."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.kernels.choice import FLOATS, fastest
from neurometa.core.signature import signed
from neurometa.errors import UserError

FEW = 0.22
"""Share of non-zero inputs below which rows are summed. Measured on one x86-64 core against the dense product: (6,400 x 512) times
(512 x 512) is 3.9 times faster at 5 %, 2.5 at 10 %, 1.5 at 20 % and even at 30 %, its transpose times a gradient likewise;
(800 x 128) times (128 x 128) is 1.5 and 1.2 times faster at 20 % and slower at 24 %."""

NARROW = 64
"""Outputs below which the dense product is always taken: a row of so few weights is over before it pays to look for it."""

LEAST = 10_000_000
"""Products of a dense multiplication from which on it is looked for: below, looking costs as much as is won."""

EVERY = 61
"""Of so many rows one is looked at to measure the share: a hundredth of the product's time, and no common batch size divides it."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b, the same to rounding whichever way it is computed; exact derivatives of every order.

    Args:
        x: (rows, pre), rows being time steps of examples.
        weight: (post, pre).
        bias: (post,), or none.
    Raises:
        UserError: the weights are for another number of inputs.
    """
    if x.shape[-1] != weight.shape[-1]:
        raise UserError(f"weights of shape {tuple(weight.shape)} given for {x.shape[-1]} inputs, (outputs, {x.shape[-1]}) expected")
    if weight.dtype != x.dtype or not few_events(x, len(weight)):
        return F.linear(x, weight, bias)
    y: Tensor = _Product.apply(x, weight)  # type: ignore[assignment]
    return y if bias is None else y + bias


def outer(g: Tensor, x: Tensor) -> Tensor:
    """g^T x, (post, pre), the gradient of the weights of `linear`: sums of rows where few of the entries of x are not zero.

    Args:
        g: (rows, post).
        x: (rows, pre).
    """
    return _Outer.apply(g, x) if len(g) == len(x) and few_events(x, g.shape[1]) else g.mT @ x  # type: ignore[return-value]


def few_events(x: Tensor, post: int) -> bool:
    """Whether summing rows is the faster way to multiply x by (pre, post): a large product on one thread of the CPU, few of whose inputs
    are not zero.
    """
    if x.ndim != 2 or x.device.type != "cpu" or x.dtype not in FLOATS or post < NARROW or x.numel() * post < LEAST:
        return False
    if torch.get_num_threads() > 1 or fastest("cpu") != "numba":
        return False
    shown = x.detach()[::EVERY]
    try:
        return (shown != 0).sum().item() < FEW * shown.numel()
    except RuntimeError:  # under vmap the inputs of all tasks are one: no branch may depend on them
        return False


class _Product(torch.autograd.Function):
    """(x, W) -> x W^T. Bilinear, so its derivatives are itself, `_Outer` and a dense product."""

    @staticmethod
    @signed
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
    @signed
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
