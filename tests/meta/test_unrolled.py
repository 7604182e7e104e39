"""The exact estimator's gradient is the slope of the loss after adaptation, by central differences on a smooth spike."""

import pytest
import torch

from neurometa.core.encode import Direct
from neurometa.core.network import averaged_last, mlp_network
from neurometa.meta.adapt import outcomes
from neurometa.meta.estimators import Unrolled
from neurometa.meta.learner import Learner
from neurometa.plasticity import soel
from neurometa.plasticity.pairing import Pairing
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP, Teacher
from neurometa.types import Data, Episode, Params
from tests.meta.learners import BUILDERS, RULES, assert_spiking, made, problem
from tests.small import SMOOTH

H = 1e-6
CASES = [
    *(("mlp", rule, "measured") for rule in RULES),
    ("mlp", "all", "none"),
    ("mlp", "learnt", "given"),
    ("conv", "all", "measured"),
    ("conv", "readout", "given"),
    ("conv", "learnt", "none"),
    ("conv", "prototype", "measured"),
    ("recurrent", "all", "measured"),
    ("recurrent", "learnt", "none"),
    ("recurrent", "prototype", "none"),
]
"""Network, rule, and whether there is a normalisation and whose statistics it uses."""


def loss(learner: Learner, slow: Params, episodes: Episode) -> float:
    return float(outcomes(learner, Learner.adapt, slow, episodes).loss.mean())


def moved(slow: Params, name: str, way: torch.Tensor, by: float) -> Params:
    return {**slow, name: slow[name] + by * way}


@pytest.mark.parametrize(("build", "rule", "statistics"), CASES)
def test_meta_gradient_equals_finite_differences_for_every_parameter(build: str, rule: str, statistics: str) -> None:
    learner = made(build, rule, SMOOTH, normalise=statistics != "none")
    slow, episodes = problem(learner, 2, given=statistics == "given")
    outcome, gradient = Unrolled()(learner, slow, episodes)
    assert float(outcome.loss) == pytest.approx(loss(learner, slow, episodes), rel=1e-12)
    assert set(gradient) == set(slow)
    for seed, name in enumerate(slow):
        way = torch.randn(slow[name].shape, generator=torch.Generator().manual_seed(seed))
        way = way.abs() * gradient[name].sign()  # uphill, so that nothing cancels
        slope = (loss(learner, moved(slow, name, way, H), episodes) - loss(learner, moved(slow, name, way, -H), episodes)) / (2 * H)
        found = float((gradient[name] * way).sum())
        assert found == pytest.approx(slope, rel=1e-5, abs=1e-8), name
        shifts_all_features = rule == "prototype" and build == "conv" and name == "norm2.shift"  # no distance changes
        assert abs(found) > 1e-6 or shifts_all_features, f"{name} has no gradient: nothing was checked"


SPIKING = {
    "stdp": STDP(2, Pairing(offset=0.2, a3_plus=0.05), Teacher(SMOOTH), 2),
    "soft bounds": STDP(2, Pairing(multiplicative=True, nearest=True)),
    "reward": RewardModulated(2, 6),
    "soel": SOEL(2, rate=2.0, tau=3.0, threshold=0.45, scale=1.5, every=2, passes=2),
}
"""Rules of the readout that are given a window or noise."""

HELD = {soel.THRESHOLD}
"""Parameters of a decision, which the test holds as it is."""


@pytest.mark.parametrize("rule", SPIKING)
def test_meta_gradients_of_rules_in_time_equal_finite_differences(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soel, "STEEPNESS", 0.0)  # a flat sigmoid passes no gradient: what asks for an update counts as fixed
    network = averaged_last(mlp_network((1, 4, 4), (7, 6), neuron=SMOOTH, steps=5, outputs=None))
    learner = Learner(network, SPIKING[rule], Direct(5))
    slow, episodes = problem(learner, 2)
    outcome, gradient = Unrolled()(learner, slow, episodes)
    assert bool(outcome.finite == 1)
    for seed, name in enumerate(slow):
        way = torch.randn(slow[name].shape, generator=torch.Generator().manual_seed(seed)).abs() * gradient[name].sign()
        slope = (loss(learner, moved(slow, name, way, H), episodes) - loss(learner, moved(slow, name, way, -H), episodes)) / (2 * H)
        found = float((gradient[name] * way).sum())
        assert found == pytest.approx(slope, rel=1e-5, abs=1e-8), name
        assert (abs(found) > 1e-7) == (name not in HELD), f"{name} has no gradient: nothing was checked"


def test_some_errors_ask_for_an_update_in_the_case_of_soel_and_some_do_not() -> None:
    network, rule = averaged_last(mlp_network((1, 4, 4), (7, 6), neuron=SMOOTH, steps=5, outputs=None)), SPIKING["soel"]
    slow, episodes = problem(Learner(network, rule, Direct(5)), 2)
    done = [rule.adapt(network, slow, Data(*support)).work for support in zip(episodes.support.x, episodes.support.y, strict=True)]
    most = 2 * 4 * 2 * 2 * 6  # passes, examples, updates in the window, neurons, synapses of each
    assert all(0 < int(work.synaptic_updates) < most for work in done)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("rule", RULES)
def test_hard_spikes_give_every_parameter_a_finite_gradient(build: str, rule: str) -> None:
    learner = made(build, rule)
    slow, episodes = problem(learner)
    assert_spiking(learner, slow, episodes)
    _, gradient = Unrolled()(learner, slow, episodes)
    assert all(torch.isfinite(value).all() for value in gradient.values())
    moving = {name for name, value in gradient.items() if value.abs().sum() > 1e-12}
    assert set(slow) - moving <= ({"conv2.bias"} if rule == "prototype" else set())


def test_the_gradient_of_a_learnt_rate_is_that_of_one_step_by_hand() -> None:
    learner = made("mlp", "learnt", SMOOTH)
    slow, episodes = problem(learner)
    name = "bptt.log_rate"
    _, gradient = Unrolled()(learner._replace(plasticity=learner.plasticity._replace(steps=1)), slow, episodes)
    rate, expected = float(slow[name].exp()), 0.0  # d loss / d log rate = -rate <query gradient, support gradient>
    weights = {key: value for key, value in slow.items() if key != name}
    for task in range(3):
        support, query = ((part.x[task], part.y[task]) for part in episodes)

        def cross_entropy(params: Params, data: tuple) -> torch.Tensor:  # type: ignore[type-arg]
            return torch.nn.functional.cross_entropy(learner.network.run(params, learner.network.signal(data[0])).output, data[1])

        first = torch.func.grad(cross_entropy)(weights, support)
        second = torch.func.grad(cross_entropy)({key: weights[key] - rate * first[key] for key in weights}, query)
        expected -= rate * sum(float((first[key] * second[key]).sum()) for key in weights) / 3
    assert float(gradient[name]) == pytest.approx(expected, rel=1e-10)
