"""e-prop in an outer loop: against finite differences, with feedback that learns, truncated, for many tasks at once."""

import math

import pytest
import torch
from torch import Tensor

from neurometa.core.loss import cross_entropy
from neurometa.core.network import mlp_network
from neurometa.core.neuron import ALIF, LIF, CurrentLIF
from neurometa.core.surrogate import Surrogate
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.generator import Generator
from neurometa.types import Data, Params
from tests.plasticity.networks import LABELS, NEURONS, dense, raster

SMOOTH = Surrogate("sigmoid", 3.0, smooth=True)
JUDGED = {
    "lif-hard": LIF(0.7, 0.6, hard_reset=True, surrogate=SMOOTH),
    "lif-subtract": LIF(0.7, 0.6, hard_reset=False, surrogate=SMOOTH),
    "alif": ALIF(0.7, 0.6, 0.3, 0.9, hard_reset=True, surrogate=SMOOTH),
    "current": CurrentLIF(0.7, 0.5, 0.6, hard_reset=True, surrogate=SMOOTH),
}


class Watcher(Generator):
    """A generator whose spikes are smooth, so that finite differences can judge."""

    @property
    def neuron(self) -> ALIF:
        return super().neuron._replace(surrogate=SMOOTH)


@pytest.mark.parametrize(
    ("name", "feedback", "recurrent"),
    [
        ("lif-hard", "symmetric", True),
        ("lif-subtract", "learnt", False),
        ("alif", "learnt", True),
        ("current", "symmetric", False),
        ("lif-hard", "generator", False),
    ],
)
def test_the_meta_gradient_is_the_slope_of_the_loss_after_learning(name: str, feedback: str, recurrent: bool) -> None:
    network = mlp_network((5,), (6,), neuron=JUDGED[name], steps=8, outputs=3, readout_decay=0.6, recurrent=recurrent)
    rule = EProp(steps=2, rate=0.7, rates="per-tensor", feedback=feedback, output="running-mean", regularisation=0.3)
    rule = rule._replace(generator=Watcher(5))
    generator = torch.Generator().manual_seed(3)
    slow = network.init(generator)
    slow |= rule.slow(network, slow, generator)
    support, query = raster(8, 3, 5, 4), raster(8, 3, 5, 5)
    y = torch.tensor([0, 1, 2])

    def outer(params: Params) -> Tensor:
        fast = rule.adapt(network, params, Data(support, y)).fast
        return cross_entropy(network.run({**params, **fast}, network.signal(query)).output, y)

    leaves = {key: value.clone().requires_grad_() for key, value in slow.items()}
    found = dict(zip(leaves, torch.autograd.grad(outer(leaves), list(leaves.values())), strict=True))
    for key, value in slow.items():
        direction = torch.randn(value.shape, generator=generator)
        step = 1e-5
        up, down = (outer({**slow, key: value + s * step * direction}) for s in (1, -1))
        slope = float(up - down) / (2 * step)
        assert math.isclose(slope, float((found[key] * direction).sum()), rel_tol=1e-5, abs_tol=1e-9), key


def test_random_feedback_is_fixed_and_learnt_feedback_is_not() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    x = raster(30, 4, 7)
    moved = {}
    for kind in ("random", "learnt"):
        rule = EProp(rate=1.0, feedback=kind)
        params = {**slow, **rule.slow(network, slow, torch.Generator().manual_seed(0))}
        key = f"{FEEDBACK}.lif1"
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        fast = rule.adapt(network, leaves, Data(x, LABELS)).fast
        moved[kind] = torch.autograd.grad(fast["linear1.weight"].square().sum(), [leaves[key]], materialize_grads=True)[0].abs().max()
    assert moved["random"] == 0
    assert moved["learnt"] > 0


def test_truncation_leaves_the_update_and_cuts_the_outer_gradient_through_the_traces() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    x, gradient, fast = raster(30, 4, 7), {}, {}
    for truncate in (False, True):
        rule = EProp(rate=1.0, feedback="learnt", truncate=truncate)
        params = {**slow, **rule.slow(network, slow, torch.Generator().manual_seed(0))}
        leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
        fast[truncate] = rule.adapt(network, leaves, Data(x, LABELS)).fast["linear1.weight"]
        found = torch.autograd.grad(fast[truncate].square().sum(), list(leaves.values()), materialize_grads=True)
        gradient[truncate] = dict(zip(leaves, found, strict=True))
    assert torch.equal(fast[False], fast[True])
    key = f"{FEEDBACK}.lif1"
    torch.testing.assert_close(gradient[True][key], gradient[False][key])  # learning signals are not cut
    assert (gradient[True]["linear1.weight"] - gradient[False]["linear1.weight"]).abs().max() > 1e-6


def test_tasks_together_learn_as_each_alone() -> None:
    network, slow = dense(NEURONS["alif-hard"], recurrent=True, readout_decay=0.8)
    rule = EProp(steps=2, rate=0.5)
    x = torch.stack([raster(30, 4, 7, seed) for seed in (1, 2, 3)])
    y = torch.stack([LABELS, LABELS.roll(1), LABELS.roll(2)])
    together = torch.func.vmap(lambda a, b: rule.adapt(network, slow, Data(a, b)).fast, randomness="different")(x, y)
    for i in range(3):
        for key, value in rule.adapt(network, slow, Data(x[i], y[i])).fast.items():
            torch.testing.assert_close(together[key][i], value, rtol=1e-10, atol=1e-12)
