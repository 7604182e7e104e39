"""What an error at the outputs, sent to each neuron of a population along weights, means for the dense weights before that population."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.adjoint import kind_of
from neurometa.core.compiled import learnt as compiled
from neurometa.core.neuron import ALIF, IF, LIF
from neurometa.core.scan import kernel_for
from neurometa.core.sparse import few_events


class Broadcast(NamedTuple):
    """A learning signal that is not written out: dE/dz_j[t] = sum over k of weights_kj error_k[t].

    Attributes:
        error: (steps, batch, out).
        weights: (out, n).
    """

    error: Tensor
    weights: Tensor

    def full(self, like: Tensor) -> Tensor:
        """The signal, shaped as the spikes that it is of."""
        return (self.error @ self.weights).reshape(like.shape)

    def later(self) -> "Broadcast":
        """The signal of spikes that leave one step later."""
        return self._replace(error=torch.cat([self.error[1:], torch.zeros_like(self.error[:1])]))


def fuses(neuron: Any, fields: Any, x: Tensor, kernel: str | None = None) -> bool:
    """Whether `dense` has a compiled pass that is faster than a product of (neurons x inputs): dense LIF or ALIF on one thread of the CPU,
    few of whose inputs spike. Under a vmap over the inputs it has not.
    """
    plain = isinstance(neuron, LIF | IF) and not isinstance(neuron.decay, Tensor) and not isinstance(neuron.threshold, Tensor)
    if fields.v.ndim != 3 or x.ndim != 3 or x.dtype != fields.v.dtype or not (plain or isinstance(neuron, ALIF)):
        return False
    return kernel_for(fields.v, neuron, kernel) == "numba" and few_events(x.flatten(0, 1), fields.v.shape[2])


def dense(neuron: Any, fields: Any, signal: Broadcast, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of the weights and bias of a dense layer before a population, with all that spikes do held constant.

    dE/dw_ji = sum over t of dE/dcurrent_j[t] x_i[t],   dE/dbias_j = sum over t of dE/dcurrent_j[t]

    Args:
        neuron: constants of the population.
        fields: its state over time, each field (steps, batch, post).
        signal: what reaches it.
        x: what the layer was given, (steps, batch, pre).
    Returns:
        (post, pre) and (post,); dE/dcurrent is that of `adjoint`.
    """
    kind, constants, seen = kind_of(neuron, fields)
    return compiled.window(kind, *signal, x, seen, constants)
