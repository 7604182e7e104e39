"""A trained network in the numbers that a chip would hold: weights of few bits, and what is multiplied with them too.

Post-training: nothing is trained again. The accumulators stay wide, as they do on chips.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import Conv2d, Layer, Linear
from neurometa.core.network import Stack
from neurometa.types import Params, Signal

HALF = 16
"""So many bits are a floating-point number of half precision; fewer are an integer with a scale."""

FULL = 32
"""As it was trained."""


class Rounded(NamedTuple):
    """Synapses whose weights and inputs are rounded before they meet.

    w' = s round(w / s) with s = max |w| / (2^(bits-1) - 1), for each output channel of its own
    x' = step round(x / step), kept between its ends, where a step is given

    Normalisation folded into the weights scales a channel, and its s with it: rounding before or after folding is the same.

    Attributes:
        inner: the synapses.
        bits: of weights and inputs; 16 is half precision, without step and scale.
        step: of the inputs, one for all; None where they are spikes, binary pixels, or left as they are.
    Source:
        Jacob et al. 2018, arXiv:1712.05877, section 2.1 (the scheme; symmetric here, no zero point); per channel: Krishnamoorthi 2018,
        arXiv:1806.08342, section 3.1.
    """

    inner: Conv2d | Linear
    bits: int
    step: float | None

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """Those of the synapses."""
        return self.inner.init(generator, shape)

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Round, then multiply."""
        if self.step is not None:
            x = x._replace(values=_half(x.values) if self.bits == HALF else steps_of(x.values, self.step, self.bits))
        if "weight" in params:
            params = {**params, "weight": weights(params["weight"], self.bits)}
        return self.inner.apply(params, x, state)


def weights(w: Tensor, bits: int) -> Tensor:
    """Weights (post, ...) as a chip of so many bits holds them, each output channel with a scale of its own.

    Derivatives pass straight through: a rule that descends moves a wide copy, of which it multiplies the rounded one. By itself a rounded
    number does not move with what it was rounded from, so that nothing would ever be learnt.

    Source:
        Straight-through estimator: Bengio, Leonard & Courville 2013, arXiv:1308.3432 (number not checked).
    """
    if bits == HALF:
        return _half(w)
    ends = 2 ** (bits - 1) - 1
    scale = w.flatten(1).abs().amax(1).clamp(min=torch.finfo(w.dtype).tiny) / ends
    scale = scale.reshape(-1, *[1] * (w.ndim - 1))
    held = (w.detach() / scale.detach()).round().clamp(-ends, ends) * scale.detach()
    return held + (w - w.detach())


def steps_of(x: Tensor, step: float, bits: int) -> Tensor:
    """Values as whole numbers of steps."""
    ends = 2 ** (bits - 1) - 1
    return (x / step).round().clamp(-ends, ends) * step


@torch.no_grad()
def rounded(network: Stack, params: Params, x: Signal, bits: int, inputs: bool) -> Stack:
    """The network in numbers of so many bits.

    Args:
        network: as it was trained.
        params: its parameters.
        x: pictures of the training classes, on which the steps of the inputs are set to the largest value seen.
        bits: 2 to 8, or 16 for half precision; 32 changes nothing.
        inputs: whether what is multiplied is rounded too, as in a conventional network; spikes need not be.
    """
    if bits == FULL:
        return network
    layers: list[tuple[str, Layer]] = []
    for name, layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            largest = float(x.values.abs().max())
            step = largest / (2 ** (bits - 1) - 1) if bits < HALF else 1.0
            layers.append((name, Rounded(layer, bits, step if inputs and largest > 0 and not _binary(x.values) else None)))
        else:
            layers.append((name, layer))
        x, _ = layer.apply(_own(params, name), x, {})
    return network._replace(layers=tuple(layers))


def _own(params: Params, name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}


def _binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _half(x: Tensor) -> Tensor:
    return x.half().to(x.dtype)
