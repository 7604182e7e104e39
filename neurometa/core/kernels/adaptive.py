"""LIF and ALIF with constants of each neuron's own, compiled for CPU: forward and backward as one pass over (outer, time, inner) each.

With delta[t] = dL/dv[t], eta[t] = dL/da[t], psi the surrogate's derivative at v - threshold - beta a,

    dz[t]    = gz[t] + c[t] delta[t+1] + eta[t+1]
    delta[t] = gv[t] + psi[t] dz[t] + decay r[t] delta[t+1]
    eta[t]   = ga[t] - beta psi[t] dz[t] + rho eta[t+1]

    hard reset    r = 1 - z, c = -decay v        subtractive    r = 1, c = -threshold        (c = 0 without reset gradient)

LIF is the case without a and eta. Arrays of constants are (outer, 1, inner).
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numba
import numpy as np

from neurometa.core.kernels.numba import BLOCK, _fire, _kept, _psi, _through


class Passes(NamedTuple):
    """Compiled passes of one kind of neuron."""

    forward: Callable[..., None]
    backward: Callable[..., None]


@cache
def lif(code: int, hard: bool, through_reset: bool, smooth: bool) -> Passes:
    """Compile the passes of LIF; arguments as in `numba.kernels`.

    Returns:
        forward(current, k, decay, threshold, z, v) fills spikes and potentials.
        backward(gz, gv, k, v, decay, threshold, delta).
    """

    @numba.njit(cache=True, error_model="numpy")
    def forward(current, k, decay, threshold, z, v):
        outer, steps, inner = z.shape
        last = current.shape[1] - 1
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                before = np.zeros(stop - start, v.dtype)
                d, th = decay[o, 0, start:stop], threshold[o, 0, start:stop]
                for t in range(steps):
                    x, to_v, to_z = current[o, min(t, last), start:stop], v[o, t, start:stop], z[o, t, start:stop]
                    for i in range(len(before)):
                        u = before[i] + x[i]
                        fired = _fire(u - th[i], code, k, smooth)
                        to_v[i] = u
                        to_z[i] = fired
                        before[i] = d[i] * u * (type(u)(1) - fired) if hard else d[i] * u - th[i] * fired

    @numba.njit(cache=True, error_model="numpy")
    def backward(gz, gv, k, v, decay, threshold, delta):
        outer, steps, inner = v.shape
        zero = np.zeros(BLOCK, v.dtype)
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                later = np.zeros(stop - start, v.dtype)
                d, th = decay[o, 0, start:stop], threshold[o, 0, start:stop]
                for t in range(steps - 1, -1, -1):
                    vt, out = v[o, t, start:stop], delta[o, t, start:stop]
                    gzt = gz[o, min(t, gz.shape[1] - 1), start:stop] if gz.shape[0] > 0 else zero
                    gvt = gv[o, min(t, gv.shape[1] - 1), start:stop] if gv.shape[0] > 0 else zero
                    for i in range(len(later)):
                        x = vt[i] - th[i]
                        dz = gzt[i] + _through(vt[i], d[i], th[i], hard, through_reset) * later[i]
                        u = gvt[i] + _psi(x, code, k) * dz + _kept(vt[i], _fire(x, code, k, smooth), d[i], hard) * later[i]
                        later[i] = u
                        out[i] = u

    return Passes(forward, backward)


@cache
def alif(code: int, hard: bool, through_reset: bool, smooth: bool) -> Passes:
    """Compile the passes of ALIF; arguments as in `numba.kernels`.

    Returns:
        forward(current, k, decay, threshold, beta, rho, first, z, v, a) fills spikes, potentials and adaptations; `first` is a[0].
        backward(gz, gv, ga, k, v, a, decay, threshold, beta, rho, delta, eta).
    """

    @numba.njit(cache=True, error_model="numpy")
    def forward(current, k, decay, threshold, beta, rho, first, z, v, a):
        outer, steps, inner = z.shape
        last = current.shape[1] - 1
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                before = np.zeros(stop - start, v.dtype)
                adapted = first[o, 0, start:stop].copy()
                d, th, b, r = decay[o, 0, start:stop], threshold[o, 0, start:stop], beta[o, 0, start:stop], rho[o, 0, start:stop]
                for t in range(steps):
                    x, to_v, to_z = current[o, min(t, last), start:stop], v[o, t, start:stop], z[o, t, start:stop]
                    to_a = a[o, t, start:stop]
                    for i in range(len(before)):
                        u = before[i] + x[i]
                        fired = _fire(u - th[i] - b[i] * adapted[i], code, k, smooth)
                        to_v[i] = u
                        to_z[i] = fired
                        to_a[i] = adapted[i]
                        adapted[i] = r[i] * adapted[i] + fired
                        before[i] = d[i] * u * (type(u)(1) - fired) if hard else d[i] * u - th[i] * fired

    @numba.njit(cache=True, error_model="numpy")
    def backward(gz, gv, ga, k, v, a, decay, threshold, beta, rho, delta, eta):
        outer, steps, inner = v.shape
        zero = np.zeros(BLOCK, v.dtype)
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                later, adapted = np.zeros(stop - start, v.dtype), np.zeros(stop - start, v.dtype)
                d, th, b, r = decay[o, 0, start:stop], threshold[o, 0, start:stop], beta[o, 0, start:stop], rho[o, 0, start:stop]
                for t in range(steps - 1, -1, -1):
                    vt, at, to_delta, to_eta = v[o, t, start:stop], a[o, t, start:stop], delta[o, t, start:stop], eta[o, t, start:stop]
                    gzt = gz[o, min(t, gz.shape[1] - 1), start:stop] if gz.shape[0] > 0 else zero
                    gvt = gv[o, min(t, gv.shape[1] - 1), start:stop] if gv.shape[0] > 0 else zero
                    gat = ga[o, min(t, ga.shape[1] - 1), start:stop] if ga.shape[0] > 0 else zero
                    for i in range(len(later)):
                        x = vt[i] - th[i] - b[i] * at[i]
                        dz = gzt[i] + _through(vt[i], d[i], th[i], hard, through_reset) * later[i] + adapted[i]
                        through = _psi(x, code, k) * dz
                        w = gat[i] - b[i] * through + r[i] * adapted[i]
                        u = gvt[i] + through + _kept(vt[i], _fire(x, code, k, smooth), d[i], hard) * later[i]
                        later[i], adapted[i] = u, w
                        to_delta[i], to_eta[i] = u, w

    return Passes(forward, backward)
