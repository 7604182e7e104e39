"""LIF with one number for each constant: the whole window as one autograd node around three compiled passes."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from neurometa.core.compiled.layout import aligned, order, unflat, walked
from neurometa.core.kernels import Passes
from neurometa.core.signature import signed
from neurometa.errors import InternalError


def window(neuron: Any, current: Tensor, steps: int, kernel: str = "numba") -> tuple[Tensor, Tensor]:
    """Run a population with scalar constants from rest.

    Args:
        neuron: anything with the decay, threshold, reset and surrogate of a `LIF`.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
        kernel: "numba", or "triton".
    Returns:
        Spikes z and potentials v, each (steps, *batch, n).
    """
    return _Scan.apply(current, Population(neuron, steps, kernel))  # type: ignore[return-value]


@dataclass(frozen=True)
class Population:
    """A neuron, its window and its kernel as one opaque argument: autograd and vmap look into tuples, not into this."""

    neuron: Any
    steps: int
    kernel: str

    @property
    def passes(self) -> Passes:
        """The kernel's passes for this kind of neuron."""
        return import_module(f"neurometa.core.kernels.{self.kernel}").passes(self.neuron)


class _Scan(torch.autograd.Function):
    """current -> (z, v)."""

    @staticmethod
    @signed
    def forward(current: Tensor, c: Population) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        axes = order(current)
        x = walked(current, axes)
        z, v = (x.new_empty(len(x), c.steps, x.shape[2]) for _ in range(2))
        c.passes.forward(x, z, v)
        return unflat(z, current, axes), unflat(v, current, axes)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output[1])
        ctx.constants, ctx.rows = inputs[1], inputs[0].shape[0]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gz: Tensor | None, gv: Tensor | None) -> Any:  # type: ignore[override]
        return _ScanBackward.apply(gz, gv, *ctx.saved_tensors, ctx.constants, ctx.rows), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        current, c = args
        return _Scan.apply(current.movedim(in_dims[0], 1), c), (1, 1)


class _ScanBackward(torch.autograd.Function):
    """(gz, gv, v) -> gradient of current, of `rows` rows; a node of its own so that second derivatives are exact."""

    @staticmethod
    @signed
    def forward(gz: Any, gv: Any, v: Tensor, c: Population, rows: int) -> Tensor:  # type: ignore[override]
        axes = order(v)
        return unflat(_delta(gz, gv, v, c, rows, axes), v, axes)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.constants, _ = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> Any:  # type: ignore[override]
        gz, gv, v = ctx.saved_tensors
        to_gz, to_gv, to_v = _ScanDoubleBackward.apply(h, gz, gv, v, ctx.constants)  # type: ignore[misc]
        return (None if gz is None else to_gz), (None if gv is None else to_gv), to_v, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, c, rows = args
        return _ScanBackward.apply(*aligned(info, in_dims, *tensors), c, rows), 1


class _ScanDoubleBackward(torch.autograd.Function):
    """Cotangent of the gradient -> cotangents of gz, gv and v. It has no derivative: a third one is refused, not wrong."""

    @staticmethod
    @signed
    def forward(h: Tensor, gz: Any, gv: Any, v: Tensor, c: Population) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        axes = order(v)
        v_ = walked(v, axes)
        out = tuple(torch.empty_like(v_) for _ in range(3))
        delta = _delta(gz, gv, v, c, c.steps, axes)
        c.passes.double_backward(walked(h, axes), _optional(gz, axes), v_, delta, *out)
        return tuple(unflat(a, v, axes) for a in out)  # type: ignore[return-value]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if any(g is not None for g in gradients):
            raise InternalError("third derivatives of a compiled scan asked for, two are there: use kernel='reference'")
        return (None,) * 5

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, c = args
        return _ScanDoubleBackward.apply(*aligned(info, in_dims, *tensors), c), (1, 1, 1)


def _delta(gz: Any, gv: Any, v: Tensor, c: Population, rows: int, axes: list[int]) -> Tensor:
    """dL/dv at every step, or its sum over time where the current has one row for all steps."""
    v_ = walked(v, axes)
    delta = v_.new_empty(len(v_), rows, v_.shape[2])
    c.passes.backward(_optional(gz, axes), _optional(gv, axes), v_, delta)
    return delta


def _optional(x: Tensor | None, axes: list[int]) -> Tensor | None:
    """A gradient, of one row where it is expanded over time, as that of a mean is."""
    return None if x is None else walked(x[:1] if x.stride(0) == 0 else x, axes)
