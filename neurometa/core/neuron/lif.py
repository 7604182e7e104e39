"""Leaky integrate-and-fire."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant, Resetting, State
from neurometa.core.surrogate import Surrogate, spike


class LIFState(NamedTuple):
    """State after a step: potential `v` before its reset and spike `z`, both (*batch, n)."""

    v: Float[Tensor, "*shape"]
    z: Float[Tensor, "*shape"]


class LIF(NamedTuple):
    """Constants of a leaky integrate-and-fire population, dimensionless.

    Attributes:
        decay: factor by which the membrane keeps its potential over one step, 0..1.
        threshold: potential above which (strictly) the neuron fires.
        hard_reset: a spike sets the potential to 0 (as Loihi does); otherwise it subtracts `threshold`.
        reset_gradient: whether derivatives pass through the reset.
        surrogate: derivative of the spike.
    """

    decay: Constant = 0.5
    threshold: Constant = 1.0
    hard_reset: bool = True
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()

    def rest(self, like: Tensor) -> LIFState:
        """Zero potential, no spike."""
        zero = torch.zeros_like(like)
        return LIFState(zero, zero)

    def step(self, state: LIFState, current: Float[Tensor, "*shape"]) -> LIFState:
        """Advance one time step: leak, reset, integrate, fire.

        v[t] = decay * v[t-1] * (1 - z[t-1]) + current[t]           (hard reset)
        v[t] = decay * v[t-1] - threshold * z[t-1] + current[t]     (subtractive)
        z[t] = 1 if v[t] > threshold else 0

        Args:
            state: state after step t-1; `v` and `z` have shape (*batch, n).
            current: input at step t, same unit as `v`, shape (*batch, n).
        Returns:
            State after step t.
        Source:
            Bellec et al. 2020, doi:10.1038/s41467-020-17236-y (subtractive reset).
            Hard reset as Loihi's: Davies et al. 2018, doi:10.1109/MM.2018.112130359.
        """
        v = carry(self, state) + current
        return LIFState(v, spike(v - self.threshold, self.surrogate))

    def output(self, state: LIFState) -> Tensor:
        """Spikes."""
        return state.z


lif_step = LIF.step


def carry(neuron: Resetting, state: State) -> Float[Tensor, "*shape"]:
    """What of the potential remains at the next step, leak and reset applied.

    hard reset   decay * v * (1 - z)
    subtractive  decay * v - threshold * z
    """
    z = state.z if neuron.reset_gradient else state.z.detach()
    if neuron.hard_reset:
        return neuron.decay * state.v * (1 - z)
    return neuron.decay * state.v - neuron.threshold * z
