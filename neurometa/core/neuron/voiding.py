"""Current-based leaky integrate-and-fire whose spike voids the next potential: snnTorch's reset to zero."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.current import CurrentLIFState
from neurometa.core.surrogate import Surrogate, spike


class VoidingLIF(NamedTuple):
    """Constants of a population with the reset to zero of snnTorch's Synaptic, Lapicque, RSynaptic and RLeaky, dimensionless.

    Unlike `CurrentLIF` with a hard reset, the input of the step after a spike is lost to the potential, though not to the current.
    Derivatives do not pass through the reset.

    Attributes:
        decay: factor by which the membrane keeps its potential over one step, 0..1.
        current_decay: factor by which the synaptic current stays over one step, 0..1; 0 for none.
        threshold, surrogate: as for `LIF`.
    """

    decay: Constant = 0.5
    current_decay: Constant = 0.0
    threshold: Constant = 1.0
    surrogate: Surrogate = Surrogate()

    def rest(self, like: Tensor) -> CurrentLIFState:
        """Zero potential and current, no spike."""
        zero = torch.zeros_like(like)
        return CurrentLIFState(zero, zero, zero)

    def step(self, state: CurrentLIFState, current: Float[Tensor, "*shape"]) -> CurrentLIFState:
        """Advance one time step: filter the input, leak, integrate, void, fire.

        i[t] = current_decay * i[t-1] + current[t]
        v[t] = (decay * v[t-1] + i[t]) * (1 - z[t-1])
        z[t] = 1 if v[t] > threshold else 0

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, what arrives from the synapses, shape (*batch, n).
        Source:
            snnTorch 1.0, `reset_mechanism="zero"` of these classes: U[t+1] = beta U[t] + I[t+1] - R (beta U[t] + I[t+1]).
        """
        i = self.current_decay * state.i + current
        v = (self.decay * state.v + i) * (1 - state.z.detach())
        return CurrentLIFState(v, spike(v - self.threshold, self.surrogate), i)

    def output(self, state: CurrentLIFState) -> Tensor:
        """Spikes."""
        return state.z
