"""e-prop of adaptive neurons as a Loihi sum of products: it follows the eligibility of two components that floating point has."""

import math

import numpy as np
import pytest

from neurometa.export.bundle import Bundle, Input, Learning, Network, Population, Readout, Synapses, check
from neurometa.export.learning import learn
from tests.export.test_learning import ADAPTIVE, EPROP_ALIF

STEPS, CUES, DRIVE, SIZE = 500, 8, 12, 5
VTH, TAU = 600, EPROP_ALIF.x1_tau
WITHOUT = Learning("2^-4*u0*x1*y1*y3 - 2^-6*x0*y1*y3 - 2^-4*u0*x1*y1*y2 + 2^-6*x0*y1*y2", "", 32, TAU, seed=13)
"""The same without what a synapse did to the adaptation."""


def shown(seed: int, rule: Learning, gone: bool) -> tuple[Bundle, np.ndarray, np.ndarray]:
    """Adaptive neurons that a noise drives through fixed synapses, beside which cues come by synapses that learn, too weak to be heard.

    With `gone`, in every 100 steps the cues come in the first 40 and the third factor L in the last 40.
    """
    rng = np.random.default_rng(seed)
    drive = np.hstack([np.zeros((SIZE, CUES)), rng.integers(0, 128, (SIZE, DRIVE)) * 2]).astype(np.int32)
    arrays = {"w": np.zeros((SIZE, CUES + DRIVE), np.int32), "drive": drive}
    dv = round(4096 * (1 - math.exp(-1 / TAU)))
    population = Population("p", (SIZE,), 4095, dv, VTH, onset=1, modulation=ADAPTIVE, da=4096 >> 6, beta=VTH // 4)
    synapses = (Synapses("s", "input", "p", "w", exponent=-8, learning=rule), Synapses("drive", "input", "p", "drive"))
    bundle = Bundle(Network("l", STEPS, Input((CUES + DRIVE,)), (population,), synapses, Readout("p", "spikes", 1.0)), arrays)
    check(bundle)
    cues, late = rng.random((STEPS, CUES)) < 0.15, np.arange(STEPS)[:, None] % 100
    spikes = np.hstack([cues & (late < 40) if gone else cues, rng.random((STEPS, DRIVE)) < 0.2])
    signal = (
        rng.choice([-60, 60], (1, SIZE)) * (late >= 60) if gone else rng.integers(-60, 61, (STEPS, SIZE)) * (rng.random((STEPS, 1)) < 0.3)
    )
    return bundle, spikes.astype(np.uint8)[..., None], signal.astype(np.int64)[..., None]


def eligibility(drive: np.ndarray, spikes: np.ndarray, z: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """sum over steps of L e, in floating point, of neurons that spike as given; thresholds and weights in units of the threshold.

    e = psi (x - beta eps),   eps <- (rho - psi beta) eps + psi x
    x filters the spikes of the steps before, psi = 1/4 within half a threshold of 1 + beta a, a <- rho a + z.
    Source: Bellec et al. 2020, doi:10.1038/s41467-020-17236-y; the reset does not clear x.
    """
    keep, rho, beta, slope = math.exp(-1 / TAU), 1 - 2.0**-6, 0.25, 0.25
    v, a, x = np.zeros(SIZE), np.zeros(SIZE), np.zeros(CUES + DRIVE)
    eps, total = np.zeros((SIZE, CUES + DRIVE)), np.zeros((SIZE, CUES + DRIVE))
    for t in range(1, STEPS):
        x = keep * x + spikes[t - 1]
        a = rho * a + z[t - 1]
        v = keep * v * (1 - z[t - 1]) + drive @ spikes[t - 1] / VTH
        psi = slope * (np.abs(v - 1 - beta * a) < 0.5)[:, None]
        total += signal[t][:, None] * psi * (x - beta * eps)
        eps = (rho - psi * beta) * eps + psi * x
    return total[:, :CUES]


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_integers_follow_the_eligibility_of_adaptive_neurons(seed: int, gone: bool) -> None:
    bundle, spikes, signal = shown(seed, EPROP_ALIF, gone)
    found, without = (learn(made, spikes, {"L": signal}) for made in (bundle, shown(seed, WITHOUT, gone)[0]))
    z = found.spikes["p"][..., 0]
    assert 0.05 < z.mean() < 0.5
    # a trace of 32 a spike, one step older than x, and 2**-4 (32 127 >> 10) of it, for a slope of 1/4
    unit = math.exp(-1 / TAU) * 2.0**-4 * 32 * 127 / 2**10 / 0.25
    expected = unit * eligibility(bundle.arrays["drive"], spikes[..., 0], z, signal[..., 0])
    weights, plain = (one.weights["s"][0, :, :CUES] for one in (found, without))

    def off(change: np.ndarray) -> float:
        return float(np.linalg.norm(change - expected) / np.linalg.norm(expected))

    assert 30 < np.abs(weights).max() < 200
    assert found.tags["s"].max() < 255, "tags do not saturate"
    # what is left is rounding: of weights and traces at random, of products always down; where L has either sign, more of it
    assert np.corrcoef(weights.ravel(), expected.ravel())[0, 1] > (0.998 if gone else 0.98)
    assert off(weights) < (0.08 if gone else 0.18)
    assert off(plain) > (1 if gone else 0.4), "without the adaptation the update is another"
