"""The exported network in the place of the float one: everything that judges a learner judges this too."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurometa.core.network import READOUT, Stack
from neurometa.errors import UserError
from neurometa.export import emulator
from neurometa.export.bundle import Bundle
from neurometa.export.loihi.round import mantissas
from neurometa.export.loihi.stage import Folded
from neurometa.types import Params, Record, Signal

AT_ONCE = 50
"""Samples that are played together: enough to be fast, few enough for the processor's cache."""

Answer = Callable[[Bundle, np.ndarray, bool], np.ndarray]
"""Plays an input, (n, batch) or (steps, n, batch), and returns what is read out: potentials, or numbers of spikes, (n, batch)."""


def emulated(bundle: Bundle, given: np.ndarray, timed: bool) -> np.ndarray:
    """The answer of the integer emulator."""
    parts = []
    for start in range(0, given.shape[-1], AT_ONCE):
        played = emulator.play(bundle, given[..., start : start + AT_ONCE], timed=timed, record=False)
        read = played.potential if bundle.network.readout.read == "potential" else played.counts
        parts.append(read[bundle.network.readout.population])
    return np.concatenate(parts, -1)


class Chip(NamedTuple):
    """A network whose body is a bundle and whose readout, in floating point with weights of 8 bits, is the host's.

    Attributes:
        bundle: what runs on the chip.
        folded: what it was made of, with the host's part.
        answer: who plays it: `emulated`, or Lava.
    """

    bundle: Bundle
    folded: Folded
    answer: Answer = emulated

    @property
    def vmappable(self) -> bool:
        """Tasks run one after another."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.folded.shape

    @property
    def layers(self) -> tuple:
        """None that could be looked into."""
        return ()

    @property
    def features(self) -> int:
        """Number of inputs of the readout."""
        return self.folded.host.split()[1].shape[0]

    def init(self, generator: torch.Generator) -> Params:
        """Nothing is free."""
        return {}

    def signal(self, x: Tensor) -> Signal:
        """`x` as a signal, as the float network takes it."""
        return Stack(self.folded.shape, (), False).signal(x)

    def split(self) -> "tuple[Chip, Head]":
        """The network before its readout, and the readout."""
        body, head = self.folded.host.split()
        return self._replace(folded=self.folded._replace(host=body)), Head(head)

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Play a window and compute the host's part; z, v and state stay on the chip."""
        given, timed = chip_input(self.bundle, self.folded, x)
        read = self.answer(self.bundle, given, timed)
        values = torch.from_numpy(read.T * self.bundle.network.readout.scale).to(x.values)
        last = self.folded.stages[-1]
        name = f"{READOUT}.weight"
        params = {**params, name: eight_bits(params[name])} if name in params else params
        output = self.folded.host.run(params, Signal(values.reshape(-1, *last.shape), False)).output
        return Record(output, {}, {}, {}, {})


class Head(NamedTuple):
    """The readout, its weights rounded to 8 bits by one scale for all."""

    stack: Stack

    @property
    def vmappable(self) -> bool:
        """As the readout."""
        return self.stack.vmappable

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its input."""
        return self.stack.shape

    @property
    def layers(self) -> tuple:
        """The readout's."""
        return self.stack.layers

    @property
    def features(self) -> int:
        """Number of inputs."""
        return self.stack.features

    def init(self, generator: torch.Generator) -> Params:
        """As the readout."""
        return self.stack.init(generator)

    def signal(self, x: Tensor) -> Signal:
        """As the readout."""
        return self.stack.signal(x)

    def split(self) -> "tuple[Stack, Head]":
        """Nothing stands before it."""
        return Stack(self.stack.shape, (), True), self

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Multiply by rounded weights."""
        name = f"{READOUT}.weight"
        return self.stack.run({**params, name: eight_bits(params[name])} if name in params else params, x)


def eight_bits(weight: Tensor) -> Tensor:
    """Nearest multiples -127..127 of the largest weight over 127."""
    unit = weight.abs().amax() / 127
    return torch.where(unit > 0, (weight / unit).round() * unit, weight)


def chip_input(bundle: Bundle, folded: Folded, x: Signal) -> tuple[np.ndarray, bool]:
    """An input of the float network as the bundle takes it, and whether it has a time axis.

    Raises:
        UserError: neither spikes nor, where the network takes bias currents, untimed.
    """
    values = x.values.detach().cpu().double().numpy()
    if folded.kind == "bias":
        if x.timed:
            raise UserError(
                "an input with a time axis given, but this network was exported with bias currents as input: export with spikes"
            )
        return mantissas(bundle, currents(folded, values)), False
    if not np.isin(values, (0, 1)).all():
        raise UserError("an input that is not 0 or 1 given, but this network was exported with spikes as input: give --input bias")
    flat = values.reshape(*values.shape[: 1 + x.timed], math.prod(folded.shape)).astype(np.uint8)
    flat = np.moveaxis(flat, -2, -1)
    if not x.timed:
        return np.ascontiguousarray(flat), False
    rest = bundle.network.steps - len(flat)
    return np.concatenate([flat, np.zeros((max(0, rest), *flat.shape[1:]), np.uint8)]), True


def currents(folded: Folded, values: np.ndarray) -> np.ndarray:
    """What the first population receives of an untimed input (batch, *shape) in every step, (n, batch), computed on the host."""
    first = folded.first
    one = first.synapses[0]
    if one.conv:
        x, weight = torch.from_numpy(values), torch.from_numpy(np.ascontiguousarray(one.weight))
        if one.pool > 1:
            x = torch.nn.functional.avg_pool2d(x, one.pool, divisor_override=1)
        made = torch.nn.functional.conv2d(x, weight, None, one.stride, one.padding).flatten(1).numpy()
    else:
        made = values.reshape(len(values), -1) @ one.weight.T
    return (made + first.bias).T
