"""What every neuron offers, so that scan, layers and rules need not know its kind."""

from typing import Any, Protocol

from torch import Tensor

Constant = float | Tensor
"""A constant of a population: one number, or a tensor that broadcasts against (*batch, n) from the right, such as one value a neuron."""


class State(Protocol):
    """State after a step, a NamedTuple of tensors (*batch, n): potential `v`, spike `z`, then what else the neuron keeps."""

    @property
    def v(self) -> Tensor:
        """Potential before its reset; always the first field."""
        ...

    @property
    def z(self) -> Tensor:
        """What was sent at the last step: 0 or 1 of a spiking neuron; always the second field."""
        ...

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Any: ...


class Neuron(Protocol):
    """Constants of a population, a NamedTuple, with two pure functions of its state and one of what it sends.

    Where nothing else is said, `rest` is zero everywhere and `output` is `z`.
    """

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def _replace(self, **changes: Any) -> Any: ...

    def rest(self, like: Tensor) -> Any:
        """State before any input; every field has the shape, type and device of `like`, a current (*batch, n)."""
        ...

    def step(self, state: Any, current: Tensor) -> Any:
        """State after one more time step with input `current` (*batch, n)."""
        ...

    def output(self, state: Any) -> Tensor:
        """What the next synapses multiply, of one state or of a whole window (time, *batch, n) of them."""
        ...


class Resetting(Protocol):
    """A neuron whose membrane leaks and is reset, see `carry`."""

    @property
    def decay(self) -> Constant:
        """Factor by which the membrane keeps its potential over one step."""
        ...

    @property
    def threshold(self) -> Constant:
        """What a subtractive reset takes away."""
        ...

    @property
    def hard_reset(self) -> bool:
        """Whether a spike sets the potential to 0."""
        ...

    @property
    def reset_gradient(self) -> bool:
        """Whether derivatives pass through the reset."""
        ...
