"""The scan's kernels. `reference` defines the semantics; the others must equal it, forward and backward.

A kernel's module has `passes(neuron) -> Passes`; `choice.py` says which one is used and why another cannot be.
"""

from collections.abc import Callable
from typing import NamedTuple


class Passes(NamedTuple):
    """The scan of one kind of neuron on contiguous tensors (outer, time, inner), neurons lying before and after time.

    Attributes:
        forward: (current, z, v) fills spikes and potentials.
        backward: (gz, gv, v, delta) fills delta; where it has one row, with the sum over time.
        double_backward: (h, gz, v, delta, to_gz, to_gv, to_v) carries the cotangent h of delta back.
    A current, gradient or cotangent of one row is the same at every step; a gradient of None is zero.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    double_backward: Callable[..., None]
