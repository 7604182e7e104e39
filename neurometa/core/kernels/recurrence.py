"""Linear recurrences with factors that change in time, compiled for CPU; one pass over (outer, time, inner) each.

A factor of one row is the same at every step. Factor m[t] lies between steps t and t+1, so the last is never used.
"""

import numba
import numpy as np

from neurometa.core.kernels.numba import BLOCK


@numba.njit(cache=True, error_model="numpy")
def single(m, g, reverse, y):
    """y[t] = g[t] + m[t-1] y[t-1], or with `reverse` y[t] = g[t] + m[t] y[t+1]."""
    outer, steps, inner = g.shape
    last = m.shape[1] - 1
    for o in range(outer):
        for start in range(0, inner, BLOCK):
            stop = min(start + BLOCK, inner)
            before = np.zeros(stop - start, g.dtype)
            for s in range(steps):
                t = steps - 1 - s if reverse else s
                factor = m[o, min(t if reverse else max(t - 1, 0), last), start:stop]
                add, out = g[o, t, start:stop], y[o, t, start:stop]
                for i in range(len(before)):
                    u = add[i] + factor[i] * before[i]
                    before[i] = u
                    out[i] = u


@numba.njit(cache=True, error_model="numpy")
def double(m11, m12, m21, m22, g1, g2, reverse, y1, y2):
    """The same of two numbers, with M = ((m11, m12), (m21, m22)) in place of m."""
    outer, steps, inner = g1.shape
    for o in range(outer):
        for start in range(0, inner, BLOCK):
            stop = min(start + BLOCK, inner)
            before1, before2 = np.zeros(stop - start, g1.dtype), np.zeros(stop - start, g1.dtype)
            for s in range(steps):
                t = steps - 1 - s if reverse else s
                k = t if reverse else max(t - 1, 0)
                a, b, c, d = m11[o, k, start:stop], m12[o, k, start:stop], m21[o, k, start:stop], m22[o, k, start:stop]
                add1, add2, out1, out2 = g1[o, t, start:stop], g2[o, t, start:stop], y1[o, t, start:stop], y2[o, t, start:stop]
                for i in range(len(before1)):
                    u = add1[i] + a[i] * before1[i] + b[i] * before2[i]
                    w = add2[i] + c[i] * before1[i] + d[i] * before2[i]
                    before1[i], before2[i] = u, w
                    out1[i], out2[i] = u, w
