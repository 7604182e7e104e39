"""Float64 in every test of this folder."""

from tests.small import double, generator

__all__ = ["double", "generator"]
