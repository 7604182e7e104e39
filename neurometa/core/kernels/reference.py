"""The scan in plain torch: slow, differentiable to any order, and the definition that every other kernel must equal."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.neuron import Neuron


def states(neuron: Neuron, current: Tensor, steps: int, state: Any = None) -> Any:
    """Run `neuron.step` over time.

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
        state: state to continue from, default rest.
    Returns:
        The states, each field (steps, *batch, n).
    """
    inputs = current.unbind(0) * (steps if current.shape[0] == 1 else 1)
    state, found = neuron.rest(inputs[0]) if state is None else state, []
    for x in inputs:
        state = neuron.step(state, x)
        found.append(state)
    return type(state)(*map(torch.stack, zip(*found, strict=True)))


def scan(neuron: Neuron, current: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Spikes z and potentials v from rest, each (steps, *batch, n)."""
    found = states(neuron, current, steps)
    return found.z, found.v


def recurrent_scan(neuron: Neuron, current: Tensor, weight: Tensor, steps: int, state: Any = None) -> Any:
    """Run a population over time whose output returns to it one step later through `weight`.

    state[t] = neuron.step(state[t-1], current[t] + weight output[t-1])

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        weight: (n, n), post by pre.
        steps: number of time steps.
        state: state to continue from, default rest.
    Returns:
        The neuron's state, every field (steps, *batch, n).
    """
    inputs = current.unbind(0) * (steps if current.shape[0] == 1 else 1)
    state = neuron.rest(inputs[0]) if state is None else state
    states = []
    for x in inputs:
        state = neuron.step(state, x + F.linear(neuron.output(state), weight))
        states.append(state)
    return type(state)(*(torch.stack(field) for field in zip(*states, strict=True)))
