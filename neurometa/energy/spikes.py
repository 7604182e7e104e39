"""Spikes of a window, read once: how often each unit spiked, by position and by neuron, and what is left of that behind pools."""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurometa.core.layer import Pool
from neurometa.core.scan import kernel_for

NOTHING = torch.zeros(0, dtype=torch.float64)


class Spikes(NamedTuple):
    """When units were not zero, and how often.

    Attributes:
        z: what was read, (steps, samples, height, width, channels), and `times` in a row.
        pools: behind them.
        by_position: steps over all channels of a position, (samples, positions), float64.
        behind: the same behind the pools: not zero where one of a window was not, whatever the pooling does with them.
        total: over all positions, (samples,), float64.
        by_neuron: steps over all samples, (height * width, channels), whole numbers.
        changed: neuron-steps after the first with another potential than the step before, (samples,), float64; empty where none was given.
    """

    z: Tensor
    times: int
    pools: tuple[Pool, ...]
    by_position: Tensor
    behind: Tensor
    total: Tensor
    by_neuron: Tensor
    changed: Tensor

    def counted(self) -> Tensor:
        """Steps in which each unit behind the pools was not zero, (samples, channels, height, width), float64."""
        return _joined(self.z != 0, _side(self.pools)).sum(0).permute(0, 3, 1, 2).double() * self.times


def timed(z: Tensor, pools: tuple[Pool, ...] = (), v: Tensor | None = None, threshold: float | None = None) -> Spikes:
    """Read spikes (steps, samples, channels[, height, width]), and how often the potentials of the same shape change.

    Where a potential above `threshold` is a spike and nothing else is, the potentials say both and the spikes need not be read.
    """
    z = _channels_last(z)
    v = None if v is None else _channels_last(v)
    if kernel_for(z) != "numba":
        fired, changed = z != 0, NOTHING if v is None else (v[1:] != v[:-1]).sum((0, 2, 3, 4)).double()
        by_position, behind = (x.sum((0, 4)).flatten(1).double() for x in (fired, _joined(fired, _side(pools))))
        return Spikes(z, 1, pools, by_position, behind, by_position.sum(1), fired.sum((0, 1)).flatten(0, 1), changed)
    if v is not None and threshold is not None:
        return _looked(z, v, threshold, pools)
    found = _looked(z, (z != 0).to(z.dtype), 0.0, pools)
    return found._replace(changed=NOTHING if v is None else _looked(z, v, 0.0, ()).changed)


def held(x: Tensor, steps: int, pools: tuple[Pool, ...] = ()) -> Spikes:
    """The same spikes (samples, channels[, height, width]) in every one of `steps` steps."""
    once = timed(x.unsqueeze(0), pools)
    sums = {name: getattr(once, name) * steps for name in ("by_position", "behind", "total", "by_neuron")}
    return once._replace(times=steps, **sums)


def present(x: Tensor, pools: tuple[Pool, ...]) -> Tensor:
    """In how many channels of values (samples, channels[, height, width]) something behind the pools is not zero, (samples, positions)."""
    if kernel_for(x) != "numba":
        return timed(x.unsqueeze(0), pools).behind
    from neurometa.core.kernels import tally

    values, size = _channels_last(x.unsqueeze(0))[0], _side(pools)
    samples, height, width, channels = values.shape
    if channels == size == 1:
        return torch.from_numpy((values.numpy() != 0).reshape(samples, -1).astype(np.float64))  # several times as fast as torch
    by_position = torch.empty(samples, (height // size) * (width // size), dtype=torch.float64)
    tally.present(values.numpy(), by_position.numpy(), size)
    return by_position


def nonzero(x: Tensor, pools: tuple[Pool, ...]) -> Tensor:
    """Which of those values are not zero behind the pools, (samples, channels, height, width), float64."""
    return _joined(_channels_last(x.unsqueeze(0)) != 0, _side(pools))[0].permute(0, 3, 1, 2).double()


def _looked(z: Tensor, x: Tensor, threshold: float, pools: tuple[Pool, ...]) -> Spikes:
    """By the kernel: x is above the threshold where there is a spike."""
    from neurometa.core.kernels.tally import look

    _, samples, height, width, channels = x.shape
    size = _side(pools)
    by_position, behind = (torch.zeros(samples, height // n, width // n, dtype=torch.float64) for n in (1, size))
    by_neuron, numbers = torch.zeros(height * width, channels, dtype=torch.int32), torch.zeros(2, samples, dtype=torch.float64)
    seen, into = x.numpy(), (one.numpy() for one in (by_position, behind, by_neuron.flatten(), numbers))
    look(seen, seen.dtype.type(threshold), size, *into)
    by_position, behind = by_position.flatten(1), (by_position if size == 1 else behind).flatten(1)
    return Spikes(z, 1, pools, by_position, behind, numbers[0], by_neuron, numbers[1])


def _channels_last(x: Tensor) -> Tensor:
    """(steps, samples, height, width, channels); convolutions lie like that already, so that nothing is copied."""
    x = x.detach()
    return (x.permute(0, 1, 3, 4, 2) if x.ndim == 5 else x.flatten(2)[:, :, None, None]).contiguous()


def _side(pools: tuple[Pool, ...]) -> int:
    """Of the windows of all pools together, one behind the other."""
    return math.prod(pool.size for pool in pools)


def _joined(fired: Tensor, size: int) -> Tensor:
    """Whether one of each window fired."""
    return _windows(_windows(fired, 2, size), 3, size)


def _windows(fired: Tensor, axis: int, size: int) -> Tensor:
    kept = fired.shape[axis] // size * size
    before = [slice(None)] * axis
    return functools.reduce(torch.logical_or, [fired[(*before, slice(start, kept, size))] for start in range(size)])
