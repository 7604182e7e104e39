"""The scan compiled for CPU: forward, backward and double backward as one pass over (time, neurons) each.

With delta[t] = dL/dv[t], psi the surrogate's derivative and z[t] the spike,

    delta[t] = gv[t] + psi[t] (gz[t] + c[t] delta[t+1]) + decay r[t] delta[t+1],   dL/dcurrent[t] = delta[t]

    hard reset    r = 1 - z, c = -decay v        subtractive    r = 1, c = -threshold        (c = 0 without reset gradient)

The double backward runs the adjoint of this recurrence forward in time; `tests/core/test_kernels.py` holds both to the reference.
Arrays are C-contiguous (time, neurons); a current of one row is the same at every step.
"""

import math

import numba
import numpy as np

BLOCK = 1024
"""Neurons worked on at a time, so that a block's state stays in the first-level cache."""


@numba.njit(cache=True, inline="always")
def _value(x, code, k):
    one = type(x)(1)
    half = one / type(x)(2)
    if code == 0:
        return half + x / (one + k * abs(x))
    if code == 1:
        return type(x)(0.5 + math.atan(math.pi / 2 * k * x) / math.pi)
    if code == 3:
        return one / (one + math.exp(-k * x))
    inside = min(max(x, -one / k), one / k)
    return half + inside - (k * inside * abs(inside) * half if code == 2 else type(x)(0))


@numba.njit(cache=True, inline="always")
def _psi(x, code, k):
    one = type(x)(1)
    if code == 0:
        q = one + k * abs(x)
        return one / (q * q)
    if code == 1:
        q = type(x)(math.pi / 2) * k * x
        return k / type(x)(2) / (one + q * q)
    if code == 2:
        return max(type(x)(0), one - k * abs(x))
    if code == 3:
        s = one / (one + math.exp(-k * x))
        return k * s * (one - s)
    return one if abs(x) < one / k else type(x)(0)


@numba.njit(cache=True, inline="always")
def _dpsi(x, code, k):
    one, two, zero = type(x)(1), type(x)(2), type(x)(0)
    sign = one if x > 0 else (-one if x < 0 else zero)
    if code == 0:
        q = one + k * abs(x)
        return -two * k * sign / (q * q * q)
    if code == 1:
        q = type(x)(math.pi / 2) * k
        w = one + q * x * q * x
        return -k * q * q * x / (w * w)
    if code == 2:
        return -k * sign if abs(x) < one / k else zero
    if code == 3:
        s = one / (one + math.exp(-k * x))
        return k * k * s * (one - s) * (one - two * s)
    return zero


@numba.njit(cache=True)
def forward(current, decay, threshold, hard, code, k, smooth, z, v):
    """Fill `z` and `v` from `current`."""
    steps, n = z.shape
    one, zero = z.dtype.type(1), z.dtype.type(0)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        for t in range(steps):
            row = t if current.shape[0] > 1 else 0
            for i in range(start, stop):
                kept = zero
                if t > 0:
                    before = decay * v[t - 1, i]
                    kept = before * (one - z[t - 1, i]) if hard else before - threshold * z[t - 1, i]
                potential = kept + current[row, i]
                v[t, i] = potential
                if smooth:
                    z[t, i] = _value(potential - threshold, code, k)
                else:
                    z[t, i] = one if potential > threshold else zero


@numba.njit(cache=True)
def backward(gz, gv, z, v, decay, threshold, hard, through_reset, code, k, delta, total):
    """Fill `delta`; where `total` has one row, add every step's delta to it instead of keeping the rows apart.

    `gz` and `gv` of zero rows are taken as zero.
    """
    steps, n = v.shape
    zero, one = v.dtype.type(0), v.dtype.type(1)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        for t in range(steps - 1, -1, -1):
            for i in range(start, stop):
                later = delta[t + 1, i] if t + 1 < steps else zero
                g = gz[t, i] if gz.shape[0] > 0 else zero
                kept = decay * (one - z[t, i]) if hard else decay
                if through_reset:
                    g += (-decay * v[t, i] if hard else -threshold) * later
                d = _psi(v[t, i] - threshold, code, k) * g + kept * later
                delta[t, i] = d + gv[t, i] if gv.shape[0] > 0 else d
            if total.shape[0] == 1:
                for i in range(start, stop):
                    total[0, i] += delta[t, i]


@numba.njit(cache=True)
def double_backward(h, gz, z, v, delta, decay, threshold, hard, through_reset, code, k, to_gz, to_gv, to_v):
    """Cotangent `h` of delta back to gz, gv and v."""
    steps, n = v.shape
    zero, one = v.dtype.type(0), v.dtype.type(1)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        for t in range(steps):
            row = t if h.shape[0] > 1 else 0
            for i in range(start, stop):
                a = h[row, i]
                if t > 0:
                    c = zero
                    if through_reset:
                        c = -decay * v[t - 1, i] if hard else -threshold
                    kept = decay * (one - z[t - 1, i]) if hard else decay
                    before = _psi(v[t - 1, i] - threshold, code, k)
                    a += (kept + before * c) * to_gv[t - 1, i]
                later = delta[t + 1, i] if t + 1 < steps else zero
                x = v[t, i] - threshold
                psi = _psi(x, code, k)
                g = gz[t, i] if gz.shape[0] > 0 else zero
                bend = zero
                if through_reset:
                    g += (-decay * v[t, i] if hard else -threshold) * later
                    bend = -(decay + decay) * psi * later if hard else zero
                to_gv[t, i] = a
                to_gz[t, i] = a * psi
                to_v[t, i] = a * (_dpsi(x, code, k) * g + bend)


def empty(like: np.ndarray) -> np.ndarray:
    """An array of no rows: stands for a gradient that is zero."""
    return np.empty((0, like.shape[1]), like.dtype)
