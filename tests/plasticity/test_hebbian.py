"""Hebbian traces bind features to labels."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.layer import Linear
from neurometa.core.network import READOUT, Stack, mlp_network
from neurometa.plasticity import hebbian
from neurometa.plasticity.hebbian import COEFFICIENT, GATE, Hebbian
from neurometa.types import Data, Params
from tests import oracles_rules
from tests.small import LIVELY, Switches

RULES = {"hebb": hebbian.hebb, "oja": hebbian.oja, "memory": hebbian.memory}
HEAD = Stack((5,), ((READOUT, Linear(None)),), True)


def examples(n: int = 6, ways: int = 3) -> Data:
    rng = np.random.default_rng(0)
    return Data(torch.tensor(rng.normal(size=(n, 5))), torch.tensor(rng.integers(0, ways, n)))


def slow_of(rule: Hebbian, network: Stack = HEAD) -> Params:
    generator = torch.Generator().manual_seed(0)
    params = network.init(generator)
    return {**params, **rule.slow(network, params, generator)}


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(("gated", "trace"), [(False, 0.0), (True, 0.0), (True, 0.7)])
@pytest.mark.parametrize("coefficients", ["one", "feature", "synapse"])
def test_weights_are_coefficients_times_the_traces_of_the_paper(kind: str, gated: bool, trace: float, coefficients: str) -> None:
    rule = Hebbian(3, RULES[kind], coefficients, gated=gated, trace=trace, normalise=False)
    slow, support = slow_of(rule), examples()
    slow[COEFFICIENT] = torch.randn(slow[COEFFICIENT].shape, generator=torch.Generator().manual_seed(1))
    thirds = np.ones(6)
    if gated:
        slow[f"{GATE}.weight"] = torch.tensor([0.5, -1.0, 0.2, 0.0, 0.3])
        thirds = 2 / (1 + np.exp(-(support.x.numpy() @ slow[f"{GATE}.weight"].numpy())))
    adapted = rule.adapt(HEAD, slow, support)
    expected = oracles_rules.hebbian_trace(
        kind, support.x.numpy(), np.eye(3)[support.y.numpy()], rule.eta, rule.keep if kind == "memory" else 1.0, thirds, trace
    )
    weight = adapted.fast["readout.weight"].numpy()
    np.testing.assert_allclose(weight, slow[COEFFICIENT].numpy() * expected, rtol=1e-11, atol=1e-13)
    assert bool(adapted.finite)
    assert float(adapted.work.synaptic_updates) == 6 * 15


def test_one_shot_writes_normalised_features_and_a_copy_is_recognised() -> None:
    rule = Hebbian(4)
    network = mlp_network((1, 4, 4), (12, 9), neuron=LIVELY, steps=6)
    slow = slow_of(rule, network)
    support = Switches(4, 1, 1).sample(torch.Generator().manual_seed(0), 1).support
    known = Data(support.x[0], support.y[0])
    record = network.run(slow, network.signal(known.x))
    assert all(0.01 < float(z.mean()) < 0.99 for z in record.z.values())
    fast = rule.adapt(network, slow, known).fast
    expected = 0.5 * record.output / record.output.norm(dim=1, keepdim=True)
    torch.testing.assert_close(fast["readout.weight"], expected, rtol=1e-9, atol=1e-12)
    assert torch.equal(network.run({**slow, **fast}, network.signal(known.x)).output.argmax(-1), known.y)


def test_fading_makes_the_order_of_examples_matter_for_hebb_and_not_between_classes_for_oja() -> None:
    support = Data(torch.eye(5)[:3], torch.arange(3))
    turned = Data(support.x.flip(0), support.y.flip(0))
    for change, order_matters in ((hebbian.hebb, True), (hebbian.oja, False)):
        rule = Hebbian(3, change)
        one, other = (rule.adapt(HEAD, slow_of(rule), data).fast["readout.weight"] for data in (support, turned))
        assert torch.allclose(one, other) != order_matters


def test_a_slow_readout_is_added_and_other_ways_can_be_asked_where_nothing_slow_has_a_row_for_each() -> None:
    network = Stack((5,), ((READOUT, Linear(3)),), True)
    rule = Hebbian(3, own=True)
    slow = slow_of(rule, network)
    fast = rule.adapt(network, slow, examples()).fast
    plain = Hebbian(3).adapt(HEAD, slow, examples()).fast
    torch.testing.assert_close(fast["readout.weight"] - slow["readout.weight"], plain["readout.weight"])
    assert Hebbian(7).adapt(HEAD, slow_of(Hebbian(2)), examples()).fast["readout.weight"].shape == (7, 5)


@pytest.mark.parametrize("kind", RULES)
def test_regression_targets_are_the_postsynaptic_activity(kind: str) -> None:
    rule = Hebbian(1, RULES[kind], "one", normalise=False, keep=0.9)
    x, y = examples().x, torch.linspace(-1, 1, 6).unsqueeze(1)
    fast = rule.adapt(HEAD, slow_of(rule), Data(x, y)).fast
    expected = oracles_rules.hebbian_trace(kind, x.numpy(), y.numpy(), 0.5, 0.9, np.ones(6), 0.0)
    np.testing.assert_allclose(fast["readout.weight"].numpy(), expected, rtol=1e-10, atol=1e-13)


def test_weights_that_are_not_finite_are_noticed() -> None:
    slow = slow_of(Hebbian(3)) | {COEFFICIENT: torch.full((5,), torch.inf)}
    assert not bool(Hebbian(3).adapt(HEAD, slow, examples()).finite)


def test_vmap_over_tasks_equals_one_after_another() -> None:
    rule = Hebbian(3, gated=True, trace=0.5)
    slow = slow_of(rule)
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(2))
    y = torch.arange(3).repeat(4, 2)

    def one(x: Tensor, y: Tensor) -> Tensor:
        return rule.adapt(HEAD, slow, Data(x, y)).fast["readout.weight"]

    together = torch.func.vmap(one)(x, y)
    torch.testing.assert_close(together, torch.stack([one(*pair) for pair in zip(x, y, strict=True)]))
