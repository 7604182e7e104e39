"""Synapses on the grid of a chip's weights while a network is trained: rounded forward, straight through backward.

    w' = s k / f,   k = round(w f / s) within -2^(bits-1) .. 2^(bits-1) - 1        dw'/dw = 1

f is the factor by which the normalisation behind the synapses multiplies each channel: exporting folds it into the weights, which then
share one s a layer. s = c max|w f| / (2^(bits-1) - 1), with the c of `fixed.CLIPS` that makes the mean square error smallest.

Source:
    Straight-through gradients: Bengio, Leonard & Courville 2013, arXiv:1308.3432. Folding before rounding: Jacob et al. 2018,
    arXiv:1712.05877, section 3.2 (numbers not checked).
"""

import torch
from torch import Tensor

from neurometa.core.fixed import CLIPS
from neurometa.core.layer import EPSILON, Layer, Norm
from neurometa.types import Params, Signal


def on_grid(weight: Tensor, factor: Tensor | None, bits: int) -> Tensor:
    """Weights rounded as an export rounds them, with the gradient of the unrounded ones.

    Args:
        weight: (post, ...).
        factor: of each channel, (post,); None for 1.
        bits: 2 to 8.
    """
    found = weight.detach()
    scale = torch.ones_like(found[:, :1].flatten(1)[:, 0]) if factor is None else torch.where(factor == 0, 1, factor.detach())
    scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
    folded, ends = found * scale, 2 ** (bits - 1) - 1
    units = folded.abs().amax().clamp(min=torch.finfo(folded.dtype).tiny) * torch.tensor(CLIPS, device=folded.device) / ends
    tried = torch.stack([(folded / unit).round().clamp(-ends - 1, ends) * unit for unit in units.unbind(0)])
    best = (tried - folded).square().flatten(1).sum(1).argmin()
    return weight + (tried.index_select(0, best.reshape(1))[0] / scale - found)


def statistics_of(layer: Layer, own: Params, x: Signal, behind: Norm, norm: Params) -> Params:
    """Mean and variance that the normalisation behind some synapses is to use: its own, or those of the unrounded weights on this batch.

    Not those of the rounded weights, whose grid they would move: support and query must be rounded alike, and an export as both.

    Args:
        layer, own, x: the synapses, their parameters and input.
        behind, norm: the normalisation, and its parameters.
    """
    return {} if "var" in norm else behind.apply(norm, layer.apply(own, x, {})[0], {})[1]


def factor_of(norm: Params) -> Tensor:
    """By how much a normalisation with statistics multiplies each channel."""
    return norm["gain"] * torch.rsqrt(norm["var"] + EPSILON)
