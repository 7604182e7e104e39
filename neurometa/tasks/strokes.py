"""Pictures as a moving scan: a slit passes over them and shows what is under it, so that a character is a course in time."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.errors import UserError
from neurometa.tasks.base import ImageClasses
from neurometa.types import Data, Episode


class Scanned(NamedTuple):
    """The episodes of another family, each picture seen through a slit of `width` columns that moves `stride` columns a step.

    x[t] = columns t * stride .. t * stride + width - 1, column by column: (steps, width * height) spikes where there is ink

    At no step is the whole character there: who does not remember cannot tell characters apart that differ in an order only.

    Attributes:
        pictures: where the pictures come from.
        width, stride: of the slit, in pixels.
    """

    pictures: ImageClasses
    width: int = 1
    stride: int = 1

    @property
    def ways(self) -> int:
        """Classes of an episode."""
        return self.pictures.ways

    @property
    def shape(self) -> tuple[int, ...]:
        """One scan: (steps, inputs).

        Raises:
            UserError: the slit is wider than the picture.
        """
        _, height, across = self.pictures.shape
        if self.width > across:
            raise UserError(f"a slit of {self.width} columns given for pictures of {across}, expected a narrower one: lower width")
        return ((across - self.width) // self.stride + 1, self.width * height)

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw `count` episodes; `x` is (count, examples, steps, inputs)."""
        drawn = self.pictures.sample(generator, count)
        return Episode(*(Data(self._scan(data.x), data.y) for data in drawn))

    def _scan(self, x: Tensor) -> Tensor:
        """(..., 1, height, across) -> (..., steps, width * height)."""
        slit = x.squeeze(-3).unfold(-1, self.width, self.stride)  # (..., height, steps, width)
        return slit.movedim(-3, -1).flatten(-2)
