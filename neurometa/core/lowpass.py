"""A leaky average over time that keeps its time axis: what a readout's membrane is at every step."""

import torch
from torch import Tensor

from neurometa.core.compiled.recurrence import filtered
from neurometa.core.scan import kernel_for


def lowpass(x: Tensor, decay: float) -> Tensor:
    """Filter over time: u[t] = decay u[t-1] + (1 - decay) x[t], from zero.

    The mean of u over a window is what `layer.TimeAverage(decay)` gives.

    Args:
        x: (time, *shape).
        decay: 0..1; 0 leaves x as it is.
    Returns:
        u, same shape.
    """
    if decay == 0:
        return x
    driven = (1 - decay) * x
    if kernel_for(x) == "numba":
        return filtered(driven, torch.full_like(x[0], decay))
    u, found = torch.zeros_like(x[0]), []
    for now in driven.unbind(0):
        u = decay * u + now
        found.append(u)
    return torch.stack(found)
