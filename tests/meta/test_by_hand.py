"""First-order and Reptile against loops written out with `torch.autograd` alone."""

import pytest
import torch
import torch.nn.functional as F

from neurometa.core.network import Stack
from neurometa.meta.estimators import FirstOrder, Reptile
from neurometa.types import Data, Episode, Params
from tests.meta.learners import assert_spiking, made, problem

TASKS = 3
CASES = pytest.mark.parametrize("rule", ["all", "readout"])
NETWORKS = pytest.mark.parametrize("build", ["mlp", "conv"])
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def mean_loss(network: Stack, weights: Params, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(network.run(weights, network.signal(x)).output, y)


def walk(network: Stack, slow: Params, support: Data, fast: list[str], steps: int, rate: float) -> Params:
    """Gradient descent on the support with detached steps."""
    weights = {name: value.clone() for name, value in slow.items()}
    for _ in range(steps):
        leaves = {name: weights[name].detach().requires_grad_() for name in fast}
        gradients = torch.autograd.grad(mean_loss(network, {**weights, **leaves}, *support[:2]), list(leaves.values()))
        for name, gradient in zip(leaves, gradients, strict=True):
            weights[name] = (leaves[name] - rate * gradient).detach()
    return weights


def tasks_of(episodes: Episode) -> list[tuple[Data, Data]]:
    return [tuple(Data(part.x[i], part.y[i]) for part in episodes) for i in range(TASKS)]  # type: ignore[misc]


@NETWORKS
@CASES
@pytest.mark.parametrize("given", [False, True], ids=["plain", "normalised"])
def test_first_order_is_the_query_gradient_at_the_adapted_weights(build: str, rule: str, given: bool) -> None:
    learner = made(build, rule, normalise=given)
    slow, episodes = problem(learner, TASKS, given=given)
    assert_spiking(learner, slow, episodes)
    fast = [name for name in slow if rule == "all" or name.startswith("readout.")]
    fast = [name for name in fast if not name.endswith((".mean", ".var"))]
    expected = {name: torch.zeros_like(value) for name, value in slow.items()}
    losses = []
    for support, query in tasks_of(episodes):
        weights = {name: value.requires_grad_() for name, value in walk(learner.network, slow, support, fast, 2, 0.3).items()}
        loss = mean_loss(learner.network, weights, *query[:2])
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            expected[name] += gradient / TASKS
        losses.append(loss.detach())
    outcome, gradient = FirstOrder()(learner, slow, episodes)
    torch.testing.assert_close(outcome.loss, torch.stack(losses).mean(), **CLOSE)
    torch.testing.assert_close(gradient, expected, **CLOSE)
    assert all(value.abs().sum() > 0 for value in gradient.values())


@NETWORKS
@CASES
@pytest.mark.parametrize("given", [False, True], ids=["plain", "normalised"])
def test_reptile_is_the_mean_way_from_the_adapted_to_the_slow_weights(build: str, rule: str, given: bool) -> None:
    learner = made(build, rule, normalise=given)
    slow, episodes = problem(learner, TASKS, given=given)
    assert_spiking(learner, slow, episodes)
    fast = [name for name in slow if (rule == "all" or name.startswith("readout.")) and not name.endswith((".mean", ".var"))]
    expected = {name: torch.zeros_like(slow[name]) for name in fast}
    losses, right = [], []
    for support, query in tasks_of(episodes):
        weights = walk(learner.network, slow, support, fast, 2, 0.3)
        for name in fast:
            expected[name] += (slow[name] - weights[name]) / TASKS
        losses.append(mean_loss(learner.network, weights, *query[:2]))
        right.append((learner.network.run(weights, learner.network.signal(query.x)).output.argmax(1) == query.y).double().mean())
    outcome, gradient = Reptile()(learner, slow, episodes)
    torch.testing.assert_close(gradient, expected, **CLOSE)
    torch.testing.assert_close(outcome.loss, torch.stack(losses).mean(), **CLOSE)
    torch.testing.assert_close(outcome.accuracy, torch.stack(right).mean(), **CLOSE)
    assert float(outcome.finite) == 1


@CASES
def test_reptile_learns_from_the_support_only(rule: str) -> None:
    learner = made("mlp", rule)
    slow, episodes = problem(learner, TASKS)
    other = episodes._replace(query=Data(1 - episodes.query.x, 1 - episodes.query.y))
    (one, gradient), (two, same) = Reptile()(learner, slow, episodes), Reptile()(learner, slow, other)
    assert float(one.loss) != float(two.loss)
    torch.testing.assert_close(gradient, same, rtol=0, atol=0)


def test_first_order_takes_prototypes_for_constants() -> None:
    learner = made("mlp", "prototype")
    slow, episodes = problem(learner, TASKS)
    expected = {name: torch.zeros_like(value) for name, value in slow.items()}
    for support, query in tasks_of(episodes):
        fast = learner.adapt(slow, support).fast
        weights = {name: value.clone().requires_grad_() for name, value in slow.items()}
        loss = mean_loss(learner.network, {**weights, **fast}, *query[:2])
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(weights, gradients, strict=True):
            expected[name] += gradient / TASKS
    _, gradient = FirstOrder()(learner, slow, episodes)
    torch.testing.assert_close(gradient, expected, **CLOSE)
    assert gradient["linear1.weight"].abs().sum() > 0
