"""Problems small enough for exact checks: float64, toy episodes, toy learners."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from neurometa.core.neuron import LIF
from neurometa.core.surrogate import Surrogate
from neurometa.types import Adapted, Data, Episode, Network, Params


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Everything in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


LIVELY = LIF(decay=0.7, threshold=0.6)
"""Fires on the toy inputs."""

SMOOTH = LIF(decay=0.7, threshold=0.6, surrogate=Surrogate("sigmoid", 3.0, smooth=True))
"""Its spikes are a differentiable function, so that finite differences can judge a derivative."""


class Switches(NamedTuple):
    """A toy task family: pictures of switches. The first `telling` have a setting of their own in each class of an episode, the rest are
    thrown anew for every picture, so that only who learnt which switches tell does well from one example.
    """

    ways: int = 2
    shots: int = 1
    queries: int = 3
    shape: tuple[int, ...] = (1, 4, 4)
    telling: int = 6

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw episodes."""
        each = self.shots + self.queries
        size = math.prod(self.shape)
        x = (torch.rand(count, self.ways, each, size, generator=generator) < 0.5).to(torch.get_default_dtype())
        setting = (torch.rand(count, self.telling, generator=generator) < 0.5).to(x)
        flips = torch.randint(2, (self.ways, self.telling), generator=generator)
        flips[0], flips[1] = 0, 1
        x[..., : self.telling] = (setting.unsqueeze(1) - flips).abs().unsqueeze(2)
        x = x.view(count, self.ways, each, *self.shape)
        y = torch.arange(self.ways)

        def data(part: Tensor, n: int) -> Data:
            return Data(part.reshape(count, self.ways * n, *self.shape), y.repeat_interleave(n).repeat(count, 1))

        return Episode(data(x[:, :, : self.shots], self.shots), data(x[:, :, self.shots :], self.queries))


class OneByOne(NamedTuple):
    """A plasticity that hides that only the readout adapts, so that every task runs the whole network."""

    rule: object

    @property
    def exact_graph(self) -> bool:
        """As the rule says."""
        return self.rule.exact_graph

    @property
    def readout_only(self) -> bool:
        """The lie."""
        return False

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """As the rule says."""
        return self.rule.slow(network, params, generator)

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """As the rule does."""
        return self.rule.adapt(network, slow, support, noise)
