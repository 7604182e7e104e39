"""A learner whose errors return through synapses: it learns in the emulator, each sample by itself, and Lava's weights are its."""

import msgspec
import numpy as np
import pytest

from neurometa.errors import UserError
from neurometa.export import lava
from neurometa.export.bundle import Bundle, check
from neurometa.export.learning import learn
from neurometa.export.loihi.onchip import Constants, Shown, answers, onchip, taught

WAYS, FEATURES = 3, 24
SHOWN = Shown(steps=8, pause=6, passes=4)


def episode(seed: int, queries: int = 6) -> tuple[Bundle, np.ndarray]:
    """Two samples: classes differ in which features spike; queries are noisy."""
    rng = np.random.default_rng(seed)
    rate = np.where(rng.random((WAYS, FEATURES, 2)) < 0.3, 0.8, 0.02)
    labels = np.repeat(np.arange(WAYS)[:, None], 2, 1)
    support = (rng.random((SHOWN.steps, FEATURES, WAYS, 2)) < rate.transpose(1, 0, 2)).astype(np.uint8)
    asked = rate[np.arange(queries) % WAYS].transpose(1, 0, 2)
    query = (rng.random((SHOWN.steps, FEATURES, queries, 2)) < asked).astype(np.uint8)
    hidden, feedback = 240 * np.eye(FEATURES, dtype=int), rng.integers(-8, 9, (FEATURES, WAYS)) * 2
    bundle = onchip(
        hidden,
        feedback,
        Constants(),
        SHOWN,
        SHOWN.passes * WAYS + queries,
    )
    return bundle, taught(support, query, labels, WAYS, SHOWN)


def test_errors_become_fewer_and_queries_are_answered() -> None:
    bundle, given = episode(0)
    found = learn(bundle, given)
    errors = found.spikes["error"].reshape(-1, SHOWN.period, 2 * WAYS, 2).sum((1, 2))
    assert found.spikes["hidden"].mean() > 0.03, "a silent network learns nothing"
    assert errors[:WAYS].sum() > 2 * errors[WAYS * (SHOWN.passes - 1) : WAYS * SHOWN.passes].sum()
    assert errors[WAYS * SHOWN.passes :].sum() == 0, "nothing is learnt from a query"
    assert (np.abs(found.weights["hidden-in"] - bundle.arrays["hidden.weight"]) > 3).sum() > 10
    assert (answers(found.spikes["out"], SHOWN, 6) == np.arange(6)[:, None] % WAYS).mean() > 0.8


def test_samples_together_learn_what_each_learns_alone() -> None:
    bundle, given = episode(1)
    both = learn(bundle, given)
    for i in range(2):  # one sample knows nothing of the other
        alone = learn(bundle, given[..., i : i + 1])
        for name in both.weights:
            np.testing.assert_array_equal(both.weights[name][i], alone.weights[name][0])
        np.testing.assert_array_equal(both.spikes["out"][..., i], alone.spikes["out"][..., 0])


@pytest.mark.slow
def test_lava_learns_the_same_weights_from_its_own_errors() -> None:
    if lava.interpreter() is None:
        pytest.skip("no Lava environment: `neurometa lava install` makes one; no weight was compared with Lava's")
    bundle, given = episode(2)
    given = given[..., :1]
    found, expected = learn(bundle, given), lava.learn([(bundle, given, {})])[0]
    assert found.spikes["error"].sum() > 20
    for name, spikes in found.spikes.items():
        np.testing.assert_array_equal(spikes, expected.spikes[name], err_msg=name)
        np.testing.assert_array_equal(found.potential[name], expected.potential[name], err_msg=name)
    for name, weights in found.weights.items():
        assert (weights[0] != bundle.arrays[next(one.weight for one in bundle.network.synapses if one.name == name)]).sum() > 10
        np.testing.assert_array_equal(weights, expected.weights[name], err_msg=name)
        np.testing.assert_array_equal(found.tags[name], expected.tags[name], err_msg=name)


def test_a_signal_to_neurons_without_third_factor_is_refused() -> None:
    bundle, _ = episode(0)
    arrays = {**bundle.arrays, "error-out.weight": np.zeros((2 * WAYS, 2 * WAYS), np.int32)}
    network = bundle.network
    wrong = [msgspec.structs.replace(one, target="error") if one.name == "error-out" else one for one in network.synapses]
    with pytest.raises(UserError, match="brings a signal to error"):
        check(Bundle(msgspec.structs.replace(network, synapses=tuple(wrong)), arrays))
