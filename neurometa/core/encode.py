"""Encoders: pictures to signals, driven by an explicit generator so that runs reproduce."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from neurometa.errors import UserError


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
    """Spikes with probability gain * value + offset, independently at each step: `snntorch.spikegen.rate` with a generator of its own."""

    steps: int
    gain: float = 1.0
    offset: float = 0.0

    @property
    def fixed(self) -> bool:
        """No: spikes are drawn."""
        return False

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the spikes."""
        chance = torch.rand((self.steps, *x.shape), generator=generator, dtype=x.dtype)
        return (chance < self.gain * x + self.offset).to(x)


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


class TauLatency(NamedTuple):
    """One spike per value, when a neuron that charges with time constant `tau` reaches its threshold: `snntorch.spikegen.latency`.

    t = tau ln(x / (x - threshold))     with x = max(value, threshold + 1e-7)
    t = tau (1 - x)                     with x = max(value, threshold), where `linear`

    The spike stands at step round(first + t), and there is none where that is after the window. Where `normalise`, times are stretched so
    that the latest possible one, that of a value at the threshold, falls on the last step (where linear, that of 0 would). spikegen
    stretches by the latest spike of the batch, so that an example's spikes depend on its neighbours; the two agree exactly where the batch
    has a value at or below the threshold, as a picture with a black pixel has.

    Attributes:
        steps: length of the window.
        tau: time constant in steps; without effect where normalised and linear.
        threshold: values below it spike as late as it does, or not at all where `clip`.
        first: step of the earliest possible spike.
        linear, normalise, clip: as above.
    """

    steps: int
    tau: float = 1.0
    threshold: float = 0.01
    first: int = 0
    linear: bool = False
    normalise: bool = False
    clip: bool = False

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Place the spikes. Raises UserError where a value is not within 0..1."""
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise UserError(
                f"values from {float(x.min()):.4g} to {float(x.max()):.4g} given, 0 to 1 expected by a latency code: scale them"
            )
        at = (self._linear(x) if self.linear else self._charging(x)).round()
        time = torch.arange(self.steps, dtype=x.dtype, device=x.device).reshape(-1, *[1] * x.ndim)
        spikes = (time == at).to(x)
        return spikes * (x >= self.threshold) if self.clip else spikes

    def _linear(self, x: Tensor) -> Tensor:
        tau = self.steps - 1 - self.first if self.normalise else self.tau
        return torch.clamp_max(-tau * (x - 1), -tau * (self.threshold - 1)) + self.first

    def _charging(self, x: Tensor) -> Tensor:
        """Order of operations as in spikegen, for equality to the bit."""

        def charged(value: Tensor) -> Tensor:
            value = torch.clamp(value, self.threshold + 1e-7)
            return self.tau * torch.log(value / (value - self.threshold))

        late = charged(x) + self.first if self.first else charged(x)
        if not self.normalise:
            return late
        latest = charged(x.new_zeros(())) + self.first if self.first else charged(x.new_zeros(()))
        return (late - self.first) * (self.steps - self.first - 1) / (latest - self.first) + self.first


class Delta(NamedTuple):
    """Events of a sensor that is swept along the last axis: a spike where the value rises by `threshold` from one step to the next.

    z[t] = 1 if x[t] - x[t-1] >= threshold else 0;   -1 where x[t] - x[t-1] <= -threshold, if `off`

    Step t shows column t, so that an example (..., width) becomes `width` steps of (..., 1): `snntorch.spikegen.delta` along that axis.
    The value before the first is 0, or where `padding`, the first.
    """

    threshold: float = 0.1
    off: bool = False
    padding: bool = False

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Sweep."""
        swept = x.movedim(-1, 0)
        before = torch.cat([swept[:1] if self.padding else torch.zeros_like(swept[:1]), swept[:-1]])
        change = swept - before
        spikes = (change >= self.threshold).to(x)
        return (spikes - (change <= -self.threshold).to(x) if self.off else spikes).unsqueeze(-1)


class Population(NamedTuple):
    """One number as the activity of neurons that each prefer another: a held current for every neuron, largest where the number is its own.

    current[i] = gain * exp(-(x - c[i])^2 / (2 s^2))     c evenly spaced from `low` to `high`,  s = width * (distance of two neighbours)

    Attributes:
        steps: time steps for which the current is held.
        neurons: how many; at least 2.
        low, high: preferred numbers of the first and the last.
        width: s in units of that distance.
        gain: current of a neuron at its own number.
    """

    steps: int
    neurons: int = 20
    low: float = -5.0
    high: float = 5.0
    width: float = 1.0
    gain: float = 1.0

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(..., 1) -> (..., neurons)."""
        centre = torch.linspace(self.low, self.high, self.neurons, dtype=x.dtype, device=x.device)
        spread = self.width * (self.high - self.low) / (self.neurons - 1)
        return self.gain * torch.exp(-((x - centre) ** 2) / (2 * spread**2))


class Raster(NamedTuple):
    """An example that is spikes over time already, with its time axis before its last one: passed on, time first."""

    @property
    def fixed(self) -> bool:
        """The same example always gives the same spikes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Bring time to the front: (*, time, n) to (time, *, n)."""
        return x.movedim(-2, 0)
