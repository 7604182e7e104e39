"""The scan for CUDA, in Triton: the passes of `kernels/numba.py`, one program for each block of neurons, time as a loop inside.

The equations stand in `kernels/numba.py`; `tests/core/test_kernels.py` holds both to the reference. Tensors are contiguous
(outer, time, inner), neurons lying before and after time; a current or gradient of one row is the same at every step.
Multiplications and additions are not fused (`enable_fp_fusion=False`), so that potentials equal the reference's and the same neurons fire.
Under TRITON_INTERPRET=1, set before triton is imported, the same source runs on the CPU: slowly, to be tested.
"""
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportCallIssue=false
# (what `triton.jit` compiles only looks like Python)

from functools import lru_cache, partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurometa.core.kernels import Passes
from neurometa.core.neuron import LIF

BLOCK = 128
"""Neurons of one program."""

PI: tl.constexpr = tl.constexpr(3.141592653589793)


@triton.jit
def _atan(x):
    """Arc tangent without a device library: halve the angle three times, then 12 terms of the series at |y| <= tan(pi/16)."""
    y = x
    for _ in tl.static_range(3):
        y = y / (1.0 + tl.sqrt(1.0 + y * y))
    square = y * y
    total = tl.zeros_like(y) + 1.0 / 25
    for term in tl.static_range(12):
        total = 1.0 / (23 - 2 * term) - square * total
    return 8.0 * y * total


@triton.jit
def _value(x, k, code: tl.constexpr):
    if code == 0:
        return 0.5 + x / (1.0 + k * tl.abs(x))
    elif code == 1:
        return 0.5 + _atan(PI / 2 * k * x) / PI
    elif code == 3:
        return 1.0 / (1.0 + tl.exp(-k * x))
    else:
        inside = tl.minimum(tl.maximum(x, -1.0 / k), 1.0 / k)
        if code == 2:
            return 0.5 + inside - k * inside * tl.abs(inside) * 0.5
        else:
            return 0.5 + inside


@triton.jit
def _psi(x, k, code: tl.constexpr):
    if code == 0:
        q = 1.0 + k * tl.abs(x)
        return 1.0 / (q * q)
    elif code == 1:
        q = PI / 2 * k * x
        return k / 2.0 / (1.0 + q * q)
    elif code == 2:
        return tl.maximum(1.0 - k * tl.abs(x), 0.0)
    elif code == 3:
        s = 1.0 / (1.0 + tl.exp(-k * x))
        return k * s * (1.0 - s)
    else:
        return tl.where(tl.abs(x) < 1.0 / k, 1.0, 0.0).to(x.dtype)


@triton.jit
def _dpsi(x, k, code: tl.constexpr):
    sign = tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0)).to(x.dtype)
    if code == 0:
        q = 1.0 + k * tl.abs(x)
        return -2.0 * k * sign / (q * q * q)
    elif code == 1:
        q = PI / 2 * k
        w = 1.0 + q * x * q * x
        return -k * q * q * x / (w * w)
    elif code == 2:
        return tl.where(tl.abs(x) < 1.0 / k, -k * sign, 0.0)
    elif code == 3:
        s = 1.0 / (1.0 + tl.exp(-k * x))
        return k * k * s * (1.0 - s) * (1.0 - 2.0 * s)
    else:
        return tl.zeros_like(x)


@triton.jit
def _fire(x, k, code: tl.constexpr, smooth: tl.constexpr):
    if smooth:
        return _value(x, k, code)
    else:
        return tl.where(x > 0, 1.0, 0.0).to(x.dtype)


@triton.jit
def _through(v, decay, threshold, hard: tl.constexpr, through: tl.constexpr):
    """Derivative of what remains at the next step with respect to the spike."""
    if not through:
        return tl.zeros_like(v)
    elif hard:
        return -decay * v
    else:
        return tl.zeros_like(v) - threshold


@triton.jit
def _kept(v, k, decay, threshold, code: tl.constexpr, hard: tl.constexpr, smooth: tl.constexpr):
    """Derivative of what remains at the next step with respect to the potential."""
    if hard:
        return decay * (1.0 - _fire(v - threshold, k, code, smooth))
    else:
        return tl.zeros_like(v) + decay


