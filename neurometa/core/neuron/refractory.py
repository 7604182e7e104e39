"""Leaky integrate-and-fire with an absolute refractory time."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.lif import carry
from neurometa.core.surrogate import Surrogate, spike


class RefractoryLIFState(NamedTuple):
    """State after a step: potential `v` before its reset, spike `z`, steps `r` still to rest, each (*batch, n)."""

    v: Float[Tensor, "*shape"]
    z: Float[Tensor, "*shape"]
    r: Float[Tensor, "*shape"]


class RefractoryLIF(NamedTuple):
    """Constants of a population that rests after every spike, dimensionless.

    Attributes:
        refractory: steps after a spike in which the neuron takes no input and cannot fire; 0 is `LIF`.
        decay, threshold, hard_reset, reset_gradient, surrogate: as for `LIF`.
    """

    decay: Constant = 0.5
    threshold: Constant = 1.0
    refractory: int = 2
    hard_reset: bool = True
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()

    def rest(self, like: Tensor) -> RefractoryLIFState:
        """Zero potential, no spike, ready to fire."""
        zero = torch.zeros_like(like)
        return RefractoryLIFState(zero, zero, zero)

    def step(self, state: RefractoryLIFState, current: Float[Tensor, "*shape"]) -> RefractoryLIFState:
        """Advance one time step: leak, reset, and where the neuron does not rest, integrate and fire.

        free = 1 if r[t-1] = 0 else 0
        v[t] = decay * v[t-1] * (1 - z[t-1]) + free * current[t]           (hard reset)
        v[t] = decay * v[t-1] - threshold * z[t-1] + free * current[t]     (subtractive)
        z[t] = free if v[t] > threshold else 0
        r[t] = refractory where it fired, else max(r[t-1] - 1, 0)

        With hard reset the potential is held at 0 while the neuron rests, as in Lava's refractory neuron. Who rests has no derivative.

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, same unit as `v`, shape (*batch, n).
        Source:
            Absolute refractoriness: Gerstner et al. 2014, Neuronal Dynamics (Cambridge University Press).
        """
        free = (state.r == 0).to(current)
        v = carry(self, state) + free * current
        above = v - self.threshold
        fired = (above > 0) & (free > 0)
        rests = torch.where(fired, torch.full_like(state.r, self.refractory), (state.r - 1).clamp(min=0))
        return RefractoryLIFState(v, free * spike(above, self.surrogate), rests.detach())

    def output(self, state: RefractoryLIFState) -> Tensor:
        """Spikes."""
        return state.z
