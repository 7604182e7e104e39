"""The adjoint of a population alone: what a signal at its spikes means for its current, with all that spikes do held constant."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.compiled import adjoint as compiled
from neurometa.core.compiled.adaptive import Kind, Own
from neurometa.core.compiled.recurrence import recurrence
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF
from neurometa.core.scan import kernel_for
from neurometa.errors import UserError

KNOWN = (LIF, IF, CurrentLIF, ALIF)
"""Neurons that have an adjoint here."""


class Adjoint(NamedTuple):
    """What a window's signal means at every step, each (steps, *batch, n).

    Attributes:
        current: dE/dcurrent[t].
        v: dE/dv[t]; the same, but for a population with a synaptic current.
        a: dE/da[t] of an adaptive population, else None.
    """

    current: Tensor
    v: Tensor
    a: Tensor | None


class Signals(NamedTuple):
    """dE/d field[t] by ways other than the population itself, each (steps, *batch, n) or None."""

    z: Tensor | None = None
    v: Tensor | None = None
    other: Tensor | None = None
    """Of the third field: `a` of ALIF, `i` of CurrentLIF."""


def adjoint(neuron: Any, fields: Any, signals: Signals, kernel: str | None = None) -> Adjoint:
    """Carry signals back in time through the membranes.

    psi[t]   = surrogate derivative at v[t] - threshold - beta a[t]
    dz[t]    = gz[t] + eta[t+1]
    delta[t] = gv[t] + psi[t] dz[t] + decay r[t] delta[t+1]
    eta[t]   = ga[t] - beta psi[t] dz[t] + rho eta[t+1]             (adaptive; else eta = 0)
    iota[t]  = gi[t] + delta[t] + current_decay iota[t+1]           (with a synaptic current)
    r = 1 - z with hard reset, 1 with subtractive: a spike cuts what came before it off, and what it sends is held constant

    Args:
        neuron: constants of the population, one of `KNOWN`.
        fields: its state over time, each field (steps, *batch, n).
        signals: dE/dz[t] and the like.
        kernel: "reference" or "numba"; default the fastest.
    Returns:
        The adjoint; dE/dcurrent is delta, or iota where there is a synaptic current.
    Raises:
        UserError: a neuron that is not known.
    Source:
        The sum over t of dE/dcurrent_j[t] x_i[t] is e-prop's sum of learning signal times eligibility, the order of summation exchanged:
        Bellec et al. 2020, doi:10.1038/s41467-020-17236-y; eligibility as in the authors' published code, `compute_eligibility_traces`.
    """
    if not isinstance(neuron, KNOWN):
        expected = ", ".join(kind.__name__ for kind in KNOWN)
        raise UserError(f"neuron {type(neuron).__name__} given, one of {expected} expected: no eligibility is known of others")
    current_based = isinstance(neuron, CurrentLIF)
    name = kernel_for(fields.v, None if current_based else neuron, kernel)
    third = signals.other if isinstance(neuron, ALIF) else None
    found = _numba(neuron, fields, signals, third) if name == "numba" else _reference(neuron, fields, signals, third)
    delta, eta = found[0], found[1] if isinstance(neuron, ALIF) else None
    if not isinstance(neuron, CurrentLIF):
        return Adjoint(delta, delta, eta)
    into = delta if signals.other is None else delta + signals.other
    decay = _own(neuron.current_decay, delta)
    return Adjoint(recurrence((decay.expand_as(delta),), (into,), reverse=True)[0] if name == "numba" else _back(decay, into), delta, None)


def kind_of(neuron: Any, fields: Any) -> tuple[Kind, Own, tuple[Tensor, ...]]:
    """A population as compiled passes see it: its equations, its constants, and its state over time, z before v before a."""
    like = fields.v
    constants = Own(_own(neuron.decay, like), _own(neuron.threshold, like))
    if isinstance(neuron, ALIF):
        constants = constants._replace(beta=_own(neuron.beta, like), rho=_own(neuron.rho, like))
        return Kind(neuron.surrogate, neuron.hard_reset, False, True), constants, (fields.z, fields.v, fields.a)
    plain = not isinstance(neuron.decay, Tensor) and not isinstance(neuron.threshold, Tensor)
    numbers = (float(neuron.decay), float(neuron.threshold)) if plain else None
    return Kind(neuron.surrogate, neuron.hard_reset, False, False, numbers), constants, (fields.z, fields.v)


def _numba(neuron: Any, fields: Any, signals: Signals, third: Tensor | None) -> tuple[Tensor, ...]:
    kind, constants, seen = kind_of(neuron, fields)
    gradients = (signals.z, signals.v, third) if kind.adaptive else (signals.z, signals.v)
    return compiled.window(kind, gradients, seen, constants)


def _reference(neuron: Any, fields: Any, signals: Signals, third: Tensor | None) -> tuple[Tensor, ...]:
    """The equations step by step."""
    adaptive = isinstance(neuron, ALIF)
    above = fields.v - neuron.threshold - (neuron.beta * fields.a if isinstance(neuron, ALIF) else 0)
    psi = neuron.surrogate.derivative(above)
    kept = neuron.decay * (1 - fields.z) if neuron.hard_reset else neuron.decay * torch.ones_like(fields.z)
    zero = torch.zeros_like(fields.v)
    gz, gv, ga = (zero if g is None else g for g in (signals.z, signals.v, third))
    later_delta, later_eta = zero[0], zero[0]
    deltas, etas = [], []
    for t in range(len(zero) - 1, -1, -1):
        dz = gz[t] + later_eta
        later_delta = gv[t] + psi[t] * dz + kept[t] * later_delta
        if isinstance(neuron, ALIF):
            later_eta = ga[t] - neuron.beta * psi[t] * dz + neuron.rho * later_eta
            etas.append(later_eta)
        deltas.append(later_delta)
    delta = torch.stack(deltas[::-1])
    return (delta, torch.stack(etas[::-1])) if adaptive else (delta,)


def _back(decay: Tensor, into: Tensor) -> Tensor:
    """iota step by step."""
    later, found = torch.zeros_like(into[0]), []
    for x in into.flip(0).unbind(0):
        later = x + decay * later
        found.append(later)
    return torch.stack(found[::-1])


def _own(constant: Any, like: Tensor) -> Tensor:
    """A constant for each of (*batch, n)."""
    return torch.as_tensor(constant, dtype=like.dtype, device=like.device).expand(like.shape[1:])
