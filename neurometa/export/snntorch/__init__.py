"""Interchange with snnTorch: a `nn.Sequential` of its neurons to a network and parameters, and back."""

from neurometa.export.snntorch.read import from_snntorch
from neurometa.export.snntorch.write import to_snntorch

__all__ = ["from_snntorch", "to_snntorch"]
