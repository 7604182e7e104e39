"""The scan: a neuron's recurrence over the whole time window, by the fastest kernel that knows the neuron."""

from typing import Any

from torch import Tensor

from neurometa.core.check import check_constants, check_finite, check_window
from neurometa.core.compiled import windows
from neurometa.core.kernels import choice, reference
from neurometa.core.neuron import Neuron
from neurometa.errors import UserError


def scan(neuron: Neuron, current: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> tuple[Tensor, Tensor]:
    """Run a population over `steps` time steps; see the neuron's `step` for its equation.

    Args:
        neuron: constants of the population.
        current: (steps, *batch, n), or (1, *batch, n) for the same current at every step.
        steps: number of time steps.
        state: state to continue from, default rest.
        kernel: "reference", "numba" or "triton"; default the fastest for the neuron and the tensor's device and type.
    Returns:
        Spikes z and potentials v (before reset), each (steps, *batch, n).
    Raises:
        UserError: constants out of range, a current that is empty, not of floats or not finite, a state of another neuron or shape,
            or a kernel that cannot run this.
    """
    check_constants(neuron)
    check_finite("current", current)
    found = states(neuron, current, steps, state, kernel)
    return found.z, found.v


def states(neuron: Neuron, current: Tensor, steps: int, state: Any = None, kernel: str | None = None) -> Any:
    """`scan` with every field of the neuron's state, each (steps, *batch, n); numbers are not looked at, shapes are."""
    check_window(neuron, current, steps, state)
    name = kernel_for(current, neuron, kernel)
    if name == "reference":
        return reference.states(neuron, current, steps, state)
    return windows.states(name, neuron, current, steps, state)


def kernel_for(x: Tensor, neuron: Neuron | None = None, asked: str | None = None) -> str:
    """Name of the kernel used for tensors like `x`, and for this neuron (default LIF): the one asked for, else the fastest.

    Raises:
        UserError: the one asked for cannot run here, on such a tensor, or this neuron.
    """
    name = choice.kernel_for(x, asked)
    if name == "reference" or neuron is None or windows.knows(name, neuron):
        return name
    if asked is None:
        return "reference"
    raise UserError(f"kernel {asked!r} asked for {type(neuron).__name__}, which it does not know: choose kernel auto or reference")
