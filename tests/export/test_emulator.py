"""The integer emulator against plain NumPy: the same spikes and potentials, bit for bit."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Input, Network, Population, Readout, Synapses, check
from neurometa.export.emulator import Played, play, stored
from tests import oracles_loihi
from tests.export.networks import random_bundle


def expected(bundle: Bundle, spikes: np.ndarray) -> tuple[dict, dict]:
    """What the oracle says of one sample (steps, n)."""
    shapes = {"input": bundle.network.input.shape, **{p.name: p.shape for p in bundle.network.populations}}
    populations = {}
    for p in bundle.network.populations:
        size = math.prod(p.shape)
        lists = {key: bundle.constant(getattr(p, key), size).tolist() for key in ("du", "dv", "vth")}
        bias = [m * 2**p.bias_exp for m in bundle.arrays[p.bias].tolist()] if p.bias else [0] * size
        populations[p.name] = {**lists, "bias": bias, "size": size, "start": p.start}
        if p.adapts:
            populations[p.name] |= {key: bundle.constant(getattr(p, key), size).tolist() for key in ("da", "beta")}
    synapses = []
    for s in bundle.network.synapses:
        matrix = oracles_loihi.weights(bundle.arrays[s.weight], s.sign, s.bits)
        if s.kind == "conv":
            matrix = oracles_loihi.unrolled(matrix, shapes[s.source], shapes[s.target], s.stride, s.padding, s.pool)
        synapses.append((s.source, s.target, matrix, s.exponent))
    return oracles_loihi.play(populations, synapses, spikes, {p.name: p.onset for p in bundle.network.populations})


def compare(bundle: Bundle, spikes: np.ndarray) -> Played:
    check(bundle)
    played = play(bundle, spikes, timed=True)
    for sample in range(spikes.shape[-1]):
        fired, potential = expected(bundle, spikes[..., sample])
        for name, rows in fired.items():
            np.testing.assert_array_equal(played.spikes[name][..., sample], rows, err_msg=name)
            np.testing.assert_array_equal(played.potential[name][:, sample], potential[name], err_msg=name)
    return played


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.integers(1, 3), st.booleans(), st.booleans())
def test_random_networks_equal_the_oracle(seed: int, recurrent: bool, conv: bool, layers: int, extreme: bool, adaptive: bool) -> None:
    compare(*random_bundle(seed, recurrent=recurrent, conv=conv, layers=layers, extreme=extreme, steps=12, adaptive=adaptive))


def test_random_thresholds_adapt_saturate_and_make_a_difference() -> None:
    saturated = fewer = 0
    for seed in range(12):
        bundle, spikes = random_bundle(seed, recurrent=True, conv=False, layers=2, extreme=seed % 2 == 0, adaptive=True)
        without = [msgspec.structs.replace(one, beta=0) for one in bundle.network.populations]
        plain = bundle._replace(network=msgspec.structs.replace(bundle.network, populations=tuple(without)))
        played, before = play(bundle, spikes, timed=True), play(plain, spikes, timed=True)
        fewer += sum(int(before.spikes[name].sum()) - int(z.sum()) for name, z in played.spikes.items())
        for one in (one for one in bundle.network.populations if one.adapts):
            fades, more = (bundle.constant(value, math.prod(one.shape))[:, None].astype(float) for value in (one.da, one.beta))
            rise = np.zeros(played.potential[one.name].shape)
            for z in played.spikes[one.name][one.onset :]:
                rise = rise * (1 - fades / 4096) + 64 * more * z
                saturated += int((rise > 2**23).sum())
    assert fewer > 300
    assert saturated > 100, "steps at which 24 bits do not hold what the spikes add up to"


def test_an_adapting_neuron_is_zeroed_at_every_interval() -> None:
    population = Population("p", (1,), 4095, 0, 10, "b", 0, 1, interval=5, da=100, beta=30)
    network = Network("a", 21, Input((3,)), (population,), (Synapses("s", "input", "p", "w"),), Readout("p", "spikes", 1.0))
    bundle = Bundle(network, {"w": np.full((1, 3), 10, np.int32), "b": np.full(1, 50, np.int32)})
    z = play(bundle, np.ones((3, 1), np.uint8), timed=False).spikes["p"][:, 0, 0]
    assert 0 < z[1:6].sum() < 5, "it fires, and adapts"
    for start in (6, 11, 16):
        np.testing.assert_array_equal(z[start : start + 5], z[1:6])


def test_the_random_networks_spike_wrap_and_saturate() -> None:
    spiked = wrapped = clipped = 0
    for seed in range(16):
        bundle, spikes = random_bundle(seed, recurrent=True, conv=False, layers=2, extreme=seed % 2 == 0)
        played = play(bundle, spikes, timed=True)
        spiked += sum(int(z.sum()) for z in played.spikes.values())
        wrapped += sum(u > 2**23 for u, _ in played.largest.values())
        clipped += sum(v > 2**23 for _, v in played.largest.values())
    assert spiked > 500
    assert wrapped > 0
    assert clipped > 0


@pytest.mark.parametrize("sign", ["mixed", "excitatory", "inhibitory"])
@pytest.mark.parametrize("bits", [1, 4, 7, 8])
def test_every_weight_is_stored_as_the_oracle_says(sign: str, bits: int) -> None:
    every = np.arange(-256, 256, dtype=np.int32)
    np.testing.assert_array_equal(stored(every, sign, bits), oracles_loihi.weights(every, sign, bits).astype(int))


def small(**changes: object) -> Bundle:
    arrays = {"w": np.full((2, 3), 100, np.int32), "b": np.array([0, 5], np.int32)}
    population = Population("p", (2,), 4095, 0, 10, "b", 0, 1)
    network = Network("small", 6, Input((3,)), (population,), (Synapses("s", "input", "p", "w"),), Readout("p", "spikes", 1.0))
    return Bundle(network, {**arrays, **changes})


def test_a_held_input_is_the_same_input_at_every_step() -> None:
    spikes = np.array([[1, 0], [0, 0], [1, 0]], np.uint8)
    held, timed = play(small(), spikes, timed=False), play(small(), np.repeat(spikes[None], 6, 0), timed=True)
    assert held.spikes["p"].sum() > 0
    np.testing.assert_array_equal(held.spikes["p"], timed.spikes["p"])


def test_a_bias_input_is_a_bias_of_each_sample() -> None:
    population = Population("p", (2,), 4095, 2048, 10, "", 3)
    network = Network("b", 5, Input((2,), "bias", "p"), (population,), (), Readout("p", "potential", 1.0))
    given_bias = np.array([[100, -7], [20, 0]], np.int32)
    played = play(Bundle(network, {}), given_bias, timed=False)
    for sample in range(2):
        own = {"p": {"size": 2, "du": [4095] * 2, "dv": [2048] * 2, "vth": [10] * 2, "bias": (given_bias[:, sample] * 8).tolist()}}
        fired, potential = oracles_loihi.play(own, [], np.zeros((5, 1)), {"p": 0})
        np.testing.assert_array_equal(played.spikes["p"][..., sample], fired["p"])
        np.testing.assert_array_equal(played.potential["p"][:, sample], potential["p"])
    assert played.spikes["p"].sum() > 0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((6, 4, 1), np.uint8),
        np.zeros((3, 1), np.uint8),
        np.full((6, 3, 1), 2, np.uint8),
        np.zeros((6, 3, 1)),
        np.zeros((0, 3, 1), int),
    ],
)
def test_a_wrong_input_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UserError, match="given, expected"):
        play(small(), wrong, timed=True)
