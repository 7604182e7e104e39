"""Loihi's integers forward, the float neuron's surrogate gradient backward: a window of LIF as one autograd node."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurometa.core.compiled import lif
from neurometa.core.compiled.layout import order, unflat, walked
from neurometa.core.signature import signed


@dataclass(frozen=True)
class Cells:
    """Integer constants of a population as one opaque argument.

    Attributes:
        neuron: the float neuron, its threshold vth / S, so that its potential crosses it where the integer one does.
        steps: of the window.
        keep: 1 - dv / 4096.
        vth: integer threshold.
        factor: 2**exponent of the synapses.
        scale: S; an integer potential is 64 S times the float one.
        bias: integer biases, float64, of the shape of one step's current or broadcast to it.
    """

    neuron: Any
    steps: int
    keep: float
    vth: int
    factor: float
    scale: float
    bias: Tensor


def window(arriving: Tensor, bias: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Run a population from rest.

    Args:
        arriving: sums of integer weights over spikes, (steps, *batch, n), or (1, *batch, n) for the same at every step.
        bias: float biases, which take part in the gradient alone; of the type of the potentials that are wanted.
        cells: integer constants.
    Returns:
        Spikes z, and potentials v before their reset in units of the float network, each (steps, *batch, n). Their gradients are those
        of the float neuron at these potentials, as if nothing had been rounded; they cannot be differentiated again.
    """
    return _Window.apply(arriving, bias, cells)  # type: ignore[return-value]


def straight(value: Tensor, soft: Tensor) -> Tensor:
    """`value` itself, to the bit, with the gradient of `soft`."""
    return _Straight.apply(value, soft)  # type: ignore[return-value]


class _Window(torch.autograd.Function):
    """(arriving, bias) -> (z, v)."""

    @staticmethod
    @signed
    def forward(arriving: Tensor, bias: Tensor, c: Cells) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        from neurometa.core.kernels import integer

        axes = order(arriving)
        x, own = walked(arriving, axes), walked(c.bias.expand(1, *arriving.shape[1:]), axes)
        z, v = (x.new_empty(len(x), c.steps, x.shape[2], dtype=bias.dtype) for _ in range(2))
        constants = c.factor, c.keep, float(c.vth << 6), 1 / (64 * c.scale)
        integer.window(x.numpy(), own.numpy(), *constants, z.numpy(), v.numpy())
        return unflat(z, arriving, axes), unflat(v, arriving, axes)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        arriving, bias, ctx.cells = inputs
        ctx.save_for_backward(output[1])
        ctx.rows, ctx.dtype, ctx.shape = arriving.shape[0], arriving.dtype, bias.shape
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gz: Tensor | None, gv: Tensor | None) -> Any:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        c, axes = ctx.cells, order(v)
        delta = unflat(lif._delta(gz, gv, v, lif.Population(c.neuron, c.steps, "numba"), ctx.rows, axes), v, axes)
        to_bias = delta.sum(0).sum_to_size(ctx.shape) if ctx.needs_input_grad[1] else None
        return delta.mul_(c.factor / c.scale).to(ctx.dtype), to_bias, None


class _Straight(torch.autograd.Function):
    """(value, soft) -> value."""

    @staticmethod
    @signed
    def forward(value: Tensor, soft: Tensor) -> Tensor:  # type: ignore[override]
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.dtype = inputs[1].dtype

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        return None, g.to(ctx.dtype)
