"""Which output positions an input position reaches through convolutions and pools: exact at borders, where padding has no synapses.

Every step connects boxes with boxes, so rows and columns are independent: one small boolean matrix an axis, (inputs, outputs), and
two steps in a row are a boolean product.
"""

from typing import NamedTuple

import numpy as np

Axis = np.ndarray
"""Boolean, (inputs, outputs) along one axis."""


class Reach(NamedTuple):
    """Connectivity of two grids of positions: input (h, w) reaches output (i, j) where `rows[h, i]` and `columns[w, j]`."""

    rows: Axis
    columns: Axis

    def then(self, following: "Reach") -> "Reach":
        """Reach of two steps in a row."""
        return Reach(self.rows @ following.rows, self.columns @ following.columns)

    def fan_out(self) -> np.ndarray:
        """Outputs that each input position reaches, (inputs,) in row-major order."""
        return np.outer(self.rows.sum(1), self.columns.sum(1)).ravel()

    def matrix(self) -> np.ndarray:
        """All pairs, (input positions, output positions)."""
        return np.kron(self.rows, self.columns)

    @property
    def pairs(self) -> int:
        """Connected pairs of positions."""
        return int(self.rows.sum()) * int(self.columns.sum())


def same(shape: tuple[int, ...]) -> Reach:
    """Each position reaches itself; `shape` is (channels, height, width), or (n,), which is one position."""
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    return Reach(np.eye(height, dtype=bool), np.eye(width, dtype=bool))


def everywhere(shape: tuple[int, ...]) -> Reach:
    """Every position reaches the one position of a dense layer."""
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    return Reach(np.ones((height, 1), bool), np.ones((width, 1), bool))


def convolution(shape: tuple[int, ...], kernel: int, stride: int) -> Reach:
    """Through a convolution with half padding: output o sees inputs o stride - kernel // 2 + (0 .. kernel - 1)."""

    def axis(size: int) -> Axis:
        pad = kernel // 2
        outputs = (size + 2 * pad - kernel) // stride + 1
        offset = np.arange(size)[:, None] - (np.arange(outputs) * stride - pad)
        return (offset >= 0) & (offset < kernel)

    return Reach(axis(shape[1]), axis(shape[2]))


def pooling(shape: tuple[int, ...], size: int) -> Reach:
    """Through pooling: input i reaches output i // size; what does not fill a window reaches nothing."""

    def axis(length: int) -> Axis:
        return np.arange(length)[:, None] // size == np.arange(length // size)

    return Reach(axis(shape[1]), axis(shape[2]))
