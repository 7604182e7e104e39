"""The conventional unit: a network of these is an ordinary one, and needs no time."""

from typing import NamedTuple

import torch

from neurometa.types import Params, Signal


class ReLU(NamedTuple):
    """y = max(0, x), a layer like the spiking ones. The record notes its activations as `z`."""

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Rectify."""
        y = x.values.relu()
        return Signal(y, x.timed), {"z": y}
