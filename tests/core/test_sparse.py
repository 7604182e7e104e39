"""Products with few spikes: equal to the dense ones in value and every derivative, chosen by what is measured."""

import pytest
import torch
from torch import Tensor

from neurometa.core import sparse
from neurometa.core.layer import Linear
from neurometa.core.network import mlp_network
from neurometa.core.neuron import LIF
from neurometa.core.sparse import few_events, linear
from neurometa.errors import UserError
from neurometa.types import Signal

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
"""The same sums in another order."""


@pytest.fixture(autouse=True)
def small_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests are quick."""
    monkeypatch.setattr(sparse, "LEAST", 1000)
    monkeypatch.setattr(sparse, "NARROW", 2)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes whenever rows are summed."""
    taken: list[str] = []
    for function in (sparse._Product, sparse._Outer):
        apply = function.apply
        monkeypatch.setattr(function, "apply", lambda *a, apply=apply, name=function.__name__: (taken.append(name), apply(*a))[1])
    return taken


def drawn(density: float, rows: int = 200, pre: int = 30, post: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(rows, pre, generator=generator) < density).double()
    return x, torch.randn(post, pre, generator=generator), torch.randn(post, generator=generator)


def test_few_spikes_give_the_dense_result(ways: list[str]) -> None:
    x, weight, bias = drawn(0.03)
    assert x.sum() > 100
    torch.testing.assert_close(linear(x, weight, bias), x @ weight.T + bias, **CLOSE)
    torch.testing.assert_close(linear(-2.5 * x, weight), -2.5 * x @ weight.T, **CLOSE)
    assert ways == ["_Product"] * 2


@pytest.mark.parametrize("density", [0.4, 0.5, 1.0])
def test_many_inputs_take_the_dense_product_bit_for_bit(density: float, ways: list[str]) -> None:
    x, weight, bias = drawn(density)
    assert torch.equal(linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    assert ways == []


def test_no_input_at_all_gives_the_bias() -> None:
    x, weight, bias = drawn(0.0)
    assert torch.equal(linear(x, weight, bias), bias.expand(200, 7))


def test_a_small_product_several_threads_and_other_numbers_stay_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _ = drawn(0.02)
    assert few_events(x, len(weight))
    assert few_events(x.float(), len(weight))
    assert not few_events(x[:4], len(weight))
    assert not few_events(x.bfloat16(), len(weight))
    assert not few_events(x.to("meta"), len(weight))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not few_events(x, len(weight))


def test_first_and_second_derivatives_equal_the_dense_ones(ways: list[str]) -> None:
    x, weight, bias = drawn(0.03)
    found = []
    for product in (linear, torch.nn.functional.linear):
        leaves = [part.clone().requires_grad_() for part in (x, weight, bias)]
        first = torch.autograd.grad(product(*leaves).sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), leaves)
        found.append([*first, *second])
    torch.testing.assert_close(found[0], found[1], **CLOSE)
    assert ways.count("_Outer") == 2
    assert ways.count("_Product") == 2


def test_derivatives_of_both_orders_equal_finite_differences() -> None:
    inputs = [part.requires_grad_() for part in drawn(0.2, rows=6, pre=5, post=2)[:2]]
    assert 0 < inputs[0].count_nonzero() < 12
    torch.autograd.gradcheck(sparse._Product.apply, inputs)
    torch.autograd.gradgradcheck(sparse._Product.apply, inputs)


def inner(product, x: Tensor):
    return lambda weight: (product(x, weight).tanh() ** 2).sum()


def test_grad_of_grad_sums_rows_and_equals_the_dense_one(ways: list[str]) -> None:
    x, weight, _ = drawn(0.03)
    steps = [
        torch.func.grad(lambda w, p=p: inner(p, x)(w - 0.1 * torch.func.grad(inner(p, x))(w)))(weight)
        for p in (linear, torch.nn.functional.linear)
    ]
    torch.testing.assert_close(*steps, **CLOSE)
    assert ways.count("_Outer") > 1


@pytest.mark.parametrize("which", ["inputs", "weights", "both"])
def test_under_vmap_the_result_is_the_same(which: str) -> None:
    x, weight, _ = drawn(0.03)
    xs = torch.stack([x, x.flip(0)]) if which != "weights" else x
    weights = torch.stack([weight, 2 * weight]) if which != "inputs" else weight
    dims = (None if xs is x else 0, None if weights is weight else 0)

    def slope(product):
        return torch.func.vmap(lambda x, w: torch.func.grad(lambda w: torch.func.grad(inner(product, x))(w).square().sum())(w), dims)

    torch.testing.assert_close(slope(linear)(xs, weights), slope(torch.nn.functional.linear)(xs, weights), **CLOSE)
    if which != "weights":
        torch.testing.assert_close(torch.func.vmap(linear, dims)(xs, weights), xs @ weights.mT, **CLOSE)


def test_a_layer_of_few_spikes_uses_it(ways: list[str]) -> None:
    x, weight, bias = drawn(0.02)
    y, _ = Linear(7).apply({"weight": weight, "bias": bias}, Signal(x.view(20, 10, 30), True), {})
    torch.testing.assert_close(y.values, (x @ weight.T + bias).view(20, 10, 7), **CLOSE)
    assert ways == ["_Product"]


def test_the_reference_kernel_multiplies_densely(ways: list[str]) -> None:
    x, weight, _ = drawn(0.03)
    for dense in (False, True):
        Linear(7, dense=dense).apply({"weight": weight}, Signal(x, False), {})
    assert ways == ["_Product"]
    network = mlp_network((30,), (7,), neuron=LIF(), steps=3)
    assert [layer.dense for _, layer in network.on("reference").layers if isinstance(layer, Linear)] == [True, True]
    assert [layer.dense for _, layer in network.on("numba").layers if isinstance(layer, Linear)] == [False, False]


def test_weights_of_another_width_are_refused_and_not_read_past(ways: list[str]) -> None:
    x, weight, _ = drawn(0.03)
    for wrong in (weight[:, :-1], torch.cat([weight, weight], 1)):
        with pytest.raises(UserError, match="given for 30 inputs"):
            linear(x, wrong)


def test_few_outputs_are_multiplied_densely() -> None:
    x, _, _ = drawn(0.03, post=70)
    assert few_events(x, 70)
    assert not few_events(x, 1)


def test_a_missing_weight_is_not_an_unwritten_readout() -> None:
    x, _, _ = drawn(0.03)
    assert Linear(None).apply({}, Signal(x, False), {})[0].values is x
    with pytest.raises(UserError, match="7 outputs without its parameter `weight`"):
        Linear(7).apply({}, Signal(x, False), {})
