"""The scan: a neuron's recurrence over the whole time window as one autograd node."""

import math
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurometa.core.kernels import reference
from neurometa.core.neuron import LIF, LIFState, carry
from neurometa.errors import InternalError


def scan(neuron: LIF, current: Tensor, steps: int, state: LIFState | None = None, kernel: str | None = None) -> tuple[Tensor, Tensor]:
    """Run a population over `steps` time steps; see `neuron.lif_step` for the equation.

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
        state: state to continue from, default rest.
        kernel: "reference" or "numba"; default the fastest for the tensor's device and type.
    Returns:
        Spikes z and potentials v (before reset), each (steps, *batch, n).
    Raises:
        InternalError: if the current has neither one row nor `steps` rows.
    """
    if current.shape[0] not in (1, steps):
        raise InternalError(f"current with {current.shape[0]} time steps given, 1 or {steps} expected")
    if state is not None:
        every = current.expand(steps, *current.shape[1:])
        current = torch.cat([every[:1] + carry(neuron, state), every[1:]])
    if (kernel or kernel_for(current)) == "reference":
        return reference.scan(neuron, current, steps)
    return _Scan.apply(current, _Constants(neuron, steps))  # type: ignore[return-value]


def kernel_for(x: Tensor) -> str:
    """Name of the kernel used for tensors like `x`."""
    return "numba" if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and _has_numba() else "reference"


@cache
def _has_numba() -> bool:
    """Whether numba can be imported; if not, say so once."""
    found = find_spec("numba") is not None
    if not found:
        warnings.warn("numba is not installed: the scan runs on the slow reference kernel; install numba", RuntimeWarning, stacklevel=2)
    return found


@dataclass(frozen=True)
class _Constants:
    """A neuron and its window as one opaque argument: autograd and vmap look into tuples, not into this."""

    neuron: LIF
    steps: int

    def numbers(self, array: Any) -> tuple[Any, ...]:
        """Decay, threshold and slope in the array's own precision: a Python float would lift the whole kernel to double."""
        number = array.dtype.type
        return number(self.neuron.decay), number(self.neuron.threshold), number(self.neuron.surrogate.slope)

    @property
    def kernels(self) -> Any:
        """Compiled passes for this kind of neuron."""
        from neurometa.core.kernels.numba import kernels

        n = self.neuron
        return kernels(n.surrogate.code, n.hard_reset, n.reset_gradient, n.surrogate.smooth)


class _Scan(torch.autograd.Function):
    """current -> (z, v)."""

    @staticmethod
    def forward(current: Tensor, c: _Constants) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        order = _order(current)
        x = _flat(current, order)
        z, v = (np.empty((len(x), c.steps, x.shape[2]), x.dtype) for _ in range(2))
        c.kernels.forward(x, *c.numbers(x), z, v)
        return _unflat(z, current, order), _unflat(v, current, order)

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
    def forward(gz: Any, gv: Any, v: Tensor, c: _Constants, rows: int) -> Tensor:  # type: ignore[override]
        order = _order(v)
        return _unflat(_delta(gz, gv, v, c, rows, order), v, order)

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
        return _ScanBackward.apply(*_aligned(info, in_dims, *tensors), c, rows), 1


class _ScanDoubleBackward(torch.autograd.Function):
    """Cotangent of the gradient -> cotangents of gz, gv and v. It has no derivative: a third one is refused, not wrong."""

    @staticmethod
    def forward(h: Tensor, gz: Any, gv: Any, v: Tensor, c: _Constants) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        order = _order(v)
        v_ = _flat(v, order)
        out = tuple(np.empty_like(v_) for _ in range(3))
        delta = _delta(gz, gv, v, c, c.steps, order)
        c.kernels.double_backward(_flat(h, order), _optional(gz, v_, order), v_, delta, *c.numbers(v_), *out)
        return tuple(_unflat(a, v, order) for a in out)  # type: ignore[return-value]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if any(g is not None for g in gradients):
            raise InternalError("third derivatives of the numba scan asked for, two are there: use kernel='reference'")
        return (None,) * 5

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, c = args
        return _ScanDoubleBackward.apply(*_aligned(info, in_dims, *tensors), c), (1, 1, 1)


def _delta(gz: Any, gv: Any, v: Tensor, c: _Constants, rows: int, order: list[int]) -> Any:
    """dL/dv at every step, or its sum over time where the current has one row for all steps."""
    v_ = _flat(v, order)
    delta = np.empty((len(v_), rows, v_.shape[2]), v_.dtype)
    c.kernels.backward(_optional(gz, v_, order), _optional(gv, v_, order), v_, *c.numbers(v_), delta)
    return delta


def _order(x: Tensor) -> list[int]:
    """Axes of `x` by memory order, so that it is walked as it lies: channels last, or task by task under vmap. Expanded axes come first."""
    return sorted(range(x.ndim), key=lambda axis: (x.stride(axis) > 0, -x.stride(axis), axis == 0, axis))


def _flat(x: Tensor, order: list[int]) -> Any:
    """`x` as a C-contiguous (outer, time, inner) array; copies only where the memory order differs."""
    time = order.index(0)
    outer, inner = (math.prod(x.shape[axis] for axis in axes) for axes in (order[:time], order[time + 1 :]))
    return x.detach().permute(order).contiguous().view(outer, len(x), inner).numpy()


def _unflat(array: Any, like: Tensor, order: list[int]) -> Tensor:
    shape = [like.shape[axis] if axis else array.shape[1] for axis in order]
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return torch.from_numpy(array).view(shape).permute(inverse)


def _optional(x: Tensor | None, like: Any, order: list[int]) -> Any:
    """A gradient as an array, empty where there is none, and of one row where it is expanded over time, as that of a mean is."""
    if x is None:
        return np.empty((0, 0, 0), like.dtype)
    return _flat(x[:1] if x.stride(0) == 0 else x, order)


def _aligned(info: Any, in_dims: Any, *tensors: Any) -> list[Any]:
    """Each tensor with its vmapped axis at 1, expanded where it had none."""
    return [
        None if x is None else (x.movedim(dim, 1) if dim is not None else x.unsqueeze(1).expand(-1, info.batch_size, *x.shape[1:]))
        for x, dim in zip(tensors, in_dims, strict=False)
    ]
