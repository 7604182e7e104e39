"""Which neurons have compiled kernels, and how each runs its window by them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurometa.core.compiled import adaptive, lif
from neurometa.core.compiled.adaptive import Kind, Own
from neurometa.core.compiled.recurrence import filtered
from neurometa.core.neuron import (
    ALIF,
    IF,
    LIF,
    ALIFState,
    Constant,
    CurrentLIF,
    CurrentLIFState,
    LeakyIntegrator,
    LIFState,
    carry,
)


def knows(kernel: str, neuron: Any) -> bool:
    """Whether a compiled kernel runs this neuron: `triton` has LIF and IF with one number for each constant."""
    if kernel == "triton":
        return isinstance(neuron, LIF | IF) and not isinstance(neuron.decay, Tensor) and not isinstance(neuron.threshold, Tensor)
    return type(neuron) in COMPILED


def states(kernel: str, neuron: Any, current: Tensor, steps: int, state: Any) -> Any:
    """The neuron's state over time, by a compiled kernel that knows the neuron."""
    return _lif(neuron, current, steps, state, kernel) if kernel == "triton" else COMPILED[type(neuron)](neuron, current, steps, state)


def _lif(neuron: LIF | IF, current: Tensor, steps: int, state: LIFState | None, kernel: str = "numba") -> LIFState:
    z, v = _fire(neuron, _continued(current, steps, None if state is None else carry(neuron, state)), steps, kernel)
    return LIFState(v, z)


def _current_lif(neuron: CurrentLIF, current: Tensor, steps: int, state: CurrentLIFState | None) -> CurrentLIFState:
    kept = None if state is None else (neuron.current_decay * state.i, carry(neuron, state))
    x = _continued(current, steps, kept and kept[0]).expand(steps, *current.shape[1:])
    i = filtered(x, _own(neuron.current_decay, x))
    z, v = _fire(neuron, _continued(i, steps, kept and kept[1]), steps)
    return CurrentLIFState(v, z, i)


def _alif(neuron: ALIF, current: Tensor, steps: int, state: ALIFState | None) -> ALIFState:
    x = _continued(current, steps, None if state is None else carry(neuron, state)).expand(steps, *current.shape[1:])
    first = torch.zeros_like(x[0]) if state is None else neuron.rho * state.a + state.z
    own = Own(_own(neuron.decay, x), _own(neuron.threshold, x), _own(neuron.beta, x), _own(neuron.rho, x), first)
    z, v, a = adaptive.window(Kind(neuron.surrogate, neuron.hard_reset, neuron.reset_gradient, True), x, own)
    return ALIFState(v, z, a)


def _integrator(neuron: LeakyIntegrator, current: Tensor, steps: int, state: LIFState | None) -> LIFState:
    x = ((1 - neuron.decay) * current).expand(steps, *current.shape[1:])
    v = filtered(_continued(x, steps, None if state is None else neuron.decay * state.v), _own(neuron.decay, x))
    return LIFState(v, v)


COMPILED: dict[type, Callable[[Any, Tensor, int, Any], Any]] = {
    LIF: _lif,
    IF: _lif,
    CurrentLIF: _current_lif,
    ALIF: _alif,
    LeakyIntegrator: _integrator,
}
"""Neurons that the numba kernel knows; the others run on the reference."""


def _fire(neuron: Any, current: Tensor, steps: int, kernel: str = "numba") -> tuple[Tensor, ...]:
    """z and v of a neuron that leaks, fires and is reset as `LIF`; plain numbers take the kernel that need not read them."""
    if not isinstance(neuron.decay, Tensor) and not isinstance(neuron.threshold, Tensor):
        return lif.window(neuron, current, steps, kernel)
    x = current.expand(steps, *current.shape[1:])
    own = Own(_own(neuron.decay, x), _own(neuron.threshold, x))
    return adaptive.window(Kind(neuron.surrogate, neuron.hard_reset, neuron.reset_gradient, False), x, own)


def _continued(current: Tensor, steps: int, kept: Tensor | None) -> Tensor:
    """The current of a window that starts at rest and goes on like one that starts with `kept` of its potential."""
    if kept is None:
        return current
    every = current.expand(steps, *current.shape[1:])
    return torch.cat([every[:1] + kept, every[1:]])


def _own(constant: Constant, current: Tensor) -> Tensor:
    """A constant for each of (*batch, n)."""
    return torch.as_tensor(constant, dtype=current.dtype, device=current.device).expand(current.shape[1:])
