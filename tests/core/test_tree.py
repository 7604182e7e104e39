"""Arithmetic on parameter dictionaries, and the losses."""

import numpy as np
import pytest
import torch

from neurometa.core.loss import accuracy, cross_entropy
from neurometa.core.tree import detach, finite, norm, select, without
from tests import oracles

PARAMS = {"conv1.weight": torch.ones(2, 2), "readout.weight": torch.zeros(3), "readout.bias": torch.full((1,), -2.0)}


def test_patterns_select_by_name() -> None:
    assert list(select(PARAMS, ("*",))) == list(PARAMS)
    assert list(select(PARAMS, ("readout.*",))) == ["readout.weight", "readout.bias"]
    assert list(select(PARAMS, ("*.bias", "conv?.*"))) == ["conv1.weight", "readout.bias"]
    assert select(PARAMS, ("readout",)) == select(PARAMS, ()) == {}


def test_without_leaves_the_rest() -> None:
    assert list(without(PARAMS, {"conv1.weight": torch.zeros(1)})) == ["readout.weight", "readout.bias"]


def test_detach_cuts_history_and_keeps_values() -> None:
    value = torch.ones(2, requires_grad=True) * 2
    assert not detach({"w": value})["w"].requires_grad
    assert torch.equal(detach({"w": value})["w"], value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_number_anywhere_is_not_finite(bad: float) -> None:
    assert bool(finite(PARAMS))
    assert bool(finite({}))
    assert not bool(finite({**PARAMS, "other": torch.tensor([0.0, bad])}))
    flags = torch.func.vmap(lambda x: finite({"w": x}))(torch.tensor([[1.0, 2.0], [bad, 0.0]]))
    assert flags.tolist() == [True, False]


def test_norm_is_the_euclidean_length_of_everything() -> None:
    assert float(norm(PARAMS)) == pytest.approx(8**0.5)
    assert float(norm({})) == 0


def test_cross_entropy_and_accuracy_equal_their_definitions() -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(20, 4)) * 3, rng.integers(0, 4, 20)
    assert float(cross_entropy(torch.tensor(logits), torch.tensor(y))) == pytest.approx(oracles.cross_entropy(logits, y), rel=1e-12)
    assert float(accuracy(torch.tensor(logits), torch.tensor(y))) == pytest.approx((logits.argmax(1) == y).mean())


def test_a_tie_goes_to_the_lowest_class() -> None:
    assert float(accuracy(torch.zeros(4, 3), torch.tensor([0, 0, 1, 2]))) == 0.5
