"""One time step of Loihi's neuron on integers, compiled. `export/emulator.py` has the equation."""

import numba
import numpy as np

STATE = 1 << 23
"""Half the range of a 24-bit state."""


@numba.njit(cache=True, inline="always")
def _decayed(x, keep):
    """x keep / 4096, rounded towards zero."""
    product = x * keep
    return product >> 12 if product >= 0 else -((-product) >> 12)


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
            current = _decayed(np.int64(u[i, b]), keep_u) + (np.int64(arriving[i, b]) << 6)
            largest_u = max(largest_u, abs(current))
            if current > STATE:
                current -= 2 * STATE
            elif current <= -STATE:
                current += 2 * STATE
            u[i, b] = current
            potential = _decayed(np.int64(v[i, b]), keep_v) + current + (own[0] if one else own[b])
            largest_v = max(largest_v, abs(potential))
            potential = min(max(potential, -STATE + 1), STATE - 1)
            fired = potential > limit
            z[i, b] = fired
            v[i, b] = 0 if fired else potential
    return largest_u, largest_v
