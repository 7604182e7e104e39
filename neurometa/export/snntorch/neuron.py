"""snnTorch's neurons in our terms: constants, reset and surrogate."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurometa.core.constants import Free
from neurometa.core.layer import Layer, Offset, Scale, Spiking
from neurometa.core.neuron import LIF, Constant, CurrentLIF, VoidingLIF
from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError
from neurometa.export.snntorch import surrogate as names
from neurometa.types import Params

RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
"""The function that a snnTorch neuron steps with, chosen when it is made, and the reset mechanism that it carries out."""


class Read(NamedTuple):
    """What becomes of one neuron layer: a layer with its parameters, and before it perhaps one that changes its input."""

    layer: Spiking
    params: Params
    before: Layer | None = None
    params_before: Params | None = None


class Firing(NamedTuple):
    """What all of snnTorch's neurons have in common."""

    zero: bool
    surrogate: Surrogate


def leaky(module: Any, where: str, steps: int, surrogate: Surrogate | None) -> Read:
    """`Leaky`: v[t] = beta v[t-1] + x[t], less the threshold or zeroed before the leak where it fired at t-1."""
    firing = _firing(module, where, surrogate)
    return _read(LIF(hard_reset=firing.zero, reset_gradient=False, surrogate=firing.surrogate), steps, module, where, {"decay": "beta"})


def synaptic(module: Any, where: str, steps: int, surrogate: Surrogate | None) -> Read:
    """`Synaptic`: i[t] = alpha i[t-1] + x[t], v[t] = beta v[t-1] + i[t], less the threshold, or 0 where it fired at t-1."""
    firing = _firing(module, where, surrogate)
    neuron = VoidingLIF(surrogate=firing.surrogate)
    if not firing.zero:
        neuron = CurrentLIF(hard_reset=False, reset_gradient=False, surrogate=firing.surrogate)
    return _read(neuron, steps, module, where, {"decay": "beta", "current_decay": "alpha"})


def lapicque(module: Any, where: str, steps: int, surrogate: Surrogate | None) -> Read:
    """`Lapicque`: v[t] = (1 - dt/(RC)) v[t-1] + (dt/C) x[t], less the threshold, or 0 where it fired at t-1.

    The decay is this one even where beta was given, from which C then comes.
    """
    firing = _firing(module, where, surrogate)
    step, resistance, capacitance = (_number(getattr(module, name), f"{where}.{name}") for name in ("time_step", "R", "C"))
    decay = 1 - step / (resistance * capacitance)
    if not 0 <= decay <= 1:
        raise UserError(f"{where} has 1 - time_step / (R C) = {decay:.3g}, expected 0..1: use a smaller time_step or a larger R C")
    neuron = VoidingLIF(decay, surrogate=firing.surrogate)
    if not firing.zero:
        neuron = LIF(decay, hard_reset=False, reset_gradient=False, surrogate=firing.surrogate)
    return _read(neuron, steps, module, where, {})._replace(before=Scale(resistance * (1 / (resistance * capacitance)) * step))


def recurrent_leaky(module: Any, where: str, steps: int, surrogate: Surrogate | None) -> Read:
    """`RLeaky`: v[t] = beta v[t-1] + x[t] + W z[t-1] + b, less the threshold, or 0 where it fired at t-1."""
    firing = _firing(module, where, surrogate)
    neuron = VoidingLIF(surrogate=firing.surrogate)
    if not firing.zero:
        neuron = LIF(hard_reset=False, reset_gradient=False, surrogate=firing.surrogate)
    return _recurrent(_read(neuron, steps, module, where, {"decay": "beta"}), module, where)


def recurrent_synaptic(module: Any, where: str, steps: int, surrogate: Surrogate | None) -> Read:
    """`RSynaptic`: as `Synaptic`, with x[t] + W z[t-1] + b for x[t]."""
    return _recurrent(synaptic(module, where, steps, surrogate), module, where)


