"""Each surrogate is the derivative of its value, and the spike is a step."""

import numpy as np
import pytest
import torch

from neurometa.core.surrogate import KINDS, Surrogate, spike
from neurometa.errors import UserError
from tests import oracles

X = np.concatenate([np.linspace(-2.03, 2.03, 41), [1e-9, -1e-9]])  # no point on a corner of box or triangle
SLOPES = (0.7, 1.0, 5.0)


def slope_of(surrogate: Surrogate, x: np.ndarray) -> np.ndarray:
    points = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(spike(points, surrogate).sum(), points)[0].numpy()


@pytest.mark.parametrize("k", SLOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_value_and_derivative_equal_the_formulas(kind: str, k: float) -> None:
    surrogate = Surrogate(kind, k)
    np.testing.assert_allclose(surrogate.value(torch.tensor(X)).numpy(), oracles.surrogate_value(kind, k, X), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(slope_of(surrogate, X), oracles.surrogate_derivative(kind, k, X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("k", SLOPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_formula_is_the_slope_of_the_value(kind: str, k: float) -> None:
    h = 1e-6
    rise = (oracles.surrogate_value(kind, k, X + h) - oracles.surrogate_value(kind, k, X - h)) / (2 * h)
    np.testing.assert_allclose(oracles.surrogate_derivative(kind, k, X), rise, rtol=0, atol=2e-5)  # |second derivative| * h at a corner


@pytest.mark.parametrize("kind", KINDS)
def test_the_spike_is_strict_and_exactly_0_or_1(kind: str) -> None:
    x = torch.tensor([-3.0, -1e-300, -0.0, 0.0, 1e-300, 0.3, 1e9])
    assert spike(x, Surrogate(kind)).tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_smooth_puts_the_value_in_place_of_the_step(kind: str) -> None:
    surrogate = Surrogate(kind, 2.0, smooth=True)
    np.testing.assert_array_equal(spike(torch.tensor(X), surrogate).numpy(), surrogate.value(torch.tensor(X)).numpy())
    np.testing.assert_allclose(slope_of(surrogate, X), slope_of(Surrogate(kind, 2.0), X), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["triangle", "box"])
def test_the_derivative_is_zero_on_the_bound(kind: str) -> None:
    assert slope_of(Surrogate(kind, 1.0), np.array([-1.0, 1.0])).tolist() == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_equal_finite_differences(kind: str) -> None:
    h = 1e-6
    first = torch.func.grad(lambda x: spike(x, Surrogate(kind, 1.5)))
    second = torch.func.vmap(torch.func.grad(first))(torch.tensor(X[:41]))
    rise = (oracles.surrogate_derivative(kind, 1.5, X[:41] + h) - oracles.surrogate_derivative(kind, 1.5, X[:41] - h)) / (2 * h)
    near_corner = np.abs(X[:41]) < 0.01  # fast sigmoid and triangle bend there
    np.testing.assert_allclose(second.numpy()[~near_corner], rise[~near_corner], rtol=1e-6, atol=1e-6)


def test_another_spelling_is_refused_and_not_taken_for_the_box() -> None:
    for use in (Surrogate("fast_sigmoid").value, Surrogate("fast_sigmoid").derivative, Surrogate("box", 0.0).derivative):
        with pytest.raises(UserError, match=r"expected one of fast-sigmoid|a number above 0 expected"):
            use(torch.zeros(3))
