"""Sigma-delta: a conventional unit that sends only changes, as graded spikes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.core.neuron.base import Constant


class SigmaDeltaState(NamedTuple):
    """State after a step: input level `v`, message `z`, and `sent`, the sum of all messages, each (*batch, n)."""

    v: Float[Tensor, "*shape"]
    z: Float[Tensor, "*shape"]
    sent: Float[Tensor, "*shape"]


class SigmaDelta(NamedTuple):
    """Constant of a population of rectified units that speak of their changes alone.

    Attributes:
        threshold: change of the activation above which (strictly) it is sent.
    """

    threshold: Constant = 0.1

    def rest(self, like: Tensor) -> SigmaDeltaState:
        """Nothing received, nothing sent."""
        zero = torch.zeros_like(like)
        return SigmaDeltaState(zero, zero, zero)

    def step(self, state: SigmaDeltaState, current: Float[Tensor, "*shape"]) -> SigmaDeltaState:
        """Advance one time step: rectify, compare with what was sent, send the difference if it is large.

        v[t] = current[t]
        d[t] = max(0, v[t]) - sent[t-1]
        z[t] = d[t] if |d[t]| > threshold else 0
        sent[t] = sent[t-1] + z[t]

        A chip sends z and sums it up again where it arrives (the sigma). Synapses are linear, so that sum is the synapses' product with
        `sent`: this is what `output` gives, and why `current` is a level and not a change. The gate has no derivative, a message passes as
        if it were always sent, so that the gradient is that of the conventional network.

        Args:
            state: state after step t-1, fields of shape (*batch, n).
            current: input level at step t, shape (*batch, n).
        Source:
            O'Connor & Welling 2016, arXiv:1611.02024 (messages quantised there, graded here, as Loihi 2 sends them).
        """
        d = current.relu() - state.sent
        z = d - torch.where(d.abs() > self.threshold, torch.zeros_like(d), d).detach()
        return SigmaDeltaState(current, z, state.sent + z)

    def output(self, state: SigmaDeltaState) -> Tensor:
        """The level that the receivers have summed up."""
        return state.sent
