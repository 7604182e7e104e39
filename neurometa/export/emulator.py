"""Loihi's integer arithmetic, bit for bit, many samples at once; needs NumPy and numba alone.

Every synapse delays by one step; W is `stored`, e the exponent of the synapses, >> rounds down. At time step t, for each neuron:

    a = sum over synapses of ((W s[t-1]) << e)                       (>> -e where e is negative)
    u = trunc(u (4096 - du - 1) / 4096) + (a << 6)                   a 24-bit integer that wraps around
    v = trunc(v (4096 - dv) / 4096) + u + (bias << bias_exp)         clipped to +-(2**23 - 1)
    s = 1 if v > vth << 6 else 0;   v = 0 where s = 1;   u is not reset

A population that adapts has b, by which its threshold is raised:

    s = 1 if v > (vth << 6) + b else 0;   v = 0 where s = 1;   then b = trunc(b (4096 - da) / 4096) + (beta << 6) s, at most 2**23 - 1

so that b is beta a of the float neuron, `a[t] = rho a[t-1] + z[t-1]`, on the scale of the potential.

trunc rounds towards zero. u and b begin at 0, v at `start`; at a population's onset step, and every `interval` steps after it, all are
first set to zero.

Source:
    Intel's own model of the arithmetic, lava-nc 0.10 (tags fixed_pt: LIF, LIFReset, Dense, Conv, Sparse), to which the tests hold this;
    the neuron of Davies et al. 2018, doi:10.1109/MM.2018.112130359. The adaptive threshold is ours, the stock processes having none of
    these semantics; after Bellec et al. 2020, doi:10.1038/s41467-020-17236-y.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neurometa.core.kernels import integer
from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Population, Synapses
from neurometa.export.bundle.schema import INPUT, LINES

EXACT = 1 << 24
"""Whole numbers up to here are exact in single precision, sums of them in any order too."""


class Played(NamedTuple):
    """What one window left behind.

    Attributes:
        spikes: of each population, uint8 (steps, n, batch); empty where they were not asked for.
        counts: spikes of each neuron from its population's onset on, int32 (n, batch).
        potential: last v of each population after its reset, int32 (n, batch).
        largest: of each population from its onset on, the largest |u| before wrapping and |v| before clipping, up to 2**23 where nothing
            was lost.
    """

    spikes: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    potential: dict[str, np.ndarray]
    largest: dict[str, tuple[int, int]]


def play(bundle: Bundle, given: np.ndarray, *, timed: bool, record: bool = True) -> Played:
    """Run a network from rest.

    Args:
        bundle: what is played, checked (`bundle.check`); synapses that learn hold their first weights, see `learning.py`.
        given: input of kind spikes: 0 or 1, (steps, n, batch) if `timed`, else (n, batch), held over the window; bias mantissas (n, batch)
            where the input is of kind bias.
        timed: whether `given` has a time axis.
        record: whether to keep every spike.
    Raises:
        UserError: an input of another shape, or of other numbers.
    """
    network = bundle.network
    steps = check_input(bundle, given, timed)
    batch = given.shape[-1]
    states = {one.name: rest(bundle, one, given, batch) for one in network.populations}
    carry = {one.name: carrier(bundle, one) for one in network.synapses}
    sent = network.arriving(np.zeros(given.shape[-2:], np.uint8)) | {name: state.z for name, state in states.items()}
    held: dict[str, np.ndarray] = {}
    spikes = {one.name: np.zeros((steps, math.prod(one.shape), batch), np.uint8) for one in network.populations} if record else {}
    counts = {name: np.zeros(state.v.shape, np.int32) for name, state in states.items()}
    largest: dict[str, tuple[int, int]] = dict.fromkeys(states, (0, 0))
    for t in range(steps):
        arriving = {name: np.zeros(state.v.shape, np.int32) for name, state in states.items()}
        for one in (synapses for synapses in network.synapses if synapses.to == "current"):
            if one.source not in (INPUT, LINES) or timed:
                arriving[one.target] += carry[one.name](sent[one.source])
            elif t > 0:  # a held input arrives alike in every step
                if one.name not in held:
                    held[one.name] = carry[one.name](network.arriving(given)[one.source])
                arriving[one.target] += held[one.name]
        for one in network.populations:
            state = states[one.name]
            if one.rests(t):
                silence(state)
            found = step(state, arriving[one.name])
            if record:
                spikes[one.name][t] = state.z
            if t >= one.onset:
                largest[one.name] = max(largest[one.name][0], found[0]), max(largest[one.name][1], found[1])
                counts[one.name] += state.z
        if timed:
            sent |= network.arriving(given[t])
    return Played(spikes, counts, {name: state.v for name, state in states.items()}, largest)


class State(NamedTuple):
    """A population, as the kernel takes it; `adaptation` is b, da and beta, None where the threshold stays."""

    u: np.ndarray
    v: np.ndarray
    z: np.ndarray
    du: np.ndarray
    dv: np.ndarray
    bias: np.ndarray
    vth: np.ndarray
    adaptation: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def limit(self) -> np.ndarray:
        """What the potential must exceed for a spike, int64 (n, 1 or batch)."""
        fixed = (self.vth << 6)[:, None]
        return fixed + self.adaptation[0] if self.adaptation else fixed


def step(state: State, arriving: np.ndarray) -> tuple[int, int]:
    """Advance a population in place; the largest |u| before it wrapped, and |v| before it was clipped."""
    if state.adaptation:
        found = integer.adaptive_step(arriving, *state[:-1], *state.adaptation)
    else:
        found = integer.step(arriving, *state[:-1])
    return int(found[0]), int(found[1])


def silence(state: State) -> None:
    """Set a population to zero in place."""
    for x in (state.u, state.v, *(state.adaptation or ())[:1]):
        x[:] = 0


def rest(bundle: Bundle, one: Population, given: np.ndarray, batch: int) -> State:
    """A population at rest."""
    size, network = math.prod(one.shape), bundle.network
    du, dv, vth = (bundle.constant(value, size).astype(np.int64) for value in (one.du, one.dv, one.vth))
    bias = bundle.arrays[one.bias].astype(np.int64)[:, None] if one.bias else np.zeros((size, 1), np.int64)
    if network.input.kind == "bias" and network.input.target == one.name:
        bias = given.astype(np.int64)
    u, v = np.zeros((size, batch), np.int32), np.full((size, batch), one.start, np.int32)
    own = None
    if one.adapts:
        da, beta = (bundle.constant(value, size).astype(np.int64) for value in (one.da, one.beta))
        own = np.zeros((size, batch), np.int32), da, beta
    return State(u, v, np.zeros((size, batch), np.uint8), du, dv, bias << one.bias_exp, vth, own)


def check_input(bundle: Bundle, given: np.ndarray, timed: bool) -> int:
    """Refuse an input that is none; return the number of time steps.

    Raises:
        UserError: another shape, or other numbers.
    """
    kind, size = bundle.network.input.kind, math.prod(bundle.network.input.shape) + bundle.network.lines
    if given.ndim != 2 + timed or given.shape[-2] != size or given.shape[-1] < 1 or given.shape[0] < 1:
        raise UserError(f"input of shape {given.shape} given, expected ({'steps, ' if timed else ''}{size}, batch)")
    if kind == "bias" and timed:
        raise UserError("an input with a time axis given, expected none: this network takes its input as bias currents")
    limits = (0, 1) if kind == "spikes" else (-4096, 4095)
    if given.dtype.kind not in "biu" or given.min() < limits[0] or given.max() > limits[1]:
        raise UserError(
            f"input of {given.dtype} from {given.min()} to {given.max()} given, expected whole numbers {limits[0]} to {limits[1]}"
        )
    return len(given) if timed else bundle.network.steps


def stored(weight: np.ndarray, sign: str, bits: int) -> np.ndarray:
    """Weights as the chip stores them: clipped to their sign's range, the lowest bits cut off, mixed ones losing one bit more.

    Inhibitory weights are cut as their magnitudes are.
    """
    low, high, lost = {"mixed": (-256, 255, 9 - bits), "excitatory": (0, 255, 8 - bits), "inhibitory": (0, 255, 8 - bits)}[sign]
    facing = -weight if sign == "inhibitory" else weight
    cut = (np.clip(facing, low, high) >> lost) << lost
    return -cut if sign == "inhibitory" else cut


def carrier(bundle: Bundle, one: Synapses) -> Callable[[np.ndarray], np.ndarray]:
    """A function from spikes (pre, batch), 0 or 1, to what arrives one step later, int32 (post, batch)."""
    weight = stored(bundle.arrays[one.weight], one.sign, one.bits)
    bound = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(1).max() * one.pool**2
    kind = np.float32 if bound <= EXACT else np.float64
    matrix = np.ascontiguousarray(weight.reshape(len(weight), -1).astype(kind))
    shapes = bundle.network.shapes
    source, size = shapes[one.source], math.prod(shapes[one.target])

    def carry(spikes: np.ndarray) -> np.ndarray:
        if not spikes.any():
            return np.zeros((size, spikes.shape[-1]), np.int32)
        seen = spikes if one.kind == "dense" else patches(spikes.reshape(*source, -1), weight.shape[-1], one, kind)
        summed = (matrix @ seen.astype(kind, copy=False)).astype(np.int32).reshape(-1, spikes.shape[-1])
        return summed << one.exponent if one.exponent > 0 else summed >> -one.exponent

    return carry


def patches(x: np.ndarray, kernel: int, one: Synapses, kind: type) -> np.ndarray:
    """What each output position of a convolution sees, (channels kernel kernel, positions batch), of spikes (channels, h, w, batch)."""
    pool, pad, stride = one.pool, one.padding, one.stride
    channels, height, width, batch = x.shape
    rows, columns = height // pool, width // pool
    if pool > 1:
        x = x[:, : rows * pool, : columns * pool].reshape(channels, rows, pool, columns, pool, batch).sum((2, 4), dtype=np.uint16)
    padded = np.zeros((channels, rows + 2 * pad, columns + 2 * pad, batch), kind)
    padded[:, pad : pad + rows, pad : pad + columns] = x
    down, across = ((n + 2 * pad - kernel) // stride + 1 for n in (rows, columns))
    seen = np.empty((channels, kernel, kernel, down, across, batch), kind)
    for i in range(kernel):
        for j in range(kernel):
            seen[:, i, j] = padded[:, i : i + (down - 1) * stride + 1 : stride, j : j + (across - 1) * stride + 1 : stride]
    return seen.reshape(channels * kernel * kernel, -1)
