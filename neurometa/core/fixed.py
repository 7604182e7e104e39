"""Numbers as Loihi holds them: what training with its integers and an export share, so that both round alike, in float64.

With a factor S, weights S W, threshold S theta and bias 64 S b make the same spikes, the integer potential being 64 S times the float one:

    S = 2**e 254 / (c max|W|)      W -> nearest even number to S W / 2**e, theta -> round(S theta), b -> mantissa and exponent of 64 S b

c <= 1 clips the largest weights where that makes the mean square error smaller. Where S is chosen from the weights alone, e is the largest
exponent with which no state of 24 bits can wrap or be clipped, whatever spikes arrive.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from neurometa.core.layer import EPSILON
from neurometa.errors import UserError

CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Shares of the largest weight that may stand at the end of the grid, which cuts off those beyond."""

EXPONENTS = range(7, -9, -1)
NEVER = 131071
"""The largest threshold."""

EXACT = 1 << 24
"""Whole numbers up to here are exact in single precision, sums of them in any order too."""

BIAS = 4095 * 2**7
"""The largest bias, mantissa and exponent together."""


class Grid(NamedTuple):
    """Integer weights.

    Attributes:
        weight: float64, whole numbers.
        exponent: the sum over spikes is multiplied by 2**exponent and rounded down.
        scale: S.
    """

    weight: np.ndarray
    exponent: int
    scale: float


class Cell(NamedTuple):
    """Constants of neurons.

    Attributes:
        decay: dv, of 4096.
        threshold: vth, of 64 units of potential.
        accumulates: whether they never fire.
        steps: of the window from rest.
    """

    decay: int
    threshold: float
    accumulates: bool
    steps: int


def affine(own: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift of each channel of a normalisation with statistics."""
    scale = own["gain"] / np.sqrt(own["var"] + EPSILON)
    return scale, own["shift"] - own["mean"] * scale


def sign_of(weight: np.ndarray) -> Literal["mixed", "excitatory", "inhibitory"]:
    """Sign mode of synapses."""
    return "excitatory" if weight.min() >= 0 else "inhibitory" if weight.max() <= 0 else "mixed"


def range_of(weight: np.ndarray, bits: int) -> tuple[int, int, int]:
    """Smallest and largest weight that can be stored, and the distance between two."""
    sign, step = sign_of(weight), 2 ** (8 - bits)
    return (-256, 256 - 2 * step, 2 * step) if sign == "mixed" else (0, 256 - step, step) if sign == "excitatory" else (step - 256, 0, step)


def base(weight: np.ndarray, bits: int) -> float:
    """S / 2**e with the smallest mean square error of the weights."""
    largest, (low, high, step) = float(np.abs(weight).max()), range_of(weight, bits)
    if largest == 0:
        return 1.0
    reach = min(abs(low) if weight.min() < 0 else high, high if weight.max() > 0 else abs(low))  # as `core.grid` has it

    def error(clip: float) -> float:
        scale = reach / (clip * largest)
        return float(np.square(np.clip(np.round(weight * scale / step) * step, low, high) / scale - weight).sum())

    return reach / (min(CLIPS, key=error) * largest)


def on_grid(weight: np.ndarray, scale: float, bits: int) -> Grid:
    """Integer weights; the exponent is the smallest with which all but the clipped ones fit."""
    low, high, step = range_of(weight, bits)
    wanted = weight * scale
    reach = float(np.abs(weight).max()) * scale

    def near(exponent: int) -> np.ndarray:
        return np.clip(np.round(wanted / 2.0**exponent / step) * step, low, high)

    def error(exponent: int) -> float:
        return float(np.square(near(exponent) * 2.0**exponent - wanted).sum())

    exponent = max(-8, math.ceil(math.log2(reach / max(abs(low), high)) - 1e-9)) if reach else 0
    better = min((exponent - 1, exponent), key=error) if exponent > -8 else exponent
    return Grid(near(better), better, scale)


def biases(bias: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """Mantissas and exponent."""
    wanted = bias * scale * 64
    largest = float(np.abs(wanted).max())
    exponent = max(0, math.ceil(math.log2(largest / 4095) - 1e-12)) if largest > 4095 else 0
    return np.round(wanted / 2**exponent).astype(np.int32), exponent


def decays(decay: Any) -> Any:
    """dv: what a potential loses in a step, of 4096."""
    return np.clip(np.round((1 - decay) * 4096).astype(int), 0, 4095)


def thresholds(threshold: Any, scale: float) -> Any:
    """vth."""
    return np.round(threshold * scale).astype(int)


def safe(name: str, weight: np.ndarray, pool: int, bias: np.ndarray, cell: Cell, bits: int) -> Grid:
    """The grid with the largest scale with which nothing can wrap or be clipped, whatever the spikes.

    With P and N the sums of a neuron's positive and negative integer weights, B its integer bias and k = 1 - dv / 4096, potentials lie
    within

        64 (k vth + 2**e P) + B   and   -(64 (2**e N + 1) - B) (1 + k + .. + k**(steps - 1))

    because a potential above the threshold is not kept; those of neurons that never fire within steps times what arrives at once.

    Args:
        name: of the population, for the message.
        weight: float64, (post, ...), everything linear folded in.
        pool: spikes are summed over windows of pool x pool before.
        bias: of each neuron or channel, in units of the float network.
        cell: the neurons, their threshold in units of the float network.
        bits: of a weight.
    Raises:
        UserError: nothing fits, whatever the scale.
    """
    unit, keep = base(weight, bits), 1 - cell.decay / 4096
    rows, below = on_grid(weight, unit, bits), sum(keep**t for t in range(cell.steps))
    flat = rows.weight.reshape(len(weight), -1)
    positive, negative = (float(np.maximum(sign * flat, 0).sum(1).max()) * pool**2 for sign in (1, -1))
    for exponent in EXPONENTS:
        scale = unit * 2.0**exponent
        if rows.exponent + exponent not in EXPONENTS or 64 * scale * float(np.abs(bias).max()) > BIAS:
            continue
        arriving = 2.0 ** (rows.exponent + exponent)
        mantissas, shift = biases(bias, scale)
        up, down = (float(np.maximum(sign * mantissas, 0).max()) * 2**shift for sign in (1, -1))
        vth = 0 if cell.accumulates else float(thresholds(np.float64(cell.threshold), scale))
        highest = 64 * (keep * vth + arriving * positive) + up if not cell.accumulates else (64 * arriving * positive + up) * cell.steps
        lowest = (64 * (arriving * negative + 1) + down) * below
        fits = max(highest, lowest) < NEVER << 6 and vth <= NEVER and max(positive, negative) <= EXACT
        if fits and (cell.accumulates or scale * cell.threshold >= 1):
            return on_grid(weight, scale, bits)
    raise UserError(
        f"{name} with weights up to {np.abs(weight).max():.3g}, a threshold of {cell.threshold:.3g} and biases up to "
        f"{np.abs(bias).max():.3g} does not fit a chip's 24 bits, expected smaller ones"
    )
