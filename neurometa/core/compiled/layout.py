"""Tensors as the arrays that compiled passes walk: (outer, time, inner), in the order in which they lie in memory."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


def order(x: Tensor) -> list[int]:
    """Axes of `x` by memory order, so that it is walked as it lies: channels last, or task by task under vmap. Expanded axes come first."""
    return sorted(range(x.ndim), key=lambda axis: (x.stride(axis) > 0, -x.stride(axis), axis == 0, axis))


def flat(x: Tensor, axes: list[int]) -> Any:
    """`x` as a C-contiguous (outer, time, inner) array."""
    return walked(x, axes).numpy()


def walked(x: Tensor, axes: list[int]) -> Tensor:
    """`x` as a contiguous (outer, time, inner) tensor; copies only where the memory order differs."""
    time = axes.index(0)
    outer, inner = (math.prod(x.shape[axis] for axis in some) for some in (axes[:time], axes[time + 1 :]))
    return x.detach().permute(axes).contiguous().view(outer, len(x), inner)


def unflat(array: Any, like: Tensor, axes: list[int]) -> Tensor:
    """An (outer, time, inner) array or tensor as a tensor of the shape of `like`, but for the length of its time axis."""
    shape = [like.shape[axis] if axis else array.shape[1] for axis in axes]
    inverse = sorted(range(len(axes)), key=axes.__getitem__)
    return torch.as_tensor(array).view(shape).permute(inverse)


def optional(x: Tensor | None, like: Any, axes: list[int]) -> Any:
    """`x` as an array, empty where there is none, and of one row where it is expanded over time, as the gradient of a mean is."""
    if x is None:
        return np.empty((0, 0, 0), like.dtype)
    return flat(x[:1] if x.stride(0) == 0 else x, axes)


def aligned(info: Any, in_dims: Any, *tensors: Any, at: int = 1) -> list[Any]:
    """Each tensor with its vmapped axis at `at`, expanded where it had none."""
    return [
        None if x is None else (x.movedim(dim, at) if dim is not None else _spread(x, at, info.batch_size))
        for x, dim in zip(tensors, in_dims, strict=False)
    ]


def _spread(x: Tensor, at: int, size: int) -> Tensor:
    shape = list(x.shape)
    return x.unsqueeze(at).expand(*shape[:at], size, *shape[at:])
