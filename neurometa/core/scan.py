"""The scan: a neuron's recurrence over the whole time window, by the fastest kernel that knows the neuron."""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from neurometa.core.check import check_constants, check_finite, check_window
from neurometa.core.compiled.windows import COMPILED
from neurometa.core.kernels import reference
from neurometa.core.neuron import Neuron
from neurometa.errors import UserError


def scan(neuron: Neuron, current: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> tuple[Tensor, Tensor]:
    """Run a population over `steps` time steps; see the neuron's `step` for its equation.

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
        state: state to continue from, default rest.
        kernel: "reference" or "numba"; default the fastest for the neuron and the tensor's device and type.
    Returns:
        Spikes z and potentials v (before reset), each (steps, *batch, n).
    Raises:
        UserError: constants out of range, a current that is empty, not of floats or not finite, a state of another neuron or shape,
            or a kernel that cannot run this.
        InternalError: if the current has neither one row nor `steps` rows.
    """
    check_constants(neuron)
    check_finite("current", current)
    found = states(neuron, current, steps, state, kernel)
    return found.z, found.v


def states(neuron: Neuron, current: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> Any:
    """`scan` with every field of the neuron's state, each (steps, *batch, n); numbers are not looked at, shapes are."""
    check_window(neuron, current, steps, state)
    if (kernel or kernel_for(current, neuron)) == "reference":
        return reference.states(neuron, current, steps, state)
    if kernel is not None and kernel_for(current, neuron) != kernel:
        raise UserError(
            f"kernel {kernel!r} asked for {type(neuron).__name__} and {current.dtype} on {current.device.type}: "
            f"expected {kernel_for(current, neuron)!r}, 'reference', or None for the fastest"
        )
    return COMPILED[type(neuron)](neuron, current, steps, state)


def kernel_for(x: Tensor, neuron: Neuron | None = None) -> str:
    """Name of the kernel used for tensors like `x`, and for this neuron (default LIF)."""
    if neuron is not None and type(neuron) not in COMPILED:
        return "reference"
    return "numba" if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and _has_numba() else "reference"


@cache
def _has_numba() -> bool:
    """Whether numba can be imported; if not, say so once."""
    found = find_spec("numba") is not None
    if not found:
        warnings.warn("numba is not installed: the scan runs on the slow reference kernel; install numba", RuntimeWarning, stacklevel=2)
    return found
