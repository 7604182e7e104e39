"""What holds for prototypes and for the descent of a readout, whatever the features."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurometa.core.layer import Linear
from neurometa.core.network import READOUT, Stack
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.prototype import SCALE, Prototype, class_means
from neurometa.types import Data
from tests import oracles

WAYS, SIZE = 3, 4
HEAD = Stack((SIZE,), ((READOUT, Linear(None)),), vmappable=True)
TRAINED = Stack((SIZE,), ((READOUT, Linear(WAYS)),), vmappable=True)
NUMBERS = st.floats(-3, 3, width=32)
FEATURES = arrays(np.float64, (9, SIZE), elements=NUMBERS)
LABELS = np.repeat(np.arange(WAYS), 3)


def logits(features: np.ndarray, queries: np.ndarray, log_scale: float = 0.0) -> np.ndarray:
    slow = {SCALE: torch.tensor(log_scale)}
    fast = Prototype(WAYS).adapt(HEAD, slow, Data(torch.tensor(features), torch.tensor(LABELS))).fast
    return HEAD.run(fast, HEAD.signal(torch.tensor(queries))).output.numpy()


@given(FEATURES, FEATURES, st.floats(-2, 2))
def test_differences_of_logits_are_differences_of_squared_distances(features: np.ndarray, queries: np.ndarray, log_scale: float) -> None:
    distances = oracles.squared_distances(queries, oracles.class_centres(features, LABELS, WAYS))
    found, scale = logits(features, queries, log_scale), np.exp(log_scale)
    np.testing.assert_allclose(found - found[:, :1], -scale * (distances - distances[:, :1]), rtol=1e-9, atol=1e-9)


@given(FEATURES, FEATURES, arrays(np.float64, SIZE, elements=NUMBERS))
def test_moving_all_features_alike_changes_no_difference(features: np.ndarray, queries: np.ndarray, by: np.ndarray) -> None:
    here, there = logits(features, queries), logits(features + by, queries + by)
    np.testing.assert_allclose(here - here[:, :1], there - there[:, :1], rtol=1e-9, atol=1e-9)


@given(FEATURES, st.permutations(range(9)))
def test_class_means_do_not_see_the_order_of_examples(features: np.ndarray, order: list[int]) -> None:
    means = class_means(torch.tensor(features[order]), torch.tensor(LABELS[order]), WAYS)
    np.testing.assert_allclose(means.numpy(), oracles.class_centres(features, LABELS, WAYS), rtol=1e-12, atol=1e-12)


@given(FEATURES, arrays(np.float64, (WAYS, SIZE), elements=NUMBERS), st.integers(1, 4), st.floats(0.01, 2))
def test_descent_of_a_readout_equals_softmax_descent(features: np.ndarray, weight: np.ndarray, steps: int, rate: float) -> None:
    slow = {"readout.weight": torch.tensor(weight), "readout.bias": torch.zeros(WAYS)}
    fast = BPTT(steps, rate).adapt(TRAINED, slow, Data(torch.tensor(features), torch.tensor(LABELS))).fast
    expected = oracles.softmax_descent(features, LABELS, weight, np.zeros(WAYS), steps, rate, rate)
    np.testing.assert_allclose(fast["readout.weight"].numpy(), expected[0], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fast["readout.bias"].numpy(), expected[1], rtol=1e-9, atol=1e-10)
    # the gradient of a softmax sums to zero over classes, so descent leaves the classes' sum alone
    np.testing.assert_allclose(fast["readout.weight"].numpy().sum(0), weight.sum(0), rtol=0, atol=1e-10)
