"""The recurrent scan: a population whose spikes return to it, over the whole time window as one autograd node."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.check import check_constants, check_finite, check_window
from neurometa.core.kernels import reference
from neurometa.core.neuron import ALIF, IF, LIF, Neuron, carry
from neurometa.core.rows import aligned, by_task, fresh, gradient, optional, outer, product, rows, spread, total
from neurometa.core.scan import kernel_for
from neurometa.core.signature import signed
from neurometa.core.surrogate import Surrogate
from neurometa.errors import InternalError, UserError

FUSED = (IF, LIF, ALIF)
"""Neurons that the compiled kernel knows; all others are stepped by the reference."""


SMALL = 300_000
"""Products of one time step up to which the backward pass multiplies in its own kernel: from there on the library's product is faster
than the call of it is slow."""


def recurrent_scan(neuron: Neuron, current: Tensor, weight: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> Any:
    """Run a population over `steps` time steps whose output returns to it one step later.

    state[t] = neuron.step(state[t-1], current[t] + weight output[t-1])

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step: what arrives from elsewhere.
        weight: (n, n), post by pre.
        steps: number of time steps.
        state: state to continue from, default rest.
        kernel: "reference" or "numba"; default the fastest for the neuron and the tensor's device and type.
    Returns:
        The neuron's state, every field (steps, *batch, n).
    Raises:
        UserError: as `scan.scan`, an unfit kernel, or weights that are not (n, n) of the current's type.
    """
    check_constants(neuron)
    check_finite("current", current)
    return recurrent_states(neuron, current, weight, steps, state, kernel)


def recurrent_states(neuron: Neuron, current: Tensor, weight: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> Any:
    """`recurrent_scan` where numbers are not looked at; shapes are."""
    check_window(neuron, current, steps, state)
    square = (current.shape[-1], current.shape[-1])
    if weight.shape != square or weight.dtype != current.dtype:
        raise UserError(f"recurrent weights {tuple(weight.shape)} of {weight.dtype} given, {square} of {current.dtype} expected")
    # constants of each neuron, not of each example
    known = isinstance(neuron, FUSED) and all(c.ndim < 2 for c in neuron if isinstance(c, Tensor))
    kernel = kernel_for(current, asked=kernel) if kernel else ("numba" if known and kernel_for(current) == "numba" else "reference")
    if kernel == "reference":
        return reference.recurrent_scan(neuron, current, weight, steps, state)
    if kernel != "numba" or not known or not isinstance(neuron, FUSED):
        given = f"kernel {kernel!r} given for recurrent {type(neuron).__name__}"
        raise UserError(f"{given}, expected reference, or numba for IF, LIF and ALIF with constants of each neuron: choose kernel auto")
    start = torch.zeros_like(current[0])
    if state is not None:
        every = current.expand(steps, *current.shape[1:])
        current = torch.cat([every[:1] + carry(neuron, state) + F.linear(state.z, weight), every[1:]])
        start = neuron.rho * state.a + state.z if isinstance(neuron, ALIF) else start
    fields = _Scan.apply(current, weight, _constants(neuron, current), start, _Kind.of(neuron, steps))
    return type(neuron.rest(start))(*reversed(fields[:2]), *fields[2:])


def _constants(neuron: IF | LIF | ALIF, like: Tensor) -> Tensor:
    """Decay, threshold, beta and rho of every neuron, (4, n)."""
    adaptation = (neuron.beta, neuron.rho) if isinstance(neuron, ALIF) else (0.0, 0.0)
    numbers = (neuron.decay, neuron.threshold, *adaptation)
    return torch.stack([torch.as_tensor(c, dtype=like.dtype, device=like.device).expand(like.shape[-1]) for c in numbers])


@dataclass(frozen=True)
class _Kind:
    """What distinguishes kinds of neuron, and the window, as one opaque argument: autograd and vmap look into tuples, not into this.

    `learnt`: whether some constant is a tensor, and so may want a gradient.
    """

    hard: bool
    through: bool
    surrogate: Surrogate
    adaptive: bool
    learnt: bool
    steps: int

    @staticmethod
    def of(neuron: IF | LIF | ALIF, steps: int) -> "_Kind":
        """The kind of a neuron."""
        learnt = any(isinstance(constant, Tensor) for constant in neuron)
        return _Kind(neuron.hard_reset, neuron.reset_gradient, neuron.surrogate, isinstance(neuron, ALIF), learnt, steps)

    @property
    def kernels(self) -> Any:
        """Compiled passes."""
        from neurometa.core.kernels.recurrent import kernels

        return kernels(self.surrogate.code, self.hard, self.through, self.surrogate.smooth, self.adaptive)

    def slope(self, like: Tensor) -> Any:
        """The surrogate's slope in the tensor's precision: a Python float would lift the whole kernel to double."""
        return (np.float32 if like.dtype == torch.float32 else np.float64)(self.surrogate.slope)

    def named(self, values: tuple[Any, ...]) -> tuple[Any, Any, Any]:
        """(delta, epsilon, alpha) of what a node gave or was given, None for those that this kind has not."""
        left = iter(values)
        return next(left), next(left) if self.learnt else None, next(left) if self.adaptive else None


class _Scan(torch.autograd.Function):
    """(current, weight, constants, a[0]) -> (z, v), and of an adaptive neuron a.

    Weights (*tasks, n, n) and constants (*tasks, 4, n) may differ between tasks, whose axes follow time in current and outputs.
    """

    @staticmethod
    @signed
    def forward(current: Tensor, weight: Tensor, constants: Tensor, start: Tensor, kind: _Kind) -> tuple[Tensor, ...]:  # type: ignore[override]
        z, v, *a = (current.new_empty((kind.steps, *current.shape[1:])) for _ in range(3 if kind.adaptive else 2))
        out = [rows(z), rows(v), optional(a[0] if a else None, v)]
        kind.kernels.forward(rows(current), by_task(weight.mT), by_task(constants), rows(start.unsqueeze(0))[0], kind.slope(v), *out)
        return z, v, *a

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        current, weight, constants, _, ctx.kind = inputs
        ctx.save_for_backward(weight, constants, *output)
        ctx.held = current.shape[0] < ctx.kind.steps
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gz: Tensor | None, gv: Tensor | None, ga: Tensor | None = None) -> Any:  # type: ignore[override]
        weight, constants, z, v, *rest = ctx.saved_tensors
        kind, a = ctx.kind, rest[0] if rest else None
        found = kind.named(_ScanBackward.apply(gz, gv, ga, z, v, a, weight, constants, kind))
        delta, _, alpha = found
        to_weight = outer(delta[1:], z[:-1], weight) if ctx.needs_input_grad[1] else None
        to_constants = _to_constants(_Pass(kind, constants, z, v, a, *found)) if kind.learnt else None
        to_start = None if alpha is None else alpha[0]
        return delta.sum(0, keepdim=True) if ctx.held else delta, to_weight, to_constants, to_start, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, kind = args
        placed, axis = aligned(info.batch_size, tensors, in_dims[:-1], weights=(1, 2), untimed=(3,))
        out = _Scan.apply(*placed, kind)
        return out, (axis,) * len(out)  # type: ignore[arg-type]


class _Pass(NamedTuple):
    """One backward pass: what it saw and what it found, each (time, *tasks, *batch, n) but for the constants (*tasks, 4, n)."""

    kind: _Kind
    constants: Tensor
    z: Tensor
    v: Tensor
    a: Any
    delta: Tensor
    epsilon: Any
    alpha: Any


def _to_constants(p: _Pass) -> Tensor:
    """Gradient of the constants, (*tasks, 4, n)."""
    sums = partial(total, like=p.constants)
    fired, later = (p.z if p.kind.through else p.z.detach())[:-1], p.delta[1:]
    decay = sums(p.v[:-1] * (1 - fired) * later if p.kind.hard else p.v[:-1] * later)
    threshold = -sums(p.epsilon) - (0 if p.kind.hard else sums(fired * later))
    zero = torch.zeros_like(decay)
    adaptation = (-sums(p.a * p.epsilon), sums(p.a[:-1] * p.alpha[1:])) if p.kind.adaptive else (zero, zero)
    return torch.stack([decay, threshold, *adaptation], -2)


class _ScanBackward(torch.autograd.Function):
    """(gz, gv, ga, z, v, a, weight, constants) -> delta, epsilon where constants are learnt, alpha of an adaptive neuron."""

    @staticmethod
    @signed
    def forward(gz: Any, gv: Any, ga: Any, z: Tensor, v: Tensor, a: Any, weight: Tensor, constants: Tensor, kind: _Kind) -> Any:  # type: ignore[override]
        delta = fresh(v)
        out = [delta, fresh(v) if kind.learnt else None, fresh(v) if kind.adaptive else None]
        given = [*(gradient(g, v) for g in (gz, gv, ga)), *(optional(x, v) for x in (v, z, a)), by_task(constants), kind.slope(v)]
        found = [optional(x, v) for x in out]
        if v[0].numel() * v.shape[-1] <= SMALL:
            kind.kernels.backward(*given, by_task(weight), *found)
        else:
            multiply, returned = product(delta, weight)
            each = rows(returned.unsqueeze(0))[0]
            for t in range(kind.steps - 1, -1, -1):
                kind.kernels.backward_step(t, *given, each, *found)
                if t > 0:
                    multiply(t)
        return tuple(x for x in out if x is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.kind = inputs
        ctx.save_for_backward(*tensors, *ctx.kind.named(output))
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        kind = ctx.kind
        found = _ScanDoubleBackward.apply(*kind.named(cotangents), *ctx.saved_tensors, kind)
        named = dict(zip(_names(kind), found, strict=True))  # type: ignore[arg-type]
        wanted = zip(("gz", "gv", "ga", "z", "v", "a", "weight", "constants"), ctx.needs_input_grad, strict=False)
        return *(named.get(name) if needed else None for name, needed in wanted), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, kind = args
        placed, axis = aligned(info.batch_size, tensors, in_dims[:-1], weights=(6, 7))
        out = _ScanBackward.apply(*placed, kind)
        return out, (axis,) * len(out)  # type: ignore[arg-type]


def _names(kind: _Kind) -> list[str]:
    """What the double backward gives a cotangent of, in order."""
    there = {"gz": True, "gv": True, "v": True, "weight": True, "z": kind.hard and kind.through, "constants": kind.learnt}
    return [name for name, found in {**there, "ga": kind.adaptive, "a": kind.adaptive}.items() if found]


class _ScanDoubleBackward(torch.autograd.Function):
    """Cotangents of `_ScanBackward`'s outputs -> cotangents of its inputs. It has no derivative: a third one is refused, not wrong."""

    @staticmethod
    @signed
    def forward(*args: Any) -> Any:  # type: ignore[override]
        hd, he, ha, gz, _, _, z, v, a, weight, constants, delta, epsilon, alpha, kind = args
        to_gz, to_gv, to_ga, to_x = new = fresh(v), fresh(v), fresh(v) if kind.adaptive else None, fresh(v)
        send, sent = product(to_gz, weight.mT)
        back, returned = product(delta.contiguous(), weight)
        given = [*(gradient(g, v) for g in (hd, he, ha, gz)), *(optional(x, v) for x in (v, z, a, delta, alpha))]
        given += [by_task(constants), kind.slope(v), *(rows(x.unsqueeze(0))[0] for x in (returned, sent)), *(optional(x, v) for x in new)]
        for t in range(kind.steps):
            if t > 0:
                send(t - 1)
            if t + 1 < kind.steps:
                back(t + 1)
            kind.kernels.double_step(t, *given)
        p = _Pass(kind, constants, z, v, a, delta, epsilon, alpha)
        found = {"gz": to_gz, "gv": to_gv, "ga": to_ga, **_to_fields(p, to_gz, to_gv, to_x)}
        found["weight"] = outer(delta[1:], to_gz[:-1], weight)
        if kind.learnt:
            found["constants"] = _to_constants_again(p, to_gz, to_gv, to_ga, to_x)
        return tuple(found[name] for name in _names(kind))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if any(g is not None for g in gradients):
            raise InternalError("third derivatives of the numba recurrent scan asked for, two are there: use kernel='reference'")
        return (None,) * 15

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        *tensors, kind = args
        placed, axis = aligned(info.batch_size, tensors, in_dims[:-1], weights=(9, 10), apart=True)
        out = _ScanDoubleBackward.apply(*placed, kind)
        return out, tuple(0 if name in ("weight", "constants") else axis for name in _names(kind))


