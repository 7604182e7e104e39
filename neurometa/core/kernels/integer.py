"""One time step of Loihi's neuron on integers, and of one whose threshold adapts, compiled. `export/emulator.py` has the equations."""

import numba
import numpy as np

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
