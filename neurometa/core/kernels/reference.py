"""The scan in plain torch: slow, differentiable to any order, and the definition that every other kernel must equal."""

import torch
from torch import Tensor

from neurometa.core.neuron import LIF, LIFState, lif_step


def scan(neuron: LIF, current: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Run `lif_step` over time from rest.

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
    Returns:
        Spikes z and potentials v, each (steps, *batch, n).
    """
    inputs = current.unbind(0) * (steps if current.shape[0] == 1 else 1)
    rest = torch.zeros_like(inputs[0])
    state, states = LIFState(rest, rest), []
    for x in inputs:
        state = lif_step(neuron, state, x)
        states.append(state)
    return torch.stack([s.z for s in states]), torch.stack([s.v for s in states])
