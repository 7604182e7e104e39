"""Few-shot regression: sines of their own amplitude and phase, each to be learnt from a few of its points."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.errors import UserError
from neurometa.types import Data, Episode

AMPLITUDE = (0.1, 5.0)
"""Bounds of the amplitude, uniform."""

PHASE = (0.0, math.pi)
"""Bounds of the phase, uniform."""

REACH = 5.0
"""Points lie between minus and plus this, uniform."""


class Sinusoid(NamedTuple):
    """y = A sin(x - phase): every episode has one sine, `shots` of its points as support and `queries` others to be told.

    Attributes:
        shots, queries: points of the support and of the query set.
    Source:
        Finn, Abbeel & Levine 2017, arXiv:1703.03400, section 5.1.
    """

    shots: int = 10
    queries: int = 10

    @property
    def ways(self) -> int:
        """One output."""
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        """One number."""
        return (1,)

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw `count` episodes.

        Args:
            generator: source of randomness; the same state gives the same episodes.
            count: number of episodes.
        Returns:
            `x` and `y` of shape (count, shots or queries, 1).
        Raises:
            UserError: no point of a kind.
        """
        if min(self.shots, self.queries) < 1:
            raise UserError(f"{self.shots} shots and {self.queries} queries given, expected at least 1 of each: raise the one that is 0")
        amplitude, phase = (_uniform(bounds, (count, 1, 1), generator) for bounds in (AMPLITUDE, PHASE))
        x = _uniform((-REACH, REACH), (count, self.shots + self.queries, 1), generator)
        y = amplitude * torch.sin(x - phase)
        return Episode(Data(x[:, : self.shots], y[:, : self.shots]), Data(x[:, self.shots :], y[:, self.shots :]))


def _uniform(bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
