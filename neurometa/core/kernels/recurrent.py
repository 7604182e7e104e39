"""The recurrent scan compiled for CPU: LIF, and with `adaptive` ALIF, whose spikes return to their own population one step later.

Forward is one pass over the window: a spike adds its row of the transposed weights, so that silent neurons cost nothing. Backward is one
pass too where the products are small; else it is, like the double backward, one time step each, and between steps the caller multiplies
by the weights. With x[t] = v[t] - threshold - beta a[t], psi
the surrogate's derivative, and zeta, delta, alpha the derivatives of the loss with respect to z, v and a,

    zeta[t] = gz[t] + c[t] delta[t+1] + alpha[t+1] + delta[t+1] W          epsilon[t] = psi[t] zeta[t]
    delta[t] = gv[t] + epsilon[t] + decay r[t] delta[t+1]                  alpha[t] = ga[t] + rho alpha[t+1] - beta epsilon[t]

    hard reset    r = 1 - z, c = -decay v        subtractive    r = 1, c = -threshold        (c = 0 without reset gradient)

The double backward is the adjoint of these four lines, with D, E, A, Z the cotangents of delta, epsilon, alpha and zeta, forward in time:

    D[t] = hd[t] + c[t-1] Z[t-1] + Z[t-1] W^T + decay r[t-1] D[t-1]        A[t] = ha[t] + Z[t-1] + rho A[t-1]
    E[t] = he[t] + D[t] - beta A[t]                                        Z[t] = psi[t] E[t]

Arrays are C-contiguous (time, row, n), a row being one example of one task; constants (task, 4, n) are decay, threshold, beta, rho. Arrays
that a kind of neuron has no use for are empty; a gradient of one time step is the same at every step.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numba
import numpy as np

from neurometa.core.kernels.events import add_rows, events
from neurometa.core.kernels.numba import _dpsi, _fire, _kept, _psi, _through


class Kernels(NamedTuple):
    """Compiled passes of one kind of neuron; see `kernels`."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    backward_step: Callable[..., None]
    double_step: Callable[..., None]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _multiply(x, w, y):
    """Write x w to y, for products too small for a library's call; two rows and four columns of x at a time share what they read."""
    n, whole = y.shape[1], len(w) - len(w) % 4
    y[:] = 0
    for r in range(0, len(x), 2):
        p, q = x[r], x[min(r + 1, len(x) - 1)]  # a last row without a partner is computed twice, once for the bin
        y_p, y_q = y[r], y[r + 1] if r + 1 < len(y) else np.empty_like(y[r])
        for j in range(0, whole, 4):
            a, b, c, d = w[j], w[j + 1], w[j + 2], w[j + 3]
            p0, p1, p2, p3 = p[j], p[j + 1], p[j + 2], p[j + 3]
            q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
            for i in range(n):
                y_p[i] = y_p[i] + p0 * a[i] + p1 * b[i] + p2 * c[i] + p3 * d[i]
                y_q[i] = y_q[i] + q0 * a[i] + q1 * b[i] + q2 * c[i] + q3 * d[i]
        for j in range(whole, len(w)):
            a, p0, q0 = w[j], p[j], q[j]
            for i in range(n):
                y_p[i] += p0 * a[i]
                y_q[i] += q0 * a[i]


