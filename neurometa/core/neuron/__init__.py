"""Neurons: constants, state and one pure step each; one neuron a file, all used through the same three functions (`base.Neuron`)."""

from neurometa.core.neuron.adaptive import ALIF, ALIFState
from neurometa.core.neuron.base import Constant, Neuron, Resetting, State
from neurometa.core.neuron.current import CurrentLIF, CurrentLIFState
from neurometa.core.neuron.integrate import IF
from neurometa.core.neuron.integrator import LeakyIntegrator
from neurometa.core.neuron.lif import LIF, LIFState, carry, lif_step
from neurometa.core.neuron.refractory import RefractoryLIF, RefractoryLIFState
from neurometa.core.neuron.sigma_delta import SigmaDelta, SigmaDeltaState
from neurometa.core.neuron.voiding import VoidingLIF

__all__ = [
    "ALIF",
    "IF",
    "LIF",
    "ALIFState",
    "Constant",
    "CurrentLIF",
    "CurrentLIFState",
    "LIFState",
    "LeakyIntegrator",
    "Neuron",
    "RefractoryLIF",
    "RefractoryLIFState",
    "Resetting",
    "SigmaDelta",
    "SigmaDeltaState",
    "State",
    "VoidingLIF",
    "carry",
    "lif_step",
]
