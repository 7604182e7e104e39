"""Integrate-and-fire without leak."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.lif import LIFState, carry
from neurometa.core.surrogate import Surrogate, spike


class IF(NamedTuple):
    """Constants of an integrate-and-fire population: `LIF` with decay = 1.

    Attributes:
        threshold, hard_reset, reset_gradient, surrogate: as for `LIF`.
    """

    threshold: Constant = 1.0
    hard_reset: bool = True
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()

    @property
    def decay(self) -> float:
        """Nothing leaks."""
        return 1.0

    def rest(self, like: Tensor) -> LIFState:
        """Zero potential, no spike."""
        zero = torch.zeros_like(like)
        return LIFState(zero, zero)

    def step(self, state: LIFState, current: Float[Tensor, "*shape"]) -> LIFState:
        """Advance one time step: reset, integrate, fire.

        v[t] = v[t-1] * (1 - z[t-1]) + current[t]           (hard reset)
        v[t] = v[t-1] - threshold * z[t-1] + current[t]     (subtractive)
        z[t] = 1 if v[t] > threshold else 0

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, shape (*batch, n).
        Source:
            Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682 (both resets, named there reset to zero and by subtraction).
        """
        v = carry(self, state) + current
        return LIFState(v, spike(v - self.threshold, self.surrogate))

    def output(self, state: LIFState) -> Tensor:
        """Spikes."""
        return state.z
