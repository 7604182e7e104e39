"""Constants of neurons that are parameters: drawn from a distribution, meta-learned, or both, always within their range.

A constant c lives among the parameters as a number that may take any value:

    c = 1 / (1 + exp(-raw)),   raw = `logit_c`,   of what decays: decay, current_decay, rho, within 0..1
    c = exp(raw),              raw = `log_c`,     of what is positive: threshold, beta
"""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from neurometa.core.check import RANGES
from neurometa.errors import UserError
from neurometa.types import Params


class Distribution(Protocol):
    """Where time constants tau come from, in time steps; decay = exp(-1 / tau)."""

    @property
    def typical(self) -> float:
        """One number that stands for all, in time steps."""
        ...

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Time constants in time steps, all above 0."""
        ...


class Same(NamedTuple):
    """Every neuron has time constant `tau`."""

    tau: float

    @property
    def typical(self) -> float:
        """It."""
        return self.tau

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Nothing is drawn."""
        return torch.full(shape, self.tau)


class Uniform(NamedTuple):
    """tau uniform from `low` to `high`."""

    low: float
    high: float

    @property
    def typical(self) -> float:
        """The mean."""
        return (self.low + self.high) / 2

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw."""
        return self.low + (self.high - self.low) * torch.rand(shape, generator=generator)


class Gamma(NamedTuple):
    """tau of a gamma distribution with mean `tau` and shape `shape`; its standard deviation is tau / sqrt(shape).

    Source:
        Heterogeneous time constants: Perez-Nieves et al. 2021, doi:10.1038/s41467-021-26022-3.
    """

    tau: float
    shape: float

    @property
    def typical(self) -> float:
        """The mean."""
        return self.tau

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw."""
        drawn = torch._standard_gamma(torch.full(shape, self.shape), generator=generator)  # pyright: ignore[reportPrivateImportUsage]
        return drawn * (self.tau / self.shape)


class LogNormal(NamedTuple):
    """log tau normal around log `tau`, the median, with standard deviation `spread`."""

    tau: float
    spread: float

    @property
    def typical(self) -> float:
        """The median."""
        return self.tau

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw."""
        return self.tau * (self.spread * torch.randn(shape, generator=generator)).exp()


class Free(NamedTuple):
    """A constant of a population that lives among the parameters of its layer.

    Attributes:
        name: the neuron's field.
        each: one value for each "layer", "channel" (first axis of the layer's shape) or "neuron".
        learnt: whether it has a gradient; otherwise it stays as it was drawn.
        start: distribution of its time constants; None starts all at the neuron's own number.
    """

    name: str
    each: str = "neuron"
    learnt: bool = True
    start: Distribution | None = None

    @property
    def key(self) -> str:
        """Name of the parameter."""
        return f"logit_{self.name}" if self._decays else f"log_{self.name}"

    @property
    def _decays(self) -> bool:
        return RANGES[self.name][1] == 1.0

    def init(self, neuron: Any, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw the parameter of a layer of `shape`.

        Raises:
            UserError: a start on the border of the range, where no step of learning leads away.
        """
        size = {"layer": (), "channel": (shape[0], *[1] * (len(shape) - 1)), "neuron": shape}[self.each]
        if self.start is not None:
            rate = 1 / self.start.draw(size, generator)
            return -rate - (-torch.expm1(-rate)).log()  # logit of exp(-rate), also where that is not to be told from 0 or 1
        value, (low, high) = getattr(neuron, self.name), RANGES[self.name]
        if not low < value < high:
            allowed = "a number between 0 and 1" if self._decays else "a number above 0"
            raise UserError(f"{type(neuron).__name__} with a learnt {self.name} that starts at {value} given, {allowed} expected")
        return torch.full(size, math.log(value / (1 - value)) if self._decays else math.log(value))

    def value(self, raw: Tensor) -> Tensor:
        """The constant that the parameter stands for."""
        raw = raw if self.learnt else raw.detach()
        return raw.sigmoid() if self._decays else raw.exp()


def with_params(neuron: Any, free: tuple[Free, ...], params: Params) -> Any:
    """The neuron with its free constants taken from its layer's parameters."""
    return neuron._replace(**{constant.name: constant.value(params[constant.key]) for constant in free}) if free else neuron
