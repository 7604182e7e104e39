"""Spikes of a window as bits, one word a neuron for 31 steps: read once, then pooled and counted without looking at them again."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.scan import kernel_for

BITS = 31
"""Steps that one word holds; the sign bit stays free."""


class Spikes(NamedTuple):
    """When each unit was not zero: bit t of word k is step 31 k + t; each word int32, (samples, height, width, channels)."""

    words: tuple[Tensor, ...]

    def pooled(self, size: int) -> "Spikes":
        """Behind pooling over `size` x `size` windows: not zero where one of them was not, whatever the pooling does with them."""
        return Spikes(tuple(_windows(_windows(word, 1, size), 2, size).contiguous() for word in self.words))

    def gathered(self) -> tuple[Tensor, Tensor]:
        """Spikes at each position, (samples, positions), and of each neuron, (channels, positions), over the window, float64."""
        samples, height, width, channels = self.words[0].shape
        by_position = torch.zeros(samples, height * width, dtype=torch.int32)
        by_neuron = torch.zeros(height * width, channels, dtype=torch.int32)
        for word in self.words:
            if kernel_for(torch.empty(0)) == "numba":
                from neurometa.core.kernels.tally import gather

                gather(word.flatten(1, 2).numpy(), by_position.numpy(), by_neuron.numpy())
            else:
                counted = _bits(word).flatten(1, 2)
                by_position += counted.sum(2)
                by_neuron += counted.sum(0)
        return by_position.double(), by_neuron.mT.double()

    def counted(self) -> Tensor:
        """Steps in which each unit was not zero, (samples, channels, height, width), float64."""
        return sum((_bits(word) for word in self.words), torch.zeros(())).permute(0, 3, 1, 2).double()


def timed(z: Tensor) -> Spikes:
    """Read spikes (steps, samples, channels[, height, width])."""
    return Spikes(tuple(_marked(z[start : start + BITS]) for start in range(0, len(z), BITS)))


def held(x: Tensor, steps: int) -> Spikes:
    """The same values (samples, channels[, height, width]) in every one of `steps` steps."""
    on = (_channels_last(x.unsqueeze(0))[0] != 0).int()
    return Spikes(tuple(on * (2 ** min(BITS, steps - start) - 1) for start in range(0, steps, BITS)))


def changes(v: Tensor) -> Tensor:
    """How many neuron-steps after the first have another potential than the step before, (samples,), float64."""
    v = _channels_last(v).flatten(2)
    changed = torch.zeros(v.shape[1], dtype=torch.int64)
    if kernel_for(v) == "numba":
        from neurometa.core.kernels.tally import changes as count

        count(v.numpy(), changed.numpy())
    else:
        for now, before in zip(v[1:], v[:-1], strict=True):
            changed += (now != before).sum(1)
    return changed.double()


def _marked(z: Tensor) -> Tensor:
    z = _channels_last(z)
    words = torch.zeros(z.shape[1:], dtype=torch.int32)
    if kernel_for(z) == "numba":
        from neurometa.core.kernels.tally import mark

        mark(z.flatten(2).numpy(), words.flatten(1).numpy())
    else:
        for t, now in enumerate(z):
            words |= (now != 0).int() << t
    return words


def _channels_last(x: Tensor) -> Tensor:
    """(steps, samples, height, width, channels); convolutions lie like that already, so that nothing is copied."""
    x = x.detach()
    return (x.permute(0, 1, 3, 4, 2) if x.ndim == 5 else x.flatten(2)[:, :, None, None]).contiguous()


def _windows(word: Tensor, axis: int, size: int) -> Tensor:
    kept = word.shape[axis] // size * size
    before = [slice(None)] * axis
    return functools.reduce(torch.bitwise_or, [word[(*before, slice(start, kept, size))] for start in range(size)])


def _bits(word: Tensor) -> Tensor:
    return sum(((word >> bit) & 1 for bit in range(BITS)), torch.zeros_like(word))