def _recurrent(read: Read, module: Any, where: str) -> Read:
    """The population with weights that return its spikes, and their bias as a current of its own."""
    loop = module.recurrent
    if type(loop) is not nn.Linear:
        what = "all_to_all=False" if not module.all_to_all else f"a recurrent {type(loop).__name__}"
        raise UserError(f"{where} is {type(module).__name__} with {what}, all_to_all=True with linear_features expected: use that")
    weights = {**read.params, "recurrent": loop.weight}
    before = {} if loop.bias is None else {"before": Offset(), "params_before": {"bias": loop.bias}}
    return read._replace(layer=read.layer._replace(recurrent=True), params=weights, **before)


READERS: dict[str, Callable[[Any, str, int, Surrogate | None], Read]] = {
    "Leaky": leaky,
    "Synaptic": synaptic,
    "Lapicque": lapicque,
    "RLeaky": recurrent_leaky,
    "RSynaptic": recurrent_synaptic,
}
"""By the name of snnTorch's class."""


def _read(neuron: Any, steps: int, module: Any, where: str, decays: dict[str, str]) -> Read:
    """The neuron with its decays (our name: snnTorch's) and its threshold; what snnTorch would learn becomes a parameter."""
    free: list[Free] = []
    params: Params = {}
    for name, theirs in {**decays, "threshold": "threshold"}.items():
        value = getattr(module, theirs).detach()
        at = f"{where}.{theirs}"
        if not isinstance(getattr(module, theirs), nn.Parameter):
            neuron = neuron._replace(**{name: _constant(value.clamp(0, 1) if name in decays else value)})
            if name == "threshold" and bool((value < 0).any()):
                raise UserError(f"{at} = {float(value.min())} given, a number of at least 0 expected")
            continue
        constant = Free(name, _each(value))
        free.append(constant)
        params[constant.key] = _raw(value, name in decays, at)
        neuron = neuron._replace(**{name: float(value.mean())})
    return Read(Spiking(neuron, steps, tuple(free)), params)


def _constant(value: Tensor) -> Constant:
    return float(value) if value.numel() == 1 else value


def _each(value: Tensor) -> str:
    """Which neurons share a value: all, those of a channel, or none."""
    if value.numel() == 1:
        return "layer"
    return "channel" if value.ndim > 1 and math.prod(value.shape[1:]) == 1 else "neuron"


def _raw(value: Tensor, decays: bool, where: str) -> Tensor:
    """The number of any sign that stands for a learnt constant, see `core.constants`."""
    value = value.reshape(()) if value.numel() == 1 else value
    if bool((value <= 0).any()) or (decays and bool((value >= 1).any())):
        allowed = "numbers between 0 and 1" if decays else "numbers above 0"
        raise UserError(
            f"{where} is learnt and from {float(value.min()):.4g} to {float(value.max()):.4g}, {allowed} expected: clamp it first"
        )
    return torch.logit(value) if decays else value.log()


def _number(value: Tensor, where: str) -> float:
    if value.numel() != 1:
        raise UserError(f"{where} of shape {tuple(value.shape)} given, one number expected")
    return float(value.detach())


def _firing(module: Any, where: str, surrogate: Surrogate | None) -> Firing:
    """Reset and surrogate; refuses what has no counterpart."""
    reset = RESETS[module.state_function.__name__]
    refusals = {
        'reset_mechanism="none"': (reset == "none", 'use "subtract" or "zero"'),
        "reset_delay=False": (not getattr(module, "reset_delay", True), "make it with reset_delay=True"),
        "inhibition=True": (module.inhibition, "make it with inhibition=False"),
        "state_quant": (module.state_quant, "make it with state_quant=False"),
        "a graded_spikes_factor": (_graded(module.graded_spikes_factor), "leave it at 1 and scale the next layer's weights"),
        "surrogate_disable=True": (
            module.surrogate_disable and surrogate is None,
            "say which to use with surrogate=Surrogate(kind, slope)",
        ),
    }
    for given, (refused, instead) in refusals.items():
        if refused:
            raise UserError(f"{where} is {type(module).__name__} with {given}, which cannot be converted: {instead}")
    return Firing(reset == "zero", surrogate or names.read(module.spike_grad, where))


def _graded(factor: Tensor) -> bool:
    return isinstance(factor, nn.Parameter) or bool((factor != 1).any())
