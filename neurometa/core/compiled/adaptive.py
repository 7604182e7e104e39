"""LIF and ALIF with constants of each neuron's own: the window as one autograd node, differentiable by its constants too.

The backward pass is compiled. Its own derivative is taken by autograd of the same adjoint written with linear recurrences, so that the
derivatives of any order are exact without another hand-derived pass.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurometa.core.compiled.layout import aligned, flat, optional, order, unflat
from neurometa.core.compiled.recurrence import recurrence
from neurometa.core.signature import signed
from neurometa.core.surrogate import Surrogate


@dataclass(frozen=True)
class Kind:
    """What is no tensor of a population, as one opaque argument: autograd and vmap look into tuples, not into this."""

    surrogate: Surrogate
    hard: bool
    through_reset: bool
    adaptive: bool
    numbers: tuple[float, float] | None = None
    """Decay and threshold where these are plain numbers, for a pass that need not read them; None otherwise."""

    @property
    def passes(self) -> Any:
        """Compiled passes."""
        from neurometa.core.kernels import adaptive

        compiled = adaptive.alif if self.adaptive else adaptive.lif
        return compiled(self.surrogate.code, self.hard, self.through_reset, self.surrogate.smooth)


class Own(NamedTuple):
    """Constants of shape (*batch, n); the last three of ALIF alone: `first` is the adaptation at the first step."""

    decay: Tensor
    threshold: Tensor
    beta: Tensor | None = None
    rho: Tensor | None = None
    first: Tensor | None = None

    @property
    def given(self) -> list[Tensor]:
        """Those that are there."""
        return [constant for constant in self if constant is not None]


def window(kind: Kind, current: Tensor, constants: Own) -> tuple[Tensor, ...]:
    """Run a population from rest.

    Args:
        kind: which equations.
        current: (steps, *batch, n).
        constants: each (*batch, n).
    Returns:
        Spikes z, potentials v and, of an adaptive population, adaptations a, each (steps, *batch, n).
    """
    return _Window.apply(kind, current, *constants.given)  # type: ignore[return-value]


class _Window(torch.autograd.Function):
    """(kind, current, *constants) -> (z, v) or (z, v, a)."""

    @staticmethod
    @signed
    def forward(kind: Kind, current: Tensor, *constants: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        axes = order(current)
        inner = [flat(constant.unsqueeze(0), axes) for constant in constants]
        x = optional(current, inner[0], axes)
        out = [np.empty((len(x), len(current), x.shape[2]), x.dtype) for _ in range(3 if kind.adaptive else 2)]
        kind.passes.forward(x, x.dtype.type(kind.surrogate.slope), *inner, *out)
        return tuple(unflat(y, current, axes) for y in out)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kind, _, *constants = inputs
        ctx.outputs = len(output)
        ctx.save_for_backward(*output, *constants)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:  # type: ignore[override]
        kind, saved = ctx.kind, ctx.saved_tensors
        outputs, constants = saved[: ctx.outputs], Own(*saved[ctx.outputs :])
        adjoint = _Adjoint.apply(kind, *gradients, *outputs, *constants.given)
        return None, adjoint[0], *_to_constants(kind, ctx.needs_input_grad[2:], gradients[0], adjoint, outputs, constants)  # type: ignore[index]

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        kind, current, *constants = args
        tensors = aligned(info, in_dims[1:2], current) + aligned(info, in_dims[2:], *constants, at=0)
        out = _Window.apply(kind, *tensors)
        return out, (1,) * len(out)  # type: ignore[arg-type]


class _Adjoint(torch.autograd.Function):
    """(kind, gz, gv[, ga], z, v[, a], *constants) -> (delta,) or (delta, eta): the gradient at every step."""

    @staticmethod
    @signed
    def forward(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:  # type: ignore[override]
        return swept(kind, *tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.kind, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *h: Tensor) -> Any:  # type: ignore[override]
        return None, *pulled(_adjoint, ctx.kind, ctx.saved_tensors, h)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        out = _Adjoint.apply(args[0], *moved(info, in_dims, *args))
        return out, (1,) * len(out)  # type: ignore[arg-type]


def swept(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:
    """One compiled pass backward in time, over (gz, gv[, ga], z, v[, a], *constants): delta, or delta and eta."""
    n = 3 if kind.adaptive else 2
    gradients, (_, v, *a), constants = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
    axes = order(v)
    arrays = [flat(x, axes) for x in (v, *a)]
    inner = [flat(constant.unsqueeze(0), axes) for constant in constants][: 4 if kind.adaptive else 2]
    out = [np.empty_like(x) for x in arrays]
    k = arrays[0].dtype.type(kind.surrogate.slope)
    kind.passes.backward(*(optional(g, arrays[0], axes) for g in gradients), k, *arrays, *inner, *out)
    return tuple(unflat(y, v, axes) for y in out)


def pulled(composed: Any, kind: Kind, saved: Any, h: tuple[Tensor, ...]) -> list[Tensor | None]:
    """The cotangent h carried back through `composed(kind, *saved)`, which autograd knows; None for what is None in `saved`."""
    present = [i for i, x in enumerate(saved) if x is not None]

    def plain(*some: Tensor) -> tuple[Tensor, ...]:
        tensors = dict(zip(present, some, strict=True))
        return composed(kind, *(tensors.get(i) for i in range(len(saved))))

    pull = torch.func.vjp(plain, *(saved[i] for i in present))[1]
    gradients = dict(zip(present, pull(h), strict=True))
    return [gradients.get(i) for i in range(len(saved))]


def moved(info: Any, in_dims: Any, kind: Kind, *tensors: Any) -> list[Any]:
    """What an adjoint is given, with the axis of a vmap where the passes expect it."""
    windows = 6 if kind.adaptive else 4
    return aligned(info, in_dims[1 : 1 + windows], *tensors[:windows]) + aligned(info, in_dims[1 + windows :], *tensors[windows:], at=0)


def _adjoint(kind: Kind, *tensors: Any) -> tuple[Tensor, ...]:
    """What `_Adjoint` computes, in operations that autograd knows; the equations stand in `kernels/adaptive.py`."""
    n = 3 if kind.adaptive else 2
    (gz, gv, *ga), (z, v, *a), constants = tensors[:n], tensors[n : 2 * n], Own(*tensors[2 * n :])
    psi, kept, through = _slopes(kind, z, v, a, constants)
    first = _sum(gv, None if gz is None else psi * gz, v)
    if constants.beta is None or constants.rho is None:
        return recurrence((psi * through + kept,), (first,), reverse=True)
    beta_psi = constants.beta * psi
    second = _sum(ga[0], None if gz is None else -beta_psi * gz, v)
    factors = (psi * through + kept, psi, -beta_psi * through, constants.rho - beta_psi)
    return recurrence(factors, (first, second), reverse=True)


def _slopes(kind: Kind, z: Tensor, v: Tensor, a: Any, constants: Own) -> tuple[Tensor, Tensor, Tensor]:
    """psi; what a step keeps of v; how the spike moves the next v: each (steps, *batch, n)."""
    psi = kind.surrogate.derivative(_above(v, a, constants))
    sent = z if kind.through_reset else z.detach()
    kept = constants.decay * (1 - sent) if kind.hard else constants.decay.expand_as(v)
    if not kind.through_reset:
        return psi, kept, torch.zeros_like(v)
    return psi, kept, -constants.decay * v if kind.hard else -constants.threshold.expand_as(v)


def _above(v: Tensor, a: Any, constants: Own) -> Tensor:
    """v above its threshold."""
    x = v - constants.threshold
    return x - constants.beta * a[0] if a else x


def _sum(x: Tensor | None, y: Tensor | None, like: Tensor) -> Tensor:
    found = [part for part in (x, y) if part is not None]
    return sum(found[1:], found[0]).expand_as(like) if found else torch.zeros_like(like)


def _to_constants(
    kind: Kind, needed: tuple[bool, ...], gz: Tensor | None, adjoint: Any, outputs: Any, constants: Own
) -> list[Tensor | None]:
    """Derivatives by decay, threshold, beta, rho and the first adaptation, each (*batch, n), or None where not needed."""
    if not any(needed):
        return [None] * len(needed)
    (z, v, *a), (_, *eta) = outputs, adjoint
    psi, _, through = _slopes(kind, z, v, a, constants)
    sent = z if kind.through_reset else z.detach()
    later = [torch.cat([x[1:], torch.zeros_like(x[:1])]) for x in adjoint]
    spiked = psi * sum([through * later[0], *later[1:]], torch.zeros_like(v) if gz is None else gz)
    to = [(later[0] * v * (1 - sent) if kind.hard else later[0] * v).sum(0)]
    to.append(-(spiked if kind.hard else spiked + later[0] * sent).sum(0))
    if kind.adaptive:
        to += [-(spiked * a[0]).sum(0), (later[1] * a[0]).sum(0), eta[0][0]]
    return [gradient if asked else None for gradient, asked in zip(to, needed, strict=True)]
