"""How an error at the outputs reaches the neurons: along the readout's own weights, or along weights of its own."""

import math
from typing import Any

import torch
from torch import Tensor

from neurometa.core.layer import Spiking
from neurometa.core.learnt import Broadcast
from neurometa.plasticity.stages import Stage

FEEDBACK = "eprop.feedback"
"""Slow parameter, with a population's name behind it: its feedback weights (outputs, *shape of the population)."""


def shapes(network: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every population by name."""
    found, shape = {}, network.shape
    for name, layer in network.layers:
        shape = layer.init(torch.Generator(), shape)[1]
        if isinstance(layer, Spiking):
            found[name] = shape
    return found


def drawn(shape: tuple[int, ...], outputs: int, generator: torch.Generator) -> Tensor:
    """Feedback weights (outputs, *shape), normal with variance 1 / neurons, so that an error arrives about as large as it left."""
    return torch.randn(outputs, *shape, generator=generator) / math.sqrt(math.prod(shape))


def broadcast(error: Tensor, weights: Tensor) -> Broadcast:
    """Send an error (time, batch, out) to the neurons of a population: L_j[t] = sum over k of B_kj error_k[t].

    Args:
        error: dE/doutput, back through the readout's filter.
        weights: B, (outputs, *shape); an episode with fewer outputs uses the first rows.
    Source:
        Bellec et al. 2020, doi:10.1038/s41467-020-17236-y: broadcast alignment.
    """
    return Broadcast(error, weights[: error.shape[-1]].flatten(1))


def undelayed(sent: Tensor | Broadcast, stage: Stage) -> Tensor | Broadcast:
    """The gradient of a population's spikes from that of what it sends, which leaves one step later where there is a delay."""
    if isinstance(sent, Broadcast):
        return sent.later() if stage.population.delay else sent
    return torch.cat([sent[1:], torch.zeros_like(sent[:1])]) if stage.population.delay else sent


def arriving(signal: Tensor, delay: int, under_way: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """What arrives at each step of a signal that is `delay` steps under way: signal[t - delay], and nothing before the first.

    Args:
        signal: as it leaves, (time, ...).
        delay: in steps.
        under_way: what left before `signal` and did not arrive, (delay, ...); None for nothing.
    Returns:
        The same shape as `signal`, and what is under way behind it.
    """
    if delay == 0:
        return signal, None
    before = signal.new_zeros(delay, *signal.shape[1:]) if under_way is None else under_way
    both = torch.cat([before, signal])
    return both[: len(signal)], both[len(signal) :]


def towards(z: Tensor, target: float, strength: float) -> Tensor:
    """Signal that holds firing rates at a target.

    E = strength / 2 * sum over neurons of (f - target)^2,   f = mean of z over time and examples
    dE/dz[t] = strength (f - target) / (T n)

    Args:
        z: spikes (time, batch, *shape).
    Returns:
        dE/dz, (time, batch, *shape).
    Source:
        Bellec et al. 2020, doi:10.1038/s41467-020-17236-y, firing rate regularisation (equation number not checked).
    """
    rate = z.mean((0, 1))
    return (strength * (rate - target) / (z.shape[0] * z.shape[1])).expand_as(z)
