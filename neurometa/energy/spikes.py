"""Spikes of a window as bits, one word a neuron for 31 steps: read once, then pooled and counted without looking at them again."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.scan import kernel_for

BITS = 31
"""Steps that one word holds; the sign bit stays free."""


class Spikes(NamedTuple):
    """When each unit was not zero, and how often.

    Attributes:
        words: bit t of word k is step 31 k + t; each word int32, (samples, height, width, channels).
        by_position: steps over all channels of a position, (samples, positions), float64.
        by_neuron: steps over all samples, (channels, positions), float64; empty behind a pool.
        changed: neuron-steps after the first with another potential than the step before, (samples,), float64; empty where none was given.
    """

    words: tuple[Tensor, ...]
    by_position: Tensor
    by_neuron: Tensor
    changed: Tensor

    def pooled(self, size: int) -> "Spikes":
        """Behind pooling over `size` x `size` windows: not zero where one of them was not, whatever the pooling does with them."""
        samples, height, width, channels = self.words[0].shape
        shape = (samples, height // size, width // size, channels)
        nothing = torch.zeros(0, dtype=torch.float64)
        if kernel_for(self.by_position) != "numba":
            words = tuple(_windows(_windows(word, 1, size), 2, size).contiguous() for word in self.words)
            return Spikes(words, sum((_bits(word).sum(3) for word in words), torch.zeros(())).flatten(1).double(), nothing, nothing)
        from neurometa.core.kernels.tally import pool

        words = tuple(torch.zeros(shape, dtype=torch.int32) for _ in self.words)
        by_position = torch.zeros(samples, shape[1] * shape[2], dtype=torch.int32)
        for word, joined in zip(self.words, words, strict=True):
            pool(word.numpy(), joined.numpy(), by_position.numpy(), size)
        return Spikes(words, by_position.double(), nothing, nothing)

    def counted(self) -> Tensor:
        """Steps in which each unit was not zero, (samples, channels, height, width), float64."""
        return sum((_bits(word) for word in self.words), torch.zeros(())).permute(0, 3, 1, 2).double()


def timed(z: Tensor, v: Tensor | None = None, threshold: float | None = None) -> Spikes:
    """Read spikes (steps, samples, channels[, height, width]), and how often the potentials of the same shape change.

    Where a potential above `threshold` is a spike and nothing else is, the potentials say both and the spikes need not be read.
    """
    z = _channels_last(z)
    steps, samples, height, width, channels = z.shape
    v = z[:0] if v is None else _channels_last(v)
    words = torch.empty(-(-steps // BITS), *z.shape[1:], dtype=torch.int32)
    by_position, by_neuron = (
        torch.zeros(samples, height * width, dtype=torch.int32),
        torch.zeros(height * width, channels, dtype=torch.int32),
    )
    changed = torch.zeros(samples, dtype=torch.int64)
    if kernel_for(z) == "numba":
        from neurometa.core.kernels.tally import look

        by_potential = threshold is not None and len(v) == steps
        spikes, potentials = (x.flatten(2).numpy() for x in (z[:0] if by_potential else z, v))
        found = (x.numpy() for x in (words.flatten(2), by_position, by_neuron.flatten(), changed))
        look(spikes, potentials, potentials.dtype.type(threshold or 0), *found)
    else:
        words.zero_()
        for t, now in enumerate(z):
            words[t // BITS] |= (now != 0).int() << t % BITS
        fired = (z != 0).flatten(2, 3)
        by_position, by_neuron = fired.sum((0, 3)), fired.sum((0, 1))
        for now, before in zip(v[1:], v[:-1], strict=True):
            changed += (now != before).flatten(1).sum(1)
    return Spikes(words.unbind(), by_position.double(), by_neuron.mT.double(), changed.double())


def held(x: Tensor, steps: int) -> Spikes:
    """The same values (samples, channels[, height, width]) in every one of `steps` steps."""
    on = (_channels_last(x.unsqueeze(0))[0] != 0).int()
    words = tuple(on * (2 ** min(BITS, steps - start) - 1) for start in range(0, steps, BITS))
    each = on.flatten(1, 2).double() * steps
    return Spikes(words, each.sum(2), each.sum(0).mT, torch.zeros(0, dtype=torch.float64))


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
