"""The units of a network from their configuration: a neuron's constants, and which of them are parameters."""

import math

from neurometa.baselines.relu import ReLU
from neurometa.core import constants
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, Neuron, RefractoryLIF, SigmaDelta
from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError
from neurometa.experiment import config

NEURONS: dict[type, type] = {
    config.LIF: LIF,
    config.IF: IF,
    config.CurrentLIF: CurrentLIF,
    config.ALIF: ALIF,
    config.RefractoryLIF: RefractoryLIF,
    config.SigmaDelta: SigmaDelta,
}
"""The neuron that each kind stands for."""


def neuron(unit: config.Spiking | config.ReLU) -> Neuron | ReLU:
    """Build the unit; a constant that is a parameter has the number that it starts around."""
    if isinstance(unit, config.ReLU):
        return ReLU()
    given = {name: getattr(unit, name) for name in unit.__struct_fields__}
    fields = {name: _number(name, value) for name, value in given.items() if name not in ("reset", "surrogate")}
    if "surrogate" in given:
        fields |= {"hard_reset": given["reset"] == "hard", "surrogate": Surrogate(given["surrogate"].kind, given["surrogate"].slope)}
    return NEURONS[type(unit)](**fields)


def free(unit: config.Spiking | config.ReLU) -> tuple[constants.Free, ...]:
    """The constants that are parameters of every layer."""
    found = []
    for name in unit.__struct_fields__:
        value = getattr(unit, name)
        if isinstance(value, config.LearntDecay | config.LearntPositive):
            found.append(constants.Free(name, value.each))
        elif isinstance(value, config.Tau | config.UniformTau | config.GammaTau | config.LogNormalTau):
            found.append(constants.Free(name, value.each, value.learnt, _distribution(name, value)))
    return tuple(found)


def leak(unit: config.Spiking | config.ReLU) -> float:
    """The decay of the neurons, for a readout that leaks as they do.

    Raises:
        UserError: they have none, or not one for all.
    """
    decay = getattr(unit, "decay", None)
    kind = unit.__struct_config__.tag
    if decay is None:
        raise UserError(
            f"neuron {kind} has no membrane that leaks, network.readout = 'membrane' needs one: choose readout rate, or neuron lif"
        )
    if not isinstance(decay, float):
        raise UserError("network.readout = 'membrane' leaks as the neurons do, whose decay is not one number: choose readout rate")
    return decay


def _number(name: str, value: object) -> object:
    if isinstance(value, config.LearntDecay | config.LearntPositive):
        return value.start
    if isinstance(value, config.Tau | config.UniformTau | config.GammaTau | config.LogNormalTau):
        return math.exp(-1 / _distribution(name, value).typical)
    return value


def _distribution(name: str, asked: config.Tau | config.UniformTau | config.GammaTau | config.LogNormalTau) -> constants.Distribution:
    if isinstance(asked, config.Tau):
        return constants.Same(asked.tau)
    if isinstance(asked, config.GammaTau):
        return constants.Gamma(asked.tau, asked.shape)
    if isinstance(asked, config.LogNormalTau):
        return constants.LogNormal(asked.tau, asked.spread)
    if asked.low >= asked.high:
        raise UserError(f"network.neuron.{name} with low = {asked.low} and high = {asked.high} given, low below high expected")
    return constants.Uniform(asked.low, asked.high)
