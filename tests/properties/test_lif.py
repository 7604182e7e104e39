"""What holds for every spiking population, whatever the current."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from neurometa.core.kernels.reference import scan as reference
from neurometa.core.neuron import LIF
from neurometa.core.scan import scan
from tests import oracles

NUMBERS = st.floats(-4, 4, width=32)
WINDOWS = arrays(np.float64, array_shapes(min_dims=2, max_dims=3, max_side=7), elements=NUMBERS)
NEURONS = st.builds(lambda *constants: LIF(*constants), st.floats(0, 1, width=16), st.floats(0.05, 3), st.booleans())


def run(neuron: LIF, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, v = scan(neuron, torch.tensor(current), len(current), kernel="numba")
    return z.numpy(), v.numpy()


@given(NEURONS, WINDOWS)
def test_spikes_are_0_or_1_and_stand_where_the_potential_is_above_threshold(neuron: LIF, current: np.ndarray) -> None:
    z, v = run(neuron, current)
    assert z.shape == v.shape == current.shape
    assert set(np.unique(z)) <= {0.0, 1.0}
    np.testing.assert_array_equal(z == 1, v > neuron.threshold)


@given(NEURONS, WINDOWS)
def test_the_equation_the_reference_and_the_compiled_kernel_agree(neuron: LIF, current: np.ndarray) -> None:
    z, v = run(neuron, current)
    expected_z, expected_v = reference(neuron, torch.tensor(current), len(current))
    np.testing.assert_array_equal(z, expected_z.numpy())
    np.testing.assert_array_equal(v, expected_v.numpy())
    oracle_z, oracle_v = oracles.lif(current, neuron.decay, neuron.threshold, neuron.hard_reset)
    np.testing.assert_array_equal(z, oracle_z)
    np.testing.assert_allclose(v, oracle_v, rtol=1e-13, atol=1e-13)


@given(NEURONS, array_shapes(min_dims=2, max_dims=3, max_side=6))
def test_zero_input_gives_no_spikes(neuron: LIF, shape: tuple[int, ...]) -> None:
    z, v = run(neuron, np.zeros(shape))
    assert not z.any()
    assert not v.any()


@given(NEURONS, WINDOWS)
def test_a_threshold_above_every_reachable_potential_gives_no_spikes(neuron: LIF, current: np.ndarray) -> None:
    reachable = np.maximum(current, 0).sum(0).max()
    assert not run(neuron._replace(threshold=float(reachable) + 1e-3), current)[0].any()


@given(NEURONS, arrays(np.float64, (5, 3), elements=st.floats(0.125, 4, width=32)))
def test_enough_current_gives_a_spike(neuron: LIF, current: np.ndarray) -> None:
    z, _ = run(neuron._replace(threshold=0.1), current)
    assert z[0].all()
    assert z.sum() >= z.shape[1]


@given(NEURONS, WINDOWS, st.integers(-8, 8))
def test_scaling_current_and_threshold_together_leaves_the_spikes(neuron: LIF, current: np.ndarray, power: int) -> None:
    factor = 2.0**power  # exact in binary, so the spikes are the same and not only nearly
    z, v = run(neuron, current)
    scaled_z, scaled_v = run(neuron._replace(threshold=factor * neuron.threshold), factor * current)
    np.testing.assert_array_equal(scaled_z, z)
    np.testing.assert_array_equal(scaled_v, factor * v)


@given(NEURONS, WINDOWS, st.randoms(use_true_random=False))
def test_neurons_do_not_see_each_other(neuron: LIF, current: np.ndarray, random) -> None:  # type: ignore[no-untyped-def]
    order = random.sample(range(current.shape[1]), current.shape[1])
    z, v = run(neuron, current)
    mixed_z, mixed_v = run(neuron, current[:, order])
    np.testing.assert_array_equal(mixed_z, z[:, order])
    np.testing.assert_array_equal(mixed_v, v[:, order])
    np.testing.assert_array_equal(run(neuron, current[:, :1])[0], z[:, :1])


@given(NEURONS, WINDOWS, st.data())
def test_the_future_does_not_change_the_past(neuron: LIF, current: np.ndarray, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(current)))
    future = data.draw(arrays(np.float64, current[at:].shape, elements=NUMBERS))
    z, v = run(neuron, current)
    other_z, other_v = run(neuron, np.concatenate([current[:at], future]))
    np.testing.assert_array_equal(other_z[:at], z[:at])
    np.testing.assert_array_equal(other_v[:at], v[:at])


@given(WINDOWS)
def test_without_leak_a_subtractive_neuron_keeps_every_bit_of_charge(current: np.ndarray) -> None:
    current = np.round(current * 8) / 8  # exact sums
    z, v = run(LIF(1.0, 0.5, hard_reset=False), current)
    np.testing.assert_array_equal(v[-1] - 0.5 * z[-1], current.sum(0) - 0.5 * z.sum(0))
