"""Small networks whose operations can be counted by hand or by brute force."""

import numpy as np
import torch

from neurometa.core.layer import Conv2d, Flatten, Linear, Norm, Pool, Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.core.neuron import LIF

LIVELY = LIF(decay=0.6, threshold=0.4)
STEPS = 5


def conv(neuron=LIVELY, side=7, *, behind=False, features="current", kind="average"):
    """Two convolutions and a readout, on pictures with a side that no pool divides; `behind` pools currents, not spikes."""
    spiking, pool = Spiking(neuron, STEPS), ("pool1", Pool(2, kind))
    first = [pool, ("lif1", spiking)] if behind else [("lif1", spiking), pool]
    last = [("average", TimeAverage()), ("conv2", Conv2d(4, 3, 2)), ("norm2", Norm())]
    if features == "spikes":
        last = [("conv2", Conv2d(4, 3, 2)), ("norm2", Norm()), ("lif2", spiking), ("average", TimeAverage())]
    layers = (("conv1", Conv2d(3)), ("norm1", Norm(1.0, 0.3)), *first, *last, ("flatten", Flatten()), ("readout", Linear(2)))
    return Stack((1, side, side), layers, False)


def mlp(neuron=LIVELY):
    """6 inputs, 5 spiking neurons, 3 readouts."""
    layers = (("linear1", Linear(5)), ("lif1", Spiking(neuron, STEPS)), ("average", TimeAverage()), ("readout", Linear(3)))
    return Stack((6,), layers, True)


def pictures(*shape, chance=0.4, seed=1):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < chance).float()


def brute_events(linear, spikes):
    """Synaptic events of (steps, samples, *shape) spikes through a linear map with no zero weights: every spike alone through the map.

    An output that moves when one spike is shown alone is one synapse; nothing else is assumed of the map.
    """
    events = np.zeros(spikes.shape[1])
    units = spikes[0, 0].numel()
    alone = torch.eye(units).reshape(units, *spikes.shape[2:])
    fan_out = (linear(alone).flatten(1) != 0).sum(1)
    for t in range(len(spikes)):
        for b in range(spikes.shape[1]):
            events[b] += int((spikes[t, b].flatten() * fan_out).sum())
    return events
