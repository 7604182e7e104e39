"""A network as a chip sees it, still in floating point: populations, each with the synapses that reach it, everything linear folded in."""

from typing import NamedTuple

import numpy as np

from neurometa.core.network import Stack

ALWAYS = "always"
"""A population of one neuron that fires in every step, through which a bias reaches neurons whose current is filtered."""


class Synapse(NamedTuple):
    """Weights from a population to another.

    Attributes:
        name, source: of the synapses and of what feeds them, "input" for the input.
        weight: float64, (post, pre), or (post, pre, kernel, kernel) of a convolution.
        stride, padding, pool: of a convolution over sums of pool x pool spikes.
    """

    name: str
    source: str
    weight: np.ndarray
    stride: int = 1
    padding: int = 0
    pool: int = 1

    @property
    def conv(self) -> bool:
        """Whether this is a convolution."""
        return self.weight.ndim == 4


class Stage(NamedTuple):
    """A population and what reaches it, in the units of the float network.

    Attributes:
        name, shape: of the population.
        synapses: what reaches it; the recurrent ones are the last.
        bias: constant input of each neuron, float64 (n,).
        decay, current_decay, threshold: float64 (n,); the threshold is infinite where the population only accumulates.
        onset: step of the chip's clock at which the float network's first step takes place here.
        layer: the float network's layer of these neurons, "" where there is none.
        beta, rho: float64 (n,): by how much a spike raises the threshold, and the factor by which that stays; empty where it does not.
    """

    name: str
    shape: tuple[int, ...]
    synapses: tuple[Synapse, ...]
    bias: np.ndarray
    decay: np.ndarray
    current_decay: np.ndarray
    threshold: np.ndarray
    onset: int
    layer: str
    beta: np.ndarray = np.zeros(0)
    rho: np.ndarray = np.zeros(0)

    @property
    def adapts(self) -> bool:
        """Whether spikes raise the threshold."""
        return bool(self.beta.any())

    @property
    def accumulates(self) -> bool:
        """Whether these neurons never fire."""
        return bool(np.isinf(self.threshold).all())


class Folded(NamedTuple):
    """What runs on the chip and what is left to the host.

    Attributes:
        shape: of one input.
        kind: of the input, "spikes" or "bias".
        stages: in order; the last is read out.
        steps: time steps of the float network's window.
        unread: how many of its last steps the answer does not see, because the last spikes are still under way.
        host: what the host computes from that, the readout included.
    """

    shape: tuple[int, ...]
    kind: str
    stages: tuple[Stage, ...]
    steps: int
    unread: int
    host: Stack

    @property
    def first(self) -> Stage:
        """The population that the input reaches."""
        return next(stage for stage in self.stages if stage.synapses)
