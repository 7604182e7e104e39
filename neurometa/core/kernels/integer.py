"""Loihi's neuron on integers, compiled: a step of it and of one whose threshold adapts, and a window for training.

`export/emulator.py` has the equations.
"""

import numba
import numpy as np

BLOCK = 1024
"""Neurons worked on at a time in a window, so that a block's state stays in the first-level cache."""

STATE = 1 << 23
"""Half the range of a 24-bit state."""


@numba.njit(cache=True, inline="always")
def _decayed(x, keep):
    """x keep / 4096, rounded towards zero."""
    product = x * keep
    return product >> 12 if product >= 0 else -((-product) >> 12)


@numba.njit(cache=True, inline="always")
def _driven(u, v, arriving, keep_u, keep_v, bias):
    """Current and potential one step on, each before it wraps or is clipped, and after."""
    raw = _decayed(np.int64(u), keep_u) + (np.int64(arriving) << 6)
    current = raw
    if current > STATE:
        current -= 2 * STATE
    elif current <= -STATE:
        current += 2 * STATE
    potential = _decayed(np.int64(v), keep_v) + current + bias
    return raw, current, potential, min(max(potential, -STATE + 1), STATE - 1)


@numba.njit(cache=True)
def step(arriving, u, v, z, du, dv, bias, vth):
    """Advance in place: u, v int32 and z uint8, (n, batch); arriving int32 (n, batch); du, dv, vth int64 (n,); bias int64 (n, 1 or batch).

    Returns:
        The largest magnitude of u before it wrapped, and of v before it was clipped.
    """
    largest_u, largest_v = np.int64(0), np.int64(0)
    for i in range(u.shape[0]):
        keep_u, keep_v, limit = 4096 - (du[i] + 1), 4096 - dv[i], vth[i] << 6
        own, one = bias[i], bias.shape[1] == 1
        for b in range(u.shape[1]):
            raw_u, u[i, b], raw_v, potential = _driven(u[i, b], v[i, b], arriving[i, b], keep_u, keep_v, own[0] if one else own[b])
            largest_u, largest_v = max(largest_u, abs(raw_u)), max(largest_v, abs(raw_v))
            fired = potential > limit
            z[i, b] = fired
            v[i, b] = 0 if fired else potential
    return largest_u, largest_v


@numba.njit(cache=True)
def adaptive_step(arriving, u, v, z, du, dv, bias, vth, rise, da, beta):
    """`step` of neurons that adapt: `rise`, of the threshold, int32 (n, batch), and da, beta int64 (n,)."""
    largest_u, largest_v = np.int64(0), np.int64(0)
    for i in range(u.shape[0]):
        keep_u, keep_v, keep_b, limit, more = 4096 - (du[i] + 1), 4096 - dv[i], 4096 - da[i], vth[i] << 6, beta[i] << 6
        own, one = bias[i], bias.shape[1] == 1
        for b in range(u.shape[1]):
            raw_u, u[i, b], raw_v, potential = _driven(u[i, b], v[i, b], arriving[i, b], keep_u, keep_v, own[0] if one else own[b])
            largest_u, largest_v = max(largest_u, abs(raw_u)), max(largest_v, abs(raw_v))
            fired = potential > limit + rise[i, b]
            z[i, b] = fired
            v[i, b] = 0 if fired else potential
            rise[i, b] = min(_decayed(np.int64(rise[i, b]), keep_b) + (more if fired else 0), STATE - 1)
    return largest_u, largest_v


@numba.njit(cache=True, error_model="numpy")
def window(arriving, bias, factor, keep, limit, unit, z, v):
    """A whole window from rest, where u forgets at once and no state can wrap or be clipped; fills spikes and potentials before reset.

    v[t] = trunc(keep v[t-1] (1 - z[t-1])) + 64 floor(factor arriving[t]) + bias;   z[t] = v[t] > limit

    Args:
        arriving: whole numbers, (outer, steps or 1, inner).
        bias: whole numbers, float64 (outer, 1, inner).
        factor, keep, limit: 2**exponent, 1 - dv / 4096, 64 vth. Every product of them is exact in float64.
        unit: float potentials over integer ones.
        z, v: (outer, steps, inner).
    """
    outer, steps, inner = z.shape
    last = arriving.shape[1] - 1
    for o in range(outer):
        for start in range(0, inner, BLOCK):
            stop = min(start + BLOCK, inner)
            before, constant = np.zeros(stop - start, np.float64), bias[o, 0, start:stop]
            for t in range(steps):
                x, to_v, to_z = arriving[o, min(t, last), start:stop], v[o, t, start:stop], z[o, t, start:stop]
                for i in range(len(before)):
                    potential = np.trunc(keep * before[i]) + 64.0 * np.floor(factor * np.float64(x[i])) + constant[i]
                    fired = potential > limit
                    to_v[i] = unit * potential
                    to_z[i] = 1 if fired else 0
                    before[i] = 0.0 if fired else potential
