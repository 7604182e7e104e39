"""The scan compiled for CPU: forward, backward and double backward as one pass over (outer, time, inner) each.

With delta[t] = dL/dv[t], psi the surrogate's derivative and z[t] the spike,

    delta[t] = gv[t] + psi[t] (gz[t] + c[t] delta[t+1]) + decay r[t] delta[t+1],   dL/dcurrent[t] = delta[t]

    hard reset    r = 1 - z, c = -decay v        subtractive    r = 1, c = -threshold        (c = 0 without reset gradient)

The double backward runs the adjoint of this recurrence forward in time; `tests/core/test_kernels.py` holds both to the reference.
Arrays are C-contiguous (outer, time, inner), neurons lying before and after time; a current of one row is the same at every step.
Loops run over views of one step's row, and division follows IEEE rules instead of raising: what the compiler needs to vectorise them
(2 to 4 times faster).
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from torch import Tensor

from neurometa.core.kernels import Passes
from neurometa.core.neuron import LIF

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


@numba.njit(cache=True, inline="always")
def _fire(x, code, k, smooth):
    if smooth:
        return _value(x, code, k)
    return type(x)(1) if x > 0 else type(x)(0)


@numba.njit(cache=True, inline="always")
def _kept(v, z, decay, hard):
    return decay * (type(v)(1) - z) if hard else decay


@numba.njit(cache=True, inline="always")
def _through(v, decay, threshold, hard, through_reset):
    if not through_reset:
        return type(v)(0)
    return -decay * v if hard else -threshold


def passes(neuron: LIF) -> Passes:
    """The scan of one kind of neuron, on tensors of the CPU."""
    compiled = kernels(neuron.surrogate.code, neuron.hard_reset, neuron.reset_gradient, neuron.surrogate.smooth)

    def numbers(like: np.ndarray) -> tuple[Any, ...]:
        """Decay, threshold and slope in the array's own precision: a Python float would lift the whole kernel to double."""
        number = like.dtype.type
        return number(neuron.decay), number(neuron.threshold), number(neuron.surrogate.slope)

    def forward(current: Tensor, z: Tensor, v: Tensor) -> None:
        potentials = v.numpy()
        compiled.forward(current.numpy(), *numbers(potentials), z.numpy(), potentials)

    def backward(gz: Tensor | None, gv: Tensor | None, v: Tensor, delta: Tensor) -> None:
        potentials = v.numpy()
        compiled.backward(_array(gz, potentials), _array(gv, potentials), potentials, *numbers(potentials), delta.numpy())

    def double_backward(h: Tensor, gz: Tensor | None, v: Tensor, delta: Tensor, *out: Tensor) -> None:
        potentials = v.numpy()
        arrays = (part.numpy() for part in out)
        compiled.double_backward(h.numpy(), _array(gz, potentials), potentials, delta.numpy(), *numbers(potentials), *arrays)

    return Passes(forward, backward, double_backward)


def _array(gradient: Tensor | None, like: np.ndarray) -> np.ndarray:
    """A gradient as an array, empty where there is none."""
    return np.empty((0, 0, 0), like.dtype) if gradient is None else gradient.numpy()


class Kernels(NamedTuple):
    """Compiled passes of one kind of neuron; see `kernels`."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    double_backward: Callable[..., None]


@cache
def kernels(code: int, hard: bool, through_reset: bool, smooth: bool) -> Kernels:
    """Compile the passes of one kind of neuron; what distinguishes kinds is constant inside the loops, so that they vectorise.

    Args:
        code: the surrogate's.
        hard: hard reset, else subtractive.
        through_reset: whether derivatives pass through the reset.
        smooth: whether the surrogate's value stands in for the spike.
    Returns:
        forward(current, decay, threshold, k, z, v) fills spikes and potentials.
        backward(gz, gv, v, decay, threshold, k, delta) fills delta; where it has one row, with the sum over time.
        double_backward(h, gz, v, delta, decay, threshold, k, to_gz, to_gv, to_v) carries the cotangent h of delta back.
        A gradient array of one row is the same at every step, an empty one is zero.
    """

    @numba.njit(cache=True, error_model="numpy")
    def forward(current, decay, threshold, k, z, v):
        outer, steps, inner = z.shape
        last = current.shape[1] - 1
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                before = np.zeros(stop - start, v.dtype)
                for t in range(steps):
                    x, to_v, to_z = current[o, min(t, last), start:stop], v[o, t, start:stop], z[o, t, start:stop]
                    for i in range(len(before)):
                        u = before[i] + x[i]
                        fired = _fire(u - threshold, code, k, smooth)
                        to_v[i] = u
                        to_z[i] = fired
                        before[i] = decay * u * (type(u)(1) - fired) if hard else decay * u - threshold * fired

    @numba.njit(cache=True, error_model="numpy")
    def backward(gz, gv, v, decay, threshold, k, delta):
        outer, steps, inner = v.shape
        total = delta.shape[1] < steps
        zero = np.zeros(BLOCK, v.dtype)
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                later = np.zeros(stop - start, v.dtype)
                if total:
                    delta[o, 0, start:stop] = 0
                for t in range(steps - 1, -1, -1):
                    vt, out = v[o, t, start:stop], delta[o, 0 if total else t, start:stop]
                    gzt = gz[o, min(t, gz.shape[1] - 1), start:stop] if gz.shape[0] > 0 else zero
                    gvt = gv[o, min(t, gv.shape[1] - 1), start:stop] if gv.shape[0] > 0 else zero
                    for i in range(len(later)):
                        x = vt[i] - threshold
                        g = gzt[i] + _through(vt[i], decay, threshold, hard, through_reset) * later[i]
                        d = gvt[i] + _psi(x, code, k) * g + _kept(vt[i], _fire(x, code, k, smooth), decay, hard) * later[i]
                        later[i] = d
                        out[i] = out[i] + d if total else d

    @numba.njit(cache=True, error_model="numpy")
    def double_backward(h, gz, v, delta, decay, threshold, k, to_gz, to_gv, to_v):
        outer, steps, inner = v.shape
        last = h.shape[1] - 1
        zero = np.zeros(BLOCK, v.dtype)
        for o in range(outer):
            for start in range(0, inner, BLOCK):
                stop = min(start + BLOCK, inner)
                before = np.zeros(stop - start, v.dtype)
                for t in range(steps):
                    ht, vt = h[o, min(t, last), start:stop], v[o, t, start:stop]
                    gzt = gz[o, min(t, gz.shape[1] - 1), start:stop] if gz.shape[0] > 0 else zero
                    later = delta[o, t + 1, start:stop] if t + 1 < steps else zero
                    out_gz, out_gv, out_v = to_gz[o, t, start:stop], to_gv[o, t, start:stop], to_v[o, t, start:stop]
                    for i in range(len(before)):
                        x = vt[i] - threshold
                        c = _through(vt[i], decay, threshold, hard, through_reset)
                        psi = _psi(x, code, k)
                        a = ht[i] + before[i]
                        w = a * _dpsi(x, code, k) * (gzt[i] + c * later[i])
                        if hard and through_reset:  # both c and r depend on v here, each by -decay psi
                            w -= (decay + decay) * psi * later[i] * a
                        out_gz[i] = a * psi
                        out_gv[i] = a
                        out_v[i] = w
                        before[i] = (_kept(vt[i], _fire(x, code, k, smooth), decay, hard) + psi * c) * a

    return Kernels(forward, backward, double_backward)