@cache
def kernels(code: int, hard: bool, through_reset: bool, smooth: bool, adaptive: bool) -> Kernels:
    """Compile the passes of one kind of neuron.

    Args:
        code: the surrogate's.
        hard: hard reset, else subtractive.
        through_reset: whether derivatives pass through the reset.
        smooth: whether the surrogate's value stands in for the spike.
        adaptive: whether the threshold adapts.
    Returns:
        forward(current, transposed, constants, start, k, z, v, a) fills spikes, potentials and adaptations; `start` (row, n) is a[0].
        backward(gz, gv, ga, v, z, a, constants, k, weight, delta, epsilon, alpha) does every step, and the products between them.
        backward_step(t, gz, gv, ga, v, z, a, constants, k, returned, delta, epsilon, alpha) fills step t, given `returned` = delta[t+1] W.
        double_step(t, hd, he, ha, gz, v, z, a, delta, alpha, constants, k, returned, sent, to_gz, to_gv, to_ga, to_x) fills step t of Z, D,
        A and of psi' zeta E, the cotangent of x, given `returned` = delta[t+1] W and `sent` = Z[t-1] W^T.
    """

    @numba.njit(cache=True, error_model="numpy")
    def forward(current, transposed, constants, start, k, z, v, a):
        steps, rows, n = v.shape
        last, examples = current.shape[0] - 1, rows // len(transposed)
        found = np.empty(n + 1, np.int64)
        for t in range(steps):
            for row in range(rows):
                task = row // examples
                decay, threshold, beta, rho = constants[task]
                x, vt, zt = current[min(t, last), row], v[t, row], z[t, row]
                for i in range(n):
                    vt[i] = x[i]
                if t > 0:
                    v_, z_ = v[t - 1, row], z[t - 1, row]
                    add_rows(z_, transposed[task], found, events(z_, found), vt)
                    for i in range(n):
                        kept = _kept(v_[i], z_[i], decay[i], hard) * v_[i]
                        vt[i] += kept if hard else kept - threshold[i] * z_[i]
                if adaptive:
                    at = a[t, row]
                    if t == 0:
                        for i in range(n):
                            at[i] = start[row, i]
                    else:
                        a_, z_ = a[t - 1, row], z[t - 1, row]
                        for i in range(n):
                            at[i] = rho[i] * a_[i] + z_[i]
                    for i in range(n):
                        zt[i] = _fire(vt[i] - threshold[i] - beta[i] * at[i], code, k, smooth)
                else:
                    for i in range(n):
                        zt[i] = _fire(vt[i] - threshold[i], code, k, smooth)

    @numba.njit(cache=True, error_model="numpy")
    def backward_step(t, gz, gv, ga, v, z, a, constants, k, returned, delta, epsilon, alpha):
        steps, rows, n = v.shape
        examples = rows // len(constants)
        zero = np.zeros(n, v.dtype)
        last = t + 1 == steps
        for row in range(rows):
            decay, threshold, beta, rho = constants[row // examples]
            gzt, gvt = gz[min(t, len(gz) - 1), row], gv[min(t, len(gv) - 1), row]
            vt, zt, out = v[t, row], z[t, row], delta[t, row]
            later, back = (zero, zero) if last else (delta[t + 1, row], returned[row])
            spiked = epsilon[t, row] if len(epsilon) > 0 else np.empty(n, v.dtype)
            if adaptive:
                at, gat, to_a = a[t, row], ga[min(t, len(ga) - 1), row], alpha[t, row]
                alpha_ = zero if last else alpha[t + 1, row]
                for i in range(n):
                    zeta = gzt[i] + _through(vt[i], decay[i], threshold[i], hard, through_reset) * later[i] + alpha_[i] + back[i]
                    spiked[i] = _psi(vt[i] - threshold[i] - beta[i] * at[i], code, k) * zeta
                    to_a[i] = gat[i] + rho[i] * alpha_[i] - beta[i] * spiked[i]
            else:
                for i in range(n):
                    zeta = gzt[i] + _through(vt[i], decay[i], threshold[i], hard, through_reset) * later[i] + back[i]
                    spiked[i] = _psi(vt[i] - threshold[i], code, k) * zeta
            for i in range(n):
                out[i] = gvt[i] + spiked[i] + _kept(vt[i], zt[i], decay[i], hard) * later[i]

    @numba.njit(cache=True, error_model="numpy")
    def backward(gz, gv, ga, v, z, a, constants, k, weight, delta, epsilon, alpha):
        steps, rows, n = v.shape
        examples = rows // len(constants)
        returned = np.empty((rows, n), v.dtype)
        for t in range(steps - 1, -1, -1):
            backward_step(t, gz, gv, ga, v, z, a, constants, k, returned, delta, epsilon, alpha)
            for task in range(len(weight) if t > 0 else 0):
                own = slice(task * examples, (task + 1) * examples)
                _multiply(delta[t, own], weight[task], returned[own])

    @numba.njit(cache=True, error_model="numpy")
    def double_step(t, hd, he, ha, gz, v, z, a, delta, alpha, constants, k, returned, sent, to_gz, to_gv, to_ga, to_x):
        steps, rows, n = v.shape
        examples = rows // len(constants)
        zero = np.zeros(n, v.dtype)
        for row in range(rows):
            decay, threshold, beta, rho = constants[row // examples]
            vt, gzt, hdt, het = v[t, row], gz[min(t, len(gz) - 1), row], hd[min(t, len(hd) - 1), row], he[min(t, len(he) - 1), row]
            out_z, out_v, out_x = to_gz[t, row], to_gv[t, row], to_x[t, row]
            later, back = (delta[t + 1, row], returned[row]) if t + 1 < steps else (zero, zero)
            if t == 0:
                for i in range(n):
                    out_v[i] = hdt[i]
            else:
                before_z, before_v, v_, z_, arrived = to_gz[t - 1, row], to_gv[t - 1, row], v[t - 1, row], z[t - 1, row], sent[row]
                for i in range(n):
                    c = _through(v_[i], decay[i], threshold[i], hard, through_reset)
                    out_v[i] = hdt[i] + c * before_z[i] + arrived[i] + _kept(v_[i], z_[i], decay[i], hard) * before_v[i]
            if adaptive:
                at, hat, out_a = a[t, row], ha[min(t, len(ha) - 1), row], to_ga[t, row]
                earlier_z, earlier_a = (to_gz[t - 1, row], to_ga[t - 1, row]) if t > 0 else (zero, zero)
                alpha_ = alpha[t + 1, row] if t + 1 < steps else zero
                for i in range(n):
                    x = vt[i] - threshold[i] - beta[i] * at[i]
                    out_a[i] = hat[i] + earlier_z[i] + rho[i] * earlier_a[i]
                    e = het[i] + out_v[i] - beta[i] * out_a[i]
                    zeta = gzt[i] + _through(vt[i], decay[i], threshold[i], hard, through_reset) * later[i] + alpha_[i] + back[i]
                    out_z[i] = _psi(x, code, k) * e
                    out_x[i] = _dpsi(x, code, k) * zeta * e
            else:
                for i in range(n):
                    x = vt[i] - threshold[i]
                    e = het[i] + out_v[i]
                    zeta = gzt[i] + _through(vt[i], decay[i], threshold[i], hard, through_reset) * later[i] + back[i]
                    out_z[i] = _psi(x, code, k) * e
                    out_x[i] = _dpsi(x, code, k) * zeta * e

    return Kernels(forward, backward, backward_step, double_step)