@triton.jit
def _lanes(lanes, steps, inner, BLOCK: tl.constexpr):
    """Which neurons this program has: whether each exists, where it begins in a window of `steps` rows, and in one of one row."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    o, i = lane // inner, lane % inner
    return lane < lanes, o * steps * inner + i, o * inner + i


@triton.jit
def _row(pointer, window, single, t, inner, mask, rows: tl.constexpr):
    """One step of a tensor of every step (rows 2), of one row for all (rows 1), or of zeros (rows 0)."""
    if rows == 0:
        return tl.zeros_like(window).to(pointer.dtype.element_ty)
    elif rows == 1:
        return tl.load(pointer + single, mask=mask, other=0.0)
    else:
        return tl.load(pointer + window + t * inner, mask=mask, other=0.0)


@triton.jit
def _forward(
    current, numbers, z, v, lanes, steps, inner,
    rows: tl.constexpr, code: tl.constexpr, hard: tl.constexpr, smooth: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    decay, threshold, k = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    mask, window, single = _lanes(lanes, steps, inner, BLOCK)
    before = tl.zeros([BLOCK], v.dtype.element_ty)
    for t in range(steps):
        u = before + _row(current, window, single, t, inner, mask, rows)
        fired = _fire(u - threshold, k, code, smooth)
        tl.store(v + window + t * inner, u, mask=mask)
        tl.store(z + window + t * inner, fired, mask=mask)
        if hard:
            before = decay * u * (1.0 - fired)
        else:
            before = decay * u - threshold * fired


@triton.jit
def _backward(
    gz, gv, v, numbers, delta, lanes, steps, inner,
    z_rows: tl.constexpr, v_rows: tl.constexpr, total: tl.constexpr,
    code: tl.constexpr, hard: tl.constexpr, through: tl.constexpr, smooth: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    decay, threshold, k = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    mask, window, single = _lanes(lanes, steps, inner, BLOCK)
    later = tl.zeros([BLOCK], v.dtype.element_ty)
    summed = tl.zeros([BLOCK], v.dtype.element_ty)
    for back in range(steps):
        t = steps - 1 - back
        u = tl.load(v + window + t * inner, mask=mask, other=0.0)
        g = _row(gz, window, single, t, inner, mask, z_rows) + _through(u, decay, threshold, hard, through) * later
        kept = _kept(u, k, decay, threshold, code, hard, smooth)
        later = _row(gv, window, single, t, inner, mask, v_rows) + _psi(u - threshold, k, code) * g + kept * later
        if total:
            summed += later
        else:
            tl.store(delta + window + t * inner, later, mask=mask)
    if total:
        tl.store(delta + single, summed, mask=mask)


@triton.jit
def _double_backward(
    h, gz, v, delta, numbers, to_gz, to_gv, to_v, lanes, steps, inner,
    h_rows: tl.constexpr, z_rows: tl.constexpr,
    code: tl.constexpr, hard: tl.constexpr, through: tl.constexpr, smooth: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    decay, threshold, k = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    mask, window, single = _lanes(lanes, steps, inner, BLOCK)
    before = tl.zeros([BLOCK], v.dtype.element_ty)
    for t in range(steps):
        u = tl.load(v + window + t * inner, mask=mask, other=0.0)
        later = tl.load(delta + window + (t + 1) * inner, mask=mask & (t + 1 < steps), other=0.0)
        c = _through(u, decay, threshold, hard, through)
        psi = _psi(u - threshold, k, code)
        a = _row(h, window, single, t, inner, mask, h_rows) + before
        w = a * _dpsi(u - threshold, k, code) * (_row(gz, window, single, t, inner, mask, z_rows) + c * later)
        if hard and through:  # both c and r depend on v here, each by -decay psi
            w -= (decay + decay) * psi * later * a
        tl.store(to_gz + window + t * inner, a * psi, mask=mask)
        tl.store(to_gv + window + t * inner, a, mask=mask)
        tl.store(to_v + window + t * inner, w, mask=mask)
        before = (_kept(u, k, decay, threshold, code, hard, smooth) + psi * c) * a


def passes(neuron: LIF) -> Passes:
    """The scan of one kind of neuron; compiled at first use, and again for another kind or type, not for other constants."""
    return Passes(partial(_run_forward, neuron), partial(_run_backward, neuron), partial(_run_double_backward, neuron))


def _run_forward(neuron: LIF, current: Tensor, z: Tensor, v: Tensor) -> None:
    kind = {"code": neuron.surrogate.code, "hard": neuron.hard_reset, "smooth": neuron.surrogate.smooth}
    rows = _rows(current, v)
    _forward[_grid(v)](current, _numbers(neuron, v.dtype, v.device), z, v, *_sizes(v), rows, **kind, **_LAUNCH)


def _run_backward(neuron: LIF, gz: Tensor | None, gv: Tensor | None, v: Tensor, delta: Tensor) -> None:
    given = [v if g is None else g for g in (gz, gv)]  # some pointer has to be passed; it is not read
    rows = _rows(gz, v), _rows(gv, v), delta.shape[1] < v.shape[1]
    _backward[_grid(v)](*given, v, _numbers(neuron, v.dtype, v.device), delta, *_sizes(v), *rows, **_kind(neuron), **_LAUNCH)


def _run_double_backward(neuron: LIF, h: Tensor, gz: Tensor | None, v: Tensor, delta: Tensor, *out: Tensor) -> None:
    rows = _rows(h, v), _rows(gz, v)
    numbers = _numbers(neuron, v.dtype, v.device)
    _double_backward[_grid(v)](h, v if gz is None else gz, v, delta, numbers, *out, *_sizes(v), *rows, **_kind(neuron), **_LAUNCH)


_LAUNCH = {"BLOCK": BLOCK, "enable_fp_fusion": False}


def _kind(neuron: LIF) -> dict[str, int]:
    surrogate = neuron.surrogate
    return {"code": surrogate.code, "hard": neuron.hard_reset, "through": neuron.reset_gradient, "smooth": surrogate.smooth}


def _grid(v: Tensor) -> tuple[int]:
    return (-(-v.shape[0] * v.shape[2] // BLOCK),)


def _sizes(v: Tensor) -> tuple[int, int, int]:
    return v.shape[0] * v.shape[2], v.shape[1], v.shape[2]


def _rows(x: Tensor | None, v: Tensor) -> int:
    """0 for nothing, 1 for one row, 2 for a row of every step."""
    return 0 if x is None else 1 if x.shape[1] < v.shape[1] else 2


@lru_cache(maxsize=64)
def _numbers(neuron: LIF, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Decay, threshold and slope in memory: as arguments they would be rounded to single precision, as constants compiled in."""
    return torch.tensor([neuron.decay, neuron.threshold, neuron.surrogate.slope], dtype=dtype, device=device)
