"""Products with a spike matrix for CPU: work only where there is a spike. Rows are time steps of examples, columns neurons.

Four spikes are taken at a time, so that what they are added to is read and written once for the four.
"""

import numba
import numpy as np

ROWS = 128
"""Rows whose spikes `outer` sorts by column at a time: so many rows of 512 floats stay in the second-level cache."""


@numba.njit(cache=True, error_model="numpy")
def events(row, found):
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
        add_rows(x[r], weight, found, events(x[r], found), y[r])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def add_rows(size, rows, places, count, out):
    """Add size[p] rows[p] to `out`, for the first `count` of the places p."""
    for e in range(0, count - 3, 4):
        a, b, c, d = places[e], places[e + 1], places[e + 2], places[e + 3]
        size_a, size_b, size_c, size_d = size[a], size[b], size[c], size[d]
        row_a, row_b, row_c, row_d = rows[a], rows[b], rows[c], rows[d]
        for j in range(len(out)):
            out[j] = out[j] + size_a * row_a[j] + size_b * row_b[j] + size_c * row_c[j] + size_d * row_d[j]
    for e in range(count - count % 4, count):
        size_a, row_a = size[places[e]], rows[places[e]]
        for j in range(len(out)):
            out[j] += size_a * row_a[j]


@numba.njit(cache=True, error_model="numpy")
def outer(x, g, total):
    """Add x^T g to `total` (pre, post): for every spike one row of g (rows, post)."""
    rows, pre = x.shape
    found, count, column = np.empty(pre + 1, np.int64), np.zeros(pre, np.int64), np.empty((pre, ROWS), np.int64)
    for start in range(0, rows, ROWS):
        for r in range(start, min(start + ROWS, rows)):
            for e in range(events(x[r], found)):
                i = found[e]
                column[i, count[i]] = r
                count[i] += 1
        for i in range(pre):
            add_rows(x[:, i], g, column[i], count[i], total[i])
            count[i] = 0
