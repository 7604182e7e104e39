"""How populations with weights of their own for each task lie in memory: task axes in front of the weights, and after time in signals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurometa.core import sparse


def rows(x: Tensor) -> Any:
    """(time, *tasks, *batch, n) as a C-contiguous array (time, row, n), a row being one example of one task."""
    return x.detach().contiguous().view(len(x), math.prod(x.shape[1:-1]), x.shape[-1]).numpy()


def fresh(like: Tensor) -> Tensor:
    """A C-contiguous tensor of this shape with nothing in it yet."""
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def optional(x: Tensor | None, like: Tensor) -> Any:
    """The same, or an empty array for none."""
    return torch.empty((0, 0, 0), dtype=like.dtype).numpy() if x is None else rows(x)


def gradient(x: Tensor | None, like: Tensor) -> Any:
    """The same, one time step for a gradient that is expanded over time, and a step of zeros for none."""
    if x is None:
        return np.zeros((1, *rows(like[:1]).shape[1:]), rows(like[:1]).dtype)
    return rows(x[:1] if x.stride(0) == 0 else x)


def by_task(weight: Tensor) -> Any:
    """(*tasks, post, pre) as a C-contiguous array (task, post, pre)."""
    return weight.detach().contiguous().view(math.prod(weight.shape[:-2]), *weight.shape[-2:]).numpy()


def product(x: Tensor, weight: Tensor) -> tuple[Callable[[int], Any], Tensor]:
    """A function that fills the second value, (*tasks, *batch, pre), with x[t] times each task's weights (post, pre)."""
    tasks, (post, pre) = math.prod(weight.shape[:-2]), weight.shape[-2:]
    result = x.new_empty((*x.shape[1:-1], pre))
    if tasks == 1:
        steps, flat, matrix = x.view(len(x), -1, post).unbind(0), result.view(-1, pre), weight.reshape(post, pre)
        return (lambda t: torch.mm(steps[t], matrix, out=flat)), result
    each, flat, matrices = x.view(len(x), tasks, -1, post).unbind(0), result.view(tasks, -1, pre), weight.reshape(tasks, post, pre)
    return (lambda t: torch.bmm(each[t], matrices, out=flat)), result


def outer(post: Tensor, pre: Tensor, weight: Tensor) -> Tensor:
    """Sum over time and examples of post times pre, shaped as `weight`."""
    tasks = weight.ndim - 2
    if tasks == 0:
        return sparse.outer(_examples(post, 0), _examples(pre, 0))
    return _examples(post, tasks).mT @ _examples(pre, tasks)


def total(x: Tensor, like: Tensor) -> Tensor:
    """Sum over time and examples of (time, *tasks, *batch, n): (*tasks, n), `like` having the task axes and two more."""
    return _examples(x, like.ndim - 2).sum(-2)


def spread(constant: Tensor, x: Tensor) -> Tensor:
    """(*tasks, n) so that it broadcasts against (time, *tasks, *batch, n)."""
    *tasks, n = constant.shape
    return constant.reshape(*tasks, *[1] * (x.ndim - 2 - len(tasks)), n)


def _examples(x: Tensor, tasks: int) -> Tensor:
    return x.movedim(0, tasks).flatten(tasks, -2)


def aligned(
    size: int,
    tensors: Sequence[Any],
    dims: Sequence[int | None],
    weights: tuple[int, int],
    untimed: tuple[int, ...] = (),
    apart: bool = False,
) -> tuple[list[Any], int]:
    """Move the axis of a vmap to where a node expects it.

    Where weights have the axis it becomes the first task axis; where they have not, one of the batch, which spares copies of the weights.

    Args:
        size: of the axis.
        tensors, dims: arguments of the node and where each has the axis.
        weights: indices of those with no time and no batch.
        untimed: indices of those with batch but no time.
        apart: make it a task axis anyhow, so that the node's sums over examples do not run over it.
    Returns:
        The tensors, and the axis in (time, *tasks, *batch, n).
    """
    own = apart or any(dims[i] is not None for i in weights)
    first = weights[0]
    axis = 1 if own else tensors[first].ndim - 1
    placed = []
    for i, (x, dim) in enumerate(zip(tensors, dims, strict=True)):
        at = 0 if i in weights else axis - (i in untimed)
        if x is None or (i in weights and not own):
            placed.append(x)
        elif dim is not None:
            placed.append(x.movedim(dim, at))
        else:
            placed.append(x.unsqueeze(at).expand(*x.shape[:at], size, *x.shape[at:]))
    return placed, axis
