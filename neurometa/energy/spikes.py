"""Spikes of a window as bits, one word a neuron for 8 steps: read once, then pooled and counted without looking at them again."""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import Pool
from neurometa.core.scan import kernel_for

BITS = 8
"""Steps that one word holds, as `core.kernels.tally` has it."""

NOTHING = torch.zeros(0, dtype=torch.float64)


class Spikes(NamedTuple):
    """When each unit was not zero, and how often.

    Attributes:
        words: bit t of word k is step 8 k + t; each word uint8, (samples, height, width, channels).
        by_position: steps over all channels of a position, (samples, positions), float64.
        spikes: over all positions, (samples,), float64.
        by_neuron: steps over all samples, (height * width, channels), whole numbers.
        changed: neuron-steps after the first with another potential than the step before, (samples,), float64; empty where none was given.
    """

    words: tuple[Tensor, ...]
    by_position: Tensor
    spikes: Tensor
    by_neuron: Tensor
    changed: Tensor

    def behind(self, pools: tuple[Pool, ...]) -> Tensor:
        """The same as `by_position` behind pools: not zero where one of a window was not, whatever the pooling does with them."""
        size = _side(pools)
        if size == 1:
            return self.by_position
        if kernel_for(self.words[0].new_empty(0, dtype=torch.float32)) != "numba":
            return self.counted(pools).sum(1).flatten(1)
        from neurometa.core.kernels.tally import pool

        samples, height, width, _ = self.words[0].shape
        by_position = torch.zeros(samples, (height // size) * (width // size), dtype=torch.float64)
        for word in self.words:
            pool(word.numpy(), by_position.numpy(), size)
        return by_position

    def counted(self, pools: tuple[Pool, ...]) -> Tensor:
        """Steps in which each unit behind pools was not zero, (samples, channels, height, width), float64."""
        joined = [_joined(word, _side(pools)) for word in self.words]
        return sum((_bits(word.int()) for word in joined), torch.zeros(())).permute(0, 3, 1, 2).double()


def timed(z: Tensor, v: Tensor | None = None, threshold: float | None = None) -> Spikes:
    """Read spikes (steps, samples, channels[, height, width]), and how often the potentials of the same shape change.

    Where a potential above `threshold` is a spike and nothing else is, the potentials say both and the spikes need not be read.
    """
    z = _channels_last(z)
    v = None if v is None else _channels_last(v)
    if kernel_for(z) != "numba":
        words = torch.zeros(-(-len(z) // BITS) or 1, *z.shape[1:], dtype=torch.uint8)
        for t, now in enumerate(z):
            words[t // BITS] |= (now != 0).to(torch.uint8) << t % BITS
        fired, changed = (z != 0).flatten(2, 3), NOTHING if v is None else (v[1:] != v[:-1]).sum((0, 2, 3, 4)).double()
        return Spikes(words.unbind(), fired.sum((0, 3)).double(), fired.sum((0, 2, 3)).double(), fired.sum((0, 1)), changed)
    if v is None:
        return _looked(z, 0.0)._replace(changed=NOTHING)
    if threshold is not None:
        return _looked(v, threshold)
    return _looked(z, 0.0)._replace(changed=_looked(v, 0.0).changed)


def held(x: Tensor, steps: int) -> Spikes:
    """The same spikes (samples, channels[, height, width]) in every one of `steps` steps."""
    once = timed(x.unsqueeze(0))
    words = tuple(once.words[0] * (2 ** min(BITS, steps - start) - 1) for start in range(0, steps, BITS))
    return Spikes(words, once.by_position * steps, once.spikes * steps, once.by_neuron * steps, NOTHING)


def present(x: Tensor, pools: tuple[Pool, ...]) -> Tensor:
    """In how many channels of values (samples, channels[, height, width]) something behind the pools is not zero, (samples, positions)."""
    if kernel_for(x) != "numba":
        return timed((x != 0).unsqueeze(0)).behind(pools)
    from neurometa.core.kernels import tally

    values, size = _channels_last(x.unsqueeze(0))[0], _side(pools)
    samples, height, width, _ = values.shape
    by_position = torch.empty(samples, (height // size) * (width // size), dtype=torch.float64)
    tally.present(values.numpy(), by_position.numpy(), size)
    return by_position


def _looked(x: Tensor, threshold: float) -> Spikes:
    """By the kernel: x is above the threshold where there is a spike."""
    from neurometa.core.kernels.tally import look

    steps, samples, height, width, channels = x.shape
    words = (torch.empty if steps else torch.zeros)(-(-steps // BITS) or 1, *x.shape[1:], dtype=torch.uint8)
    by_position = torch.zeros(samples, height * width, dtype=torch.float64)
    by_neuron, numbers = torch.zeros(height * width, channels, dtype=torch.int32), torch.zeros(2, samples, dtype=torch.float64)
    seen = x.flatten(2).numpy()
    look(seen, seen.dtype.type(threshold), words.flatten(2).numpy(), by_position.numpy(), by_neuron.flatten().numpy(), numbers.numpy())
    return Spikes(words.unbind(), by_position, numbers[0], by_neuron, numbers[1])


def _channels_last(x: Tensor) -> Tensor:
    """(steps, samples, height, width, channels); convolutions lie like that already, so that nothing is copied."""
    x = x.detach()
    return (x.permute(0, 1, 3, 4, 2) if x.ndim == 5 else x.flatten(2)[:, :, None, None]).contiguous()


def _side(pools: tuple[Pool, ...]) -> int:
    """Of the windows of all pools together, one behind the other."""
    return math.prod(pool.size for pool in pools)


def _joined(word: Tensor, size: int) -> Tensor:
    return _windows(_windows(word, 1, size), 2, size)


def _windows(word: Tensor, axis: int, size: int) -> Tensor:
    kept = word.shape[axis] // size * size
    before = [slice(None)] * axis
    return functools.reduce(torch.bitwise_or, [word[(*before, slice(start, kept, size))] for start in range(size)])


def _bits(word: Tensor) -> Tensor:
    return sum(((word >> bit) & 1 for bit in range(BITS)), torch.zeros_like(word))
