"""Products with a spike matrix for CPU: work only where there is a spike. Rows are time steps of examples, columns neurons."""

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy")
def _events(row, found):
    """Write the places of the non-zero entries of a row into `found` and return how many there are; no branch to mispredict."""
    count = 0
    for i in range(len(row)):
        found[count] = i
        count += row[i] != 0
    return count


@numba.njit(cache=True, error_model="numpy")
def product(x, weight, y):
    """Add x W to y: for every spike the row of `weight` (pre, post) that it opens. x is (rows, pre), y (rows, post)."""
    found = np.empty(x.shape[1] + 1, np.int64)
    for r in range(len(x)):
        out = y[r]
        for e in range(_events(x[r], found)):
            size, row = x[r, found[e]], weight[found[e]]
            for j in range(len(out)):
                out[j] += size * row[j]


@numba.njit(cache=True, error_model="numpy")
def outer(x, g, total):
    """Add x^T g to `total` (pre, post): for every spike one row of g (rows, post)."""
    found = np.empty(x.shape[1] + 1, np.int64)
    for r in range(len(x)):
        row = g[r]
        for e in range(_events(x[r], found)):
            size, out = x[r, found[e]], total[found[e]]
            for j in range(len(row)):
                out[j] += size * row[j]
