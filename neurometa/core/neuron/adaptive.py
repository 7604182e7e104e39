"""Leaky integrate-and-fire with a threshold that rises with every spike."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.lif import carry
from neurometa.core.surrogate import Surrogate, spike


class ALIFState(NamedTuple):
    """State after a step: potential `v` before its reset, spike `z`, threshold adaptation `a`, each (*batch, n)."""

    v: Float[Tensor, "*shape"]
    z: Float[Tensor, "*shape"]
    a: Float[Tensor, "*shape"]


class ALIF(NamedTuple):
    """Constants of an adaptive population, the neuron of LSNNs, dimensionless.

    Attributes:
        decay: factor by which the membrane keeps its potential over one step, 0..1.
        threshold: threshold of a neuron that has not fired; also what a subtractive reset takes away.
        beta: by how much a spike raises the threshold.
        rho: factor by which the adaptation stays over one step, 0..1; exp(-1 / tau_a) for a time constant of tau_a steps.
        hard_reset, reset_gradient, surrogate: as for `LIF`. The derivative through the adaptation is never cut.
    """

    decay: Constant = 0.5
    threshold: Constant = 1.0
    beta: Constant = 0.2
    rho: Constant = 0.9
    hard_reset: bool = True
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()

    def rest(self, like: Tensor) -> ALIFState:
        """Zero potential, no spike, no adaptation."""
        zero = torch.zeros_like(like)
        return ALIFState(zero, zero, zero)

    def step(self, state: ALIFState, current: Float[Tensor, "*shape"]) -> ALIFState:
        """Advance one time step: adapt, leak, reset, integrate, fire.

        a[t] = rho * a[t-1] + z[t-1]
        v[t] = decay * v[t-1] * (1 - z[t-1]) + current[t]           (hard reset)
        v[t] = decay * v[t-1] - threshold * z[t-1] + current[t]     (subtractive)
        z[t] = 1 if v[t] > threshold + beta * a[t] else 0

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, same unit as `v`, shape (*batch, n).
        Source:
            Bellec et al. 2020, doi:10.1038/s41467-020-17236-y (subtractive reset by the constant part of the threshold).
        """
        a = self.rho * state.a + state.z
        v = carry(self, state) + current
        return ALIFState(v, spike(v - self.threshold - self.beta * a, self.surrogate), a)

    def output(self, state: ALIFState) -> Tensor:
        """Spikes."""
        return state.z
