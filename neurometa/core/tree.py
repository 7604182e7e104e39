"""Arithmetic on whole parameter dictionaries."""

from fnmatch import fnmatchcase

import torch
from torch import Tensor

from neurometa.types import Params


def select(params: Params, patterns: tuple[str, ...]) -> Params:
    """Entries whose name matches one of the shell-style patterns, such as `readout.*`."""
    return {name: value for name, value in params.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def without(params: Params, names: Params) -> Params:
    """Entries of `params` that `names` does not have."""
    return {name: value for name, value in params.items() if name not in names}


def detach(params: Params) -> Params:
    """The same values with no history."""
    return {name: value.detach() for name, value in params.items()}


def finite(params: Params) -> Tensor:
    """Scalar bool tensor: whether every number is finite. No branch on data, so safe under vmap."""
    flags = [torch.isfinite(value).all() for value in params.values()]
    return torch.stack(flags).all() if flags else torch.tensor(True)


def norm(params: Params) -> Tensor:
    """Euclidean norm of all entries together; 0 of none."""
    squares = [value.square().sum() for value in params.values()]
    return torch.stack(squares).sum().sqrt() if squares else torch.tensor(0.0)
