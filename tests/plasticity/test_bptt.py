"""Descent on the support loss: the right steps, on the right weights."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neurometa.core.layer import Linear
from neurometa.core.network import READOUT, Stack, conv_network, mlp_network
from neurometa.plasticity.bptt import BPTT
from neurometa.types import Data, Params
from tests import oracles
from tests.small import LIVELY, Switches

READOUT_ALONE = Stack((6,), ((READOUT, Linear(3)),), vmappable=True)


def linear_problem() -> tuple[Params, Data]:
    rng = np.random.default_rng(0)
    params = {"readout.weight": torch.tensor(rng.normal(size=(3, 6))), "readout.bias": torch.tensor(rng.normal(size=3))}
    return params, Data(torch.tensor(rng.normal(size=(12, 6))), torch.tensor(rng.integers(0, 3, 12)))


def descend(
    params: Params, support: Data, steps: int, weight: np.ndarray | float, bias: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    arrays = (support.x, support.y, params["readout.weight"], params["readout.bias"])
    return oracles.softmax_descent(*(array.numpy() for array in arrays), steps, weight, bias)


def equal(fast: Params, expected: tuple[np.ndarray, np.ndarray]) -> None:
    for name, array in zip(("readout.weight", "readout.bias"), expected, strict=True):
        np.testing.assert_allclose(fast[name].numpy(), array, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_linear_readout_takes_the_steps_of_softmax_descent(steps: int) -> None:
    params, support = linear_problem()
    adapted = BPTT(steps, 0.7).adapt(READOUT_ALONE, params, support)
    equal(adapted.fast, descend(params, support, steps, 0.7, 0.7))
    assert float(adapted.work.synaptic_updates) == steps * 21
    assert bool(adapted.finite)


def test_a_learnt_rate_is_used_in_place_of_the_fixed_one(generator: torch.Generator) -> None:
    params, support = linear_problem()
    rule = BPTT(3, 0.2, "learnt")
    slow = rule.slow(READOUT_ALONE, params, generator)
    assert list(slow) == ["bptt.log_rate"]
    assert float(slow["bptt.log_rate"].exp()) == pytest.approx(0.2)
    slow["bptt.log_rate"] = torch.tensor(math.log(0.9))
    equal(rule.adapt(READOUT_ALONE, {**params, **slow}, support).fast, descend(params, support, 3, 0.9, 0.9))


def test_the_readout_and_every_tensor_below_it_begin_with_rates_of_their_own(generator: torch.Generator) -> None:
    network = mlp_network((6,), (8,), neuron=LIVELY, steps=4, outputs=3)
    params = network.init(generator)
    slow = BPTT(1, 0.2, "per-tensor", hidden_rate=0.05).slow(network, params, generator)
    expected = {"linear1.weight": 0.05, "linear1.bias": 0.05, "readout.weight": 0.2, "readout.bias": 0.2}
    assert {name: float(value.exp()) for name, value in slow.items()} == pytest.approx(
        {f"bptt.log_rate.{k}": v for k, v in expected.items()}
    )
    support = Data(torch.rand(6, 6, generator=generator), torch.arange(6) % 3)
    slow["bptt.log_rate.linear1.weight"] = torch.tensor(0.5).log()
    learnt = BPTT(1, 0.2, "per-tensor", hidden_rate=0.05).adapt(network, {**params, **slow}, support).fast
    assert int(network.run(params, network.signal(support.x)).z["lif1"].sum()) > 0, "a silent network moves nothing"
    for name, rate in {**expected, "linear1.weight": 0.5}.items():
        alone = BPTT(1, rate).adapt(network, params, support).fast
        torch.testing.assert_close(learnt[name], alone[name])
    fixed = BPTT(1, 0.2, hidden_rate=0.05).adapt(network, params, support).fast
    torch.testing.assert_close(fixed["linear1.bias"], BPTT(1, 0.05).adapt(network, params, support).fast["linear1.bias"])
    torch.testing.assert_close(fixed["readout.bias"], learnt["readout.bias"])


def test_every_weight_has_a_rate_of_its_own(generator: torch.Generator) -> None:
    params, support = linear_problem()
    rule = BPTT(3, 0.2, "per-parameter")
    slow = rule.slow(READOUT_ALONE, params, generator)
    assert {name: value.shape for name, value in slow.items()} == {f"bptt.log_rate.{name}": value.shape for name, value in params.items()}
    assert all(torch.allclose(value.exp(), torch.tensor(0.2)) for value in slow.values())
    rates = [np.random.default_rng(1).uniform(0.1, 1.5, params[name].shape) for name in ("readout.weight", "readout.bias")]
    slow = {"bptt.log_rate.readout.weight": torch.tensor(np.log(rates[0])), "bptt.log_rate.readout.bias": torch.tensor(np.log(rates[1]))}
    equal(rule.adapt(READOUT_ALONE, {**params, **slow}, support).fast, descend(params, support, 3, *rates))


def spiking_problem(build: str = "mlp") -> tuple[Stack, Params, Data]:
    if build == "mlp":
        network = mlp_network((1, 4, 4), (10, 8), normalise=True, neuron=LIVELY, steps=5, outputs=2)
    else:
        network = conv_network((1, 4, 4), (3, 4), (1, 1), (2, 1), neuron=LIVELY, steps=5, features="spikes", outputs=2)
    support = Switches(2, 4, 1).sample(torch.Generator().manual_seed(1), 1).support
    return network, network.init(torch.Generator().manual_seed(0)), Data(support.x[0], support.y[0])


@pytest.mark.parametrize("build", ["mlp", "conv"])
def test_one_step_through_spikes_is_plain_autograd_descent(build: str) -> None:
    network, params, support = spiking_problem(build)
    record = network.run(params, network.signal(support.x))
    assert all(0.01 < float(z.mean()) < 0.99 for z in record.z.values())
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    F.cross_entropy(network.run(leaves, network.signal(support.x)).output, support.y).backward()
    fast = BPTT(1, 0.3).adapt(network, params, support).fast
    assert all(leaf.grad.abs().sum() > 0 for leaf in leaves.values()), "a weight without gradient proves nothing"
    for name, leaf in leaves.items():
        torch.testing.assert_close(fast[name], params[name] - 0.3 * leaf.grad, rtol=1e-11, atol=1e-13)


def test_the_support_loss_falls() -> None:
    network, params, support = spiking_problem()
    params |= network.run(params, network.signal(support.x)).statistics

    def loss(weights: Params) -> float:
        return oracles.cross_entropy(network.run(weights, network.signal(support.x)).output.numpy(), support.y.numpy())

    assert loss({**params, **BPTT(10, 0.1).adapt(network, params, support).fast}) < 0.7 * loss(params)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("readout.*",), {"readout.weight", "readout.bias"}),
        (("*.bias", "norm1.*"), {"norm1.gain", "norm1.shift", "readout.bias"}),
        (("linear2.weight",), {"linear2.weight"}),
    ],
)
def test_only_what_the_patterns_name_moves(patterns: tuple[str, ...], names: set[str]) -> None:
    network, params, support = spiking_problem()
    fast = BPTT(2, 0.3, fast=patterns).adapt(network, params, support).fast
    assert set(fast) == names
    assert all(not torch.equal(fast[name], params[name]) for name in names)
    rates = BPTT(2, 0.3, "per-parameter", patterns).slow(network, params, torch.Generator())
    assert set(rates) == {f"bptt.log_rate.{name}" for name in names}


@pytest.mark.parametrize("rates", ["fixed", "learnt", "per-parameter"])
def test_statistics_and_rates_never_move(rates: str) -> None:
    network, params, support = spiking_problem()
    rule = BPTT(2, 0.3, rates)
    statistics = network.run(params, network.signal(support.x)).statistics
    slow = {**params, **rule.slow(network, params, torch.Generator()), **statistics}
    before = {name: value.clone() for name, value in slow.items()}
    adapted = rule.adapt(network, slow, support)
    assert set(adapted.fast) == set(params)
    assert adapted.statistics == {}
    assert all(torch.equal(slow[name], value) for name, value in before.items()), "slow parameters were written in place"


def test_measured_statistics_are_those_of_the_last_step() -> None:
    network, params, support = spiking_problem()
    before_last = {**params, **BPTT(2, 0.3).adapt(network, params, support).fast}
    expected = network.run(before_last, network.signal(support.x)).statistics
    found = BPTT(3, 0.3).adapt(network, params, support).statistics
    assert expected.keys() == found.keys() != set()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("patterns", "alone"), [(("readout.*",), True), (("readout.weight",), True), (("*",), False), (("readout.*", "conv1.*"), False)]
)
def test_it_knows_when_only_the_readout_moves(patterns: tuple[str, ...], alone: bool) -> None:
    assert BPTT(fast=patterns).readout_only == alone


def test_a_step_to_infinity_is_noticed() -> None:
    params, support = linear_problem()
    assert not bool(BPTT(3, 1e308).adapt(READOUT_ALONE, params, support._replace(x=100 * support.x)).finite)


def test_an_unwritten_readout_takes_the_steps_of_softmax_descent_from_zero_summed_over_classes() -> None:
    params, support = linear_problem()
    zeros = {name: torch.zeros_like(value) for name, value in params.items()}
    unwritten = Stack((6,), ((READOUT, Linear(None)),), vmappable=True)
    adapted = BPTT(4, 0.2, ways=3).adapt(unwritten, {"other": params["readout.bias"]}, support)
    equal(adapted.fast, descend(zeros, support, 4, 3 * 0.2, 3 * 0.2))
    assert float(adapted.work.synaptic_updates) == 4 * 24, "the readout's, and that of `other`, which has no gradient"


@pytest.mark.parametrize("ways", [2, 5])
def test_from_zero_a_step_moves_a_row_alike_whatever_the_number_of_classes(ways: int) -> None:
    unwritten = Stack((6,), ((READOUT, Linear(None)),), vmappable=True)
    shown = torch.randn(2, 6)
    x = torch.cat([shown, torch.zeros(ways - 2, 6)])
    fast = BPTT(1, 0.2, fast=("readout.*",), ways=ways).adapt(unwritten, {"other": shown}, Data(x, torch.arange(ways))).fast
    torch.testing.assert_close(fast["readout.weight"][0], 0.2 * (shown[0] - shown.sum(0) / ways), rtol=1e-11, atol=1e-13)


def test_every_row_written_from_zero_has_the_same_rates() -> None:
    network = mlp_network((1, 4, 4), (10, 8), neuron=LIVELY, steps=5, outputs=None)
    rates = BPTT(2, 0.3, "per-parameter", ways=3).slow(network, network.init(torch.Generator()), torch.Generator())
    assert rates["bptt.log_rate.readout.weight"].shape == (1, 8)
    assert rates["bptt.log_rate.linear1.weight"].shape == (10, 16)


def test_an_unwritten_readout_that_stands_alone_has_rates(generator: torch.Generator) -> None:
    alone = Stack((6,), ((READOUT, Linear(None)),), vmappable=True)
    rates = BPTT(1, 0.3, "per-tensor", ("readout.*",), ways=2).slow(alone, alone.init(generator), generator)
    assert {name: float(value.exp()) for name, value in rates.items()} == pytest.approx(
        {"bptt.log_rate.readout.weight": 0.3, "bptt.log_rate.readout.bias": 0.3}
    )
