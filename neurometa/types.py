"""The words every part shares: parameters, data, episodes, records. Plain containers, no behaviour."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Named tensors. *Slow* parameters belong to the outer loop, *fast* ones move within one episode; `slow + fast` is `{**slow, **fast}`."""


class Signal(NamedTuple):
    """Input to a network.

    `values` has shape (time, batch, *shape) where `timed`, else (batch, *shape): the same at every time step.
    """

    values: Tensor
    timed: bool


class Data(NamedTuple):
    """Labelled examples.

    Attributes:
        x: (n, *shape).
        y: (n,) class indices 0..ways-1, or (n, out) regression targets.
        noise: what a rule needs of chance, drawn before vmap; empty for a rule that needs none.
    """

    x: Tensor
    y: Tensor
    noise: Params = {}  # noqa: RUF012 - never changed


class Episode(NamedTuple):
    """One few-shot problem, or many along a leading task axis: adapt on `support`, be judged on `query`."""

    support: Data
    query: Data


class Record(NamedTuple):
    """What one run of a network left behind.

    Attributes:
        output: readout averaged over time, shape (batch, out).
        z: spikes (or activations) of each layer by name, shape (time, batch, *shape); untimed layers lack the time axis. Empty, like `v`,
            of a network run in segments, which keeps no time course.
        v: membrane potential of each spiking layer before its reset, same shapes as `z`.
        state: final state of each spiking layer, to continue from, by the names `<layer>.<field>` of its neuron's state.
        statistics: normalisation statistics measured in this run; empty where the parameters carried them.
    """

    output: Tensor
    z: Params
    v: Params
    state: Params
    statistics: Params


class Work(NamedTuple):
    """Operations of one adaptation, as scalar tensors: what a chip would have to do, for the energy estimators."""

    synaptic_updates: Tensor
    trace_updates: Tensor
    learning_signals: Tensor

    @staticmethod
    def of(synaptic_updates: float = 0, trace_updates: float = 0, learning_signals: float = 0) -> "Work":
        """Wrap plain numbers."""
        return Work(*(torch.tensor(float(n)) for n in (synaptic_updates, trace_updates, learning_signals)))


class Adapted(NamedTuple):
    """Result of plasticity on one support set.

    Attributes:
        fast: the weights it wrote.
        work: operations it took.
        finite: scalar bool tensor, False where a fast weight is not finite (checked outside vmap).
        statistics: normalisation statistics of the support set; empty where the slow parameters carried them.
    """

    fast: Params
    work: Work
    finite: Tensor
    statistics: Params


class Measures(NamedTuple):
    """What the queries said of one adapted task, or the mean over tasks.

    Attributes:
        loss, accuracy: on the queries; accuracy is 0..1. A regression's loss is its mean squared error, and its accuracy NaN.
        finite: whether the adapted weights are; over tasks, the share of them.
        statistics: normalisation statistics measured on the support.
    """

    loss: Tensor
    accuracy: Tensor
    finite: Tensor
    statistics: Params


class Network(Protocol):
    """Spiking or conventional: parameters go in, a record comes out."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without time and batch."""
        ...

    @property
    def vmappable(self) -> bool:
        """Whether a batch of tasks with their own weights is faster under vmap than in a loop."""
        ...

    @property
    def features(self) -> int:
        """Number of inputs of the readout."""
        ...

    def init(self, generator: torch.Generator) -> Params:
        """Draw initial parameters."""
        ...

    def signal(self, x: Tensor) -> Signal:
        """`x` as a signal: timed if it has a time axis before the batch axis."""
        ...

    def split(self) -> "tuple[Network, Network]":
        """The network before its readout, and the readout alone."""
        ...

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Simulate the whole window."""
        ...


class TaskFamily(Protocol):
    """Where episodes come from."""

    @property
    def ways(self) -> int:
        """Classes of an episode, or outputs of a regression."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        ...

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw `count` episodes; every tensor has a leading task axis."""
        ...
