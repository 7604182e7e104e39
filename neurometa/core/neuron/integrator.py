"""A leaky integrator that never fires: a readout."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant
from neurometa.core.neuron.lif import LIFState


class LeakyIntegrator(NamedTuple):
    """Constant of a non-spiking population.

    Attributes:
        decay: factor by which the membrane keeps its potential over one step, 0..1.
    """

    decay: Constant = 0.9

    def rest(self, like: Tensor) -> LIFState:
        """Zero potential."""
        zero = torch.zeros_like(like)
        return LIFState(zero, zero)

    def step(self, state: LIFState, current: Float[Tensor, "*shape"]) -> LIFState:
        """Advance one time step: leak and integrate.

        v[t] = decay * v[t-1] + (1 - decay) * current[t]
        z[t] = v[t]                                         (graded: what it sends is its potential)

        Its mean over a window is what `layer.TimeAverage` computes without stepping.

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input at step t, same unit as `v`, shape (*batch, n).
        Source:
            The readout of Bellec et al. 2020, doi:10.1038/s41467-020-17236-y, with its input scaled so that a constant one is reached.
        """
        v = self.decay * state.v + (1 - self.decay) * current
        return LIFState(v, v)

    def output(self, state: LIFState) -> Tensor:
        """Potentials."""
        return state.v
