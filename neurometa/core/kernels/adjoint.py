"""The gradient of dense weights before a population, few of whose inputs spike, compiled for CPU: one pass backward in time.

What reaches the neurons is an error sent along weights of each neuron's own. The product with these weights, the way back through the
membranes (`core.adjoint`) and the sum over time of what arrives times the inputs are taken `ROWS` rows of (time, batch) at a time, so that
these rows stay in the cache and nothing of (time, batch, neurons) is written.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np

from neurometa.core.kernels.events import ROWS, add_rows, outer
from neurometa.core.kernels.numba import _fire, _kept, _psi


@cache
def lif(code: int, hard: bool, smooth: bool) -> Callable[..., None]:
    """Compile the pass of LIF; arguments as in `numba.kernels`.

    Returns:
        learnt(error, weights, x, k, v, decay, threshold, total, bias) adds to `total` (pre, post) and `bias` (post,).
        error is (time, batch, out), weights (out, post), x (time * batch, pre), v (time, batch, post); the constants are numbers.
    """

    @numba.njit(cache=True, error_model="numpy")
    def learnt(error, weights, x, k, v, decay, threshold, total, bias):
        steps, batch, n = v.shape
        outputs, block = np.arange(len(weights)), max(1, ROWS // batch)
        later, signal, delta = np.zeros((batch, n), v.dtype), np.empty(n, v.dtype), np.empty((block * batch, n), v.dtype)
        for stop in range(steps, 0, -block):
            start = max(0, stop - block)
            for t in range(stop - 1, start - 1, -1):
                for b in range(batch):
                    signal[:] = 0
                    add_rows(error[t, b], weights, outputs, len(outputs), signal)
                    vt, out, after = v[t, b], delta[(t - start) * batch + b], later[b]
                    for i in range(n):
                        above = vt[i] - threshold
                        d = _psi(above, code, k) * signal[i] + _kept(vt[i], _fire(above, code, k, smooth), decay, hard) * after[i]
                        after[i] = d
                        out[i] = d
                        bias[i] += d
            outer(x[start * batch : stop * batch], delta[: (stop - start) * batch], total)

    return learnt


@cache
def alif(code: int, hard: bool, smooth: bool) -> Callable[..., None]:
    """Compile the pass of ALIF.

    Returns:
        learnt(error, weights, x, k, v, a, decay, threshold, beta, rho, total, bias): the same, but the constants are (batch, post).
    """

    @numba.njit(cache=True, error_model="numpy")
    def learnt(error, weights, x, k, v, a, decay, threshold, beta, rho, total, bias):
        steps, batch, n = v.shape
        outputs, block = np.arange(len(weights)), max(1, ROWS // batch)
        later, adapted, signal = np.zeros((batch, n), v.dtype), np.zeros((batch, n), v.dtype), np.empty(n, v.dtype)
        delta = np.empty((block * batch, n), v.dtype)
        for stop in range(steps, 0, -block):
            start = max(0, stop - block)
            for t in range(stop - 1, start - 1, -1):
                for b in range(batch):
                    signal[:] = 0
                    add_rows(error[t, b], weights, outputs, len(outputs), signal)
                    vt, at, out, after, held = v[t, b], a[t, b], delta[(t - start) * batch + b], later[b], adapted[b]
                    d, th, be, r = decay[b], threshold[b], beta[b], rho[b]
                    for i in range(n):
                        above = vt[i] - th[i] - be[i] * at[i]
                        through = _psi(above, code, k) * (signal[i] + held[i])
                        u = through + _kept(vt[i], _fire(above, code, k, smooth), d[i], hard) * after[i]
                        after[i], held[i] = u, r[i] * held[i] - be[i] * through
                        out[i] = u
                        bias[i] += u
            outer(x[start * batch : stop * batch], delta[: (stop - start) * batch], total)

    return learnt
