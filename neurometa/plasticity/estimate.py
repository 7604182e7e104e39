"""What e-prop's two ways of computing share, at once and chunk by chunk: what they ask of the rule, and what they give."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from neurometa.core.layer import TimeAverage
from neurometa.plasticity.generator import Generator
from neurometa.plasticity.stages import Parts, Stage
from neurometa.types import Params


class Rule(Protocol):
    """What is asked of the rule; its attributes are those of `eprop.EProp`."""

    @property
    def ways(self) -> int | None:
        """Factor of the loss."""
        ...

    @property
    def feedback(self) -> str:
        """Kind of feedback."""
        ...

    @property
    def generator(self) -> Generator:
        """What emits the signals with feedback "generator"."""
        ...

    @property
    def output(self) -> str:
        """What the loss is of."""
        ...

    @property
    def truncate(self) -> bool:
        """Whether traces are constant in the outer gradient."""
        ...

    @property
    def target_rate(self) -> float:
        """Firing rate to be held."""
        ...

    @property
    def regularisation(self) -> float:
        """How strongly."""
        ...

    @property
    def trace(self) -> str:
        """What a trace remembers."""
        ...

    @property
    def chunk(self) -> int:
        """Steps that are worked on at a time."""
        ...

    @property
    def online(self) -> bool:
        """Whether weights move after each chunk."""
        ...

    @property
    def signal_delay(self) -> int:
        """Steps between a learning signal and the traces that it meets."""
        ...

    def traced(self, neuron: Any, fields: Any) -> tuple[Any, Any]:
        """A population as its traces see it."""
        ...


class Found(NamedTuple):
    """A gradient and what it took.

    Attributes:
        weights: dE/dw of every fast weight.
        statistics: normalisation statistics that were measured.
        spikes: number of spikes of all populations.
        work: synaptic updates, trace updates and learning-signal operations.
    """

    weights: Params
    statistics: Params
    spikes: Tensor
    work: Tensor


def work(fast: Params, populations: list[tuple[Stage, Tensor]], output: Tensor) -> Tensor:
    """Operations of one update: a weight each, a trace a neuron and step, a product of each output and neuron a step."""
    neurons = float(sum(z.numel() for stage, z in populations if any(stage.owns(name) for name in fast)))
    return torch.tensor([float(sum(value.numel() for value in fast.values())), neurons, neurons * output.shape[-1]])


def spikes(populations: list[Tensor]) -> Tensor:
    """Number of spikes of all populations."""
    return torch.stack([z.detach().sum() for z in populations]).sum()


def average(taken: Parts) -> TimeAverage:
    """How the readout averages over time."""
    return next((layer for _, layer in taken.readout if isinstance(layer, TimeAverage)), TimeAverage())