def _to_fields(p: _Pass, to_gz: Tensor, to_gv: Tensor, to_x: Tensor) -> dict[str, Tensor]:
    """Cotangents of v, z and a: x = v - threshold - beta a, and with hard reset c = -decay v and r = 1 - z depend on them too."""
    decay, _, beta, _ = (spread(c, p.v) for c in p.constants.unbind(-2))
    found = {"v": to_x}
    if p.kind.adaptive:
        found["a"] = -beta * to_x
    if p.kind.hard and p.kind.through:
        later = decay * p.delta[1:]
        found |= {"v": to_x.clone(), "z": torch.zeros_like(to_x)}
        found["v"][:-1] -= later * to_gz[:-1]
        found["z"][:-1] = -later * to_gv[:-1]
    return found


def _to_constants_again(p: _Pass, to_gz: Tensor, to_gv: Tensor, to_ga: Any, to_x: Tensor) -> Tensor:
    """Cotangent of the constants, (*tasks, 4, n): where they stand in the backward recurrence, times what they multiply there."""
    sums = partial(total, like=p.constants)
    later, through = p.delta[1:], p.delta[1:] * to_gz[:-1]
    decay, threshold = sums(((1 - p.z[:-1]) if p.kind.hard else 1) * later * to_gv[:-1]), -sums(to_x)
    if p.kind.through and p.kind.hard:
        decay = decay - sums(p.v[:-1] * through)
    elif p.kind.through:
        threshold = threshold - sums(through)
    zero = torch.zeros_like(decay)
    adaptation = (-sums(p.a * to_x + p.epsilon * to_ga), sums(p.alpha[1:] * to_ga[:-1])) if p.kind.adaptive else (zero, zero)
    return torch.stack([decay, threshold, *adaptation], -2)
