"""Leaky integrate-and-fire driven by a synaptic current that decays on its own."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.lif import carry
from neurometa.core.surrogate import Surrogate, spike


class CurrentLIFState(NamedTuple):
    """State after a step: potential `v` before its reset, spike `z`, synaptic current `i`, each (*batch, n)."""

    v: Float[Tensor, "*shape"]
    z: Float[Tensor, "*shape"]
    i: Float[Tensor, "*shape"]


class CurrentLIF(NamedTuple):
    """Constants of a current-based population with two time constants, dimensionless.

    Attributes:
        decay: factor by which the membrane keeps its potential over one step, 0..1.
        current_decay: factor by which the synaptic current stays over one step, 0..1.
        threshold, hard_reset, reset_gradient, surrogate: as for `LIF`. A spike leaves the current as it is.
    """

    decay: Constant = 0.5
    current_decay: Constant = 0.5
    threshold: Constant = 1.0
    hard_reset: bool = True
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()

    def rest(self, like: Tensor) -> CurrentLIFState:
        """Zero potential and current, no spike."""
        zero = torch.zeros_like(like)
        return CurrentLIFState(zero, zero, zero)

    def step(self, state: CurrentLIFState, current: Float[Tensor, "*shape"]) -> CurrentLIFState:
        """Advance one time step: filter the input, then as `LIF`.

        i[t] = current_decay * i[t-1] + current[t]
        v[t] = decay * v[t-1] * (1 - z[t-1]) + i[t]           (hard reset)
        v[t] = decay * v[t-1] - threshold * z[t-1] + i[t]     (subtractive)
        z[t] = 1 if v[t] > threshold else 0

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, what arrives from the synapses, shape (*batch, n).
        Source:
            The neuron of Loihi: Davies et al. 2018, doi:10.1109/MM.2018.112130359 (1 - decay are its delta_v and delta_u over 4096).
        """
        i = self.current_decay * state.i + current
        v = carry(self, state) + i
        return CurrentLIFState(v, spike(v - self.threshold, self.surrogate), i)

    def output(self, state: CurrentLIFState) -> Tensor:
        """Spikes."""
        return state.z
