"""Encoders: pictures to signals, driven by an explicit generator so that runs reproduce."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Encoder(Protocol):
    """Turns values in 0..1 into what the network is shown."""

    @property
    def fixed(self) -> bool:
        """Whether the same value is always shown in the same way."""
        ...

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, *shape) -> (batch, *shape) if untimed, else (time, batch, *shape)."""
        ...


class Direct(NamedTuple):
    """The value as a constant current at every step; a binary pixel is a spike at every step."""

    steps: int

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Nothing to do: the network holds an untimed input."""
        return x


class Rate(NamedTuple):
    """Spikes with probability gain * value, independently at each step."""

    steps: int
    gain: float = 1.0

    @property
    def fixed(self) -> bool:
        """No: spikes are drawn."""
        return False

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the spikes."""
        chance = torch.rand((self.steps, *x.shape), generator=generator, dtype=x.dtype)
        return (chance < self.gain * x).to(x)


class Latency(NamedTuple):
    """One spike per value, at step round((1 - value) (steps - 1)); a value of 0 never spikes."""

    steps: int

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Place the spikes."""
        at = ((1 - x.clamp(0, 1)) * (self.steps - 1)).round()
        time = torch.arange(self.steps, dtype=x.dtype).reshape(-1, *[1] * x.ndim)
        return ((time == at) & (x > 0)).to(x)
