"""Losses and measures of a readout."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(output: Float[Tensor, "batch ways"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the batch of -log softmax(output)[y]."""
    return F.cross_entropy(output, y)


def accuracy(output: Float[Tensor, "batch ways"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Fraction of the batch whose largest output is the right one; ties go to the lowest class."""
    return (output.argmax(-1) == y).to(output).mean()
