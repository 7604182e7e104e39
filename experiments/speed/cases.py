"""What is timed: two spiking networks, three ways of adapting them, and the same random episodes for everyone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.encode import Direct
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import LIF
from neurometa.core.surrogate import Surrogate
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.types import Data, Episode, Params

WAYS, SHOTS, QUERIES, UPDATES, RATE = 5, 1, 5, 5, 0.1
"""5-way 1-shot with 5 queries a class, adapted by 5 gradient steps."""

NEURON = LIF(decay=0.5, threshold=1.0, hard_reset=True, reset_gradient=False, surrogate=Surrogate("fast-sigmoid", 3.0))
"""What snnTorch's `Leaky(reset_mechanism="zero")` computes: it holds the reset constant in derivatives."""


class Case(NamedTuple):
    """A network, as ours and as the pieces from which a peer builds the same one.

    Attributes:
        name: as published.
        network: ours.
        steps: time steps; the input is held constant over them.
        layers: names of the spiking layers' synapses.
        synapse: (input, weight, bias) -> current.
        shrink: applied to the spikes of each layer, and how far the picture shrinks by it.
    """

    name: str
    network: Stack
    steps: int
    layers: tuple[str, ...]
    synapse: Callable[..., Tensor]
    shrink: Callable[[Tensor], Tensor]

    def learner(self, fast: tuple[str, ...]) -> Learner:
        """Ours, with the weights that match `fast` adapting."""
        return Learner(self.network, BPTT(UPDATES, RATE, fast=fast), Direct(self.steps))

    def params(self, dtype: torch.dtype) -> Params:
        """The initial weights that everyone starts from, large enough that every layer spikes."""
        params = self.network.init(torch.Generator().manual_seed(1))
        return {name: (value if name.startswith("readout") else 2 * value).to(dtype) for name, value in params.items()}

    def episodes(self, tasks: int, dtype: torch.dtype) -> Episode:
        """Random black and white pictures, a quarter of whose pixels are ink."""
        generator = torch.Generator().manual_seed(2)

        def drawn(each: int) -> Data:
            ink = torch.rand((tasks, WAYS * each, *self.network.shape), generator=generator) < 0.25
            return Data(ink.to(dtype), torch.arange(WAYS).repeat(tasks, each))

        return Episode(drawn(SHOTS), drawn(QUERIES))


def conv(channels: tuple[int, ...] = (32, 32), steps: int = 8, size: int = 28) -> Case:
    """3x3 convolutions on a picture of `size` x `size`, each followed by neurons and a 2x2 average of their spikes."""
    stride, pool = (1,) * len(channels), (2,) * len(channels)
    network = conv_network(
        (1, size, size), channels, stride, pool, normalise=False, neuron=NEURON, steps=steps, features="spikes", outputs=WAYS
    )
    names = tuple(f"conv{i}" for i in range(1, len(channels) + 1))
    name = f"conv-{'-'.join(map(str, channels))}-T{steps}"
    return Case(name, network, steps, names, partial(F.conv2d, padding=1), partial(F.avg_pool2d, kernel_size=2))


def mlp(inputs: int = 196, widths: tuple[int, ...] = (128, 128), steps: int = 25) -> Case:
    """Dense layers of spiking neurons and a linear readout of their rates."""
    network = mlp_network((inputs,), widths, neuron=NEURON, steps=steps, outputs=WAYS)
    names = tuple(f"linear{i}" for i in range(1, len(widths) + 1))
    return Case(f"mlp-{inputs}-{'-'.join(map(str, widths))}-{WAYS}-T{steps}", network, steps, names, F.linear, lambda z: z)
