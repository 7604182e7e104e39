"""Losses and measures of a readout. Targets that are whole numbers are classes, others are values to be met."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(output: Float[Tensor, "batch ways"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the batch of -log softmax(output)[y]."""
    return F.cross_entropy(output, y)


def accuracy(output: Float[Tensor, "batch ways"], y: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Fraction of the batch whose largest output is the right one; ties go to the lowest class."""
    return (output.argmax(-1) == y).to(output).mean()


def squared_error(output: Float[Tensor, "batch out"], y: Float[Tensor, "batch out"]) -> Float[Tensor, ""]:
    """Mean over batch and outputs of (output - y)^2."""
    return F.mse_loss(output, y)


def regression(y: Tensor) -> bool:
    """Whether these targets are values to be met; otherwise they are classes."""
    return y.is_floating_point()


def task_loss(output: Tensor, y: Tensor) -> Float[Tensor, ""]:
    """Squared error of a regression, cross-entropy of a classification."""
    return squared_error(output, y) if regression(y) else cross_entropy(output, y)


def task_accuracy(output: Tensor, y: Tensor) -> Float[Tensor, ""]:
    """Accuracy of a classification; a regression has none, NaN."""
    return output.new_full((), float("nan")) if regression(y) else accuracy(output, y)
