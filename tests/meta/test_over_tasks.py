"""The three forms of the same computation agree, and no statistic crosses from query to support or between queries."""

import pytest
import torch

from neurometa.meta.adapt import outcomes
from neurometa.meta.estimators import Estimator, FirstOrder, Reptile, Unrolled
from neurometa.meta.learner import Learner
from neurometa.types import Data, Episode
from tests.meta.learners import BUILDERS, RULES, assert_spiking, made, one_by_one, problem

EACH = pytest.mark.parametrize("build", BUILDERS)
ONE_BY_ONE = ("hebbian", "fast-weights")
"""Rules that learn from one example before they see the next."""
RULE = pytest.mark.parametrize("rule", RULES)
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def cases() -> list:  # type: ignore[type-arg]
    estimators = {"unrolled": Unrolled(), "first-order": FirstOrder(), "reptile": Reptile()}
    return [
        pytest.param(estimator, rule, id=f"{name}-{rule}")
        for name, estimator in estimators.items()
        for rule in RULES
        if name != "reptile" or rule in ("all", "readout")
    ]


@EACH
@pytest.mark.parametrize(("estimator", "rule"), cases())
@pytest.mark.parametrize("given", [False, True], ids=["plain", "normalised"])
def test_one_batch_equals_one_task_after_another(build: str, estimator: Estimator, rule: str, given: bool) -> None:
    learner = made(build, rule, normalise=given)
    slow, episodes = problem(learner, given=given)
    assert_spiking(learner, slow, episodes)
    together, alone = estimator(learner, slow, episodes), estimator(one_by_one(learner), slow, episodes)
    torch.testing.assert_close(together, alone, **CLOSE)


@EACH
@RULE
def test_measured_statistics_agree_between_the_forms_where_they_are_the_same(build: str, rule: str) -> None:
    learner = made(build, rule, normalise=True)
    slow, episodes = problem(learner, tasks=1)  # of one task, the whole batch's statistics are the task's own
    torch.testing.assert_close(Unrolled()(learner, slow, episodes), Unrolled()(one_by_one(learner), slow, episodes), **CLOSE)


def test_where_the_readout_adapts_alone_the_supports_of_all_tasks_are_normalised_together() -> None:
    learner = made("conv", "readout", normalise=True)
    slow, episodes = problem(learner, tasks=4)
    body, _ = learner.network.split()
    expected = body.run(slow, body.signal(episodes.support.x.flatten(0, 1))).statistics
    found = outcomes(learner, Learner.adapt, slow, episodes).statistics
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.expand(4, *value.shape), **CLOSE)


@EACH
@RULE
def test_another_query_set_changes_no_statistic_and_no_adapted_weight(build: str, rule: str) -> None:
    learner = made(build, rule, normalise=True)
    slow, episodes = problem(learner)
    other = episodes._replace(query=Data(torch.rand_like(episodes.query.x), episodes.query.y))
    seen = []

    def adapt(learner, slow, support):  # type: ignore[no-untyped-def]
        adapted = Learner.adapt(learner, slow, support)
        seen.append(adapted.fast)
        return adapted

    looped = learner._replace(network=learner.network._replace(vmappable=False))
    first, second = (outcomes(looped, adapt, slow, episode) for episode in (episodes, other))
    assert not torch.equal(first.loss, second.loss)
    assert first.statistics.keys() == second.statistics.keys() != set()
    assert all(torch.equal(first.statistics[name], second.statistics[name]) for name in first.statistics)
    if not learner.plasticity.readout_only:  # otherwise the head runs under vmap, whose tensors cannot be kept
        half = len(seen) // 2
        for one, two in zip(seen[:half], seen[half:], strict=True):
            assert one.keys() == two.keys()
            assert all(torch.equal(one[name], two[name]) for name in one)


@EACH
@RULE
@pytest.mark.parametrize("given", [False, True], ids=["support statistics", "running statistics"])
def test_every_query_is_judged_on_its_own(build: str, rule: str, given: bool) -> None:
    learner = made(build, rule, normalise=True)
    slow, episodes = problem(learner, given=given)
    together = outcomes(learner, Learner.adapt, slow, episodes)
    count = episodes.query.y.shape[1]
    alone = [
        outcomes(
            learner, Learner.adapt, slow, Episode(episodes.support, Data(episodes.query.x[:, i : i + 1], episodes.query.y[:, i : i + 1]))
        )
        for i in range(count)
    ]
    torch.testing.assert_close(together.loss, sum(one.loss for one in alone) / count, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(together.accuracy, sum(one.accuracy for one in alone) / count, rtol=1e-11, atol=1e-12)


@EACH
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ONE_BY_ONE])
def test_the_order_of_queries_and_supports_does_not_matter(build: str, rule: str) -> None:
    learner = made(build, rule, normalise=True)
    slow, episodes = problem(learner)
    mixed = Episode(*(Data(data.x.flip(1), data.y.flip(1)) for data in episodes))
    one, two = (outcomes(learner, Learner.adapt, slow, episode) for episode in (episodes, mixed))
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@RULE
def test_tasks_do_not_disturb_each_other(rule: str) -> None:
    learner = made("mlp", rule)
    slow, episodes = problem(learner)
    all_three = outcomes(learner, Learner.adapt, slow, episodes)
    for i in range(3):
        alone = outcomes(learner, Learner.adapt, slow, Episode(*(Data(data.x[i : i + 1], data.y[i : i + 1]) for data in episodes)))
        torch.testing.assert_close(alone.loss[0], all_three.loss[i], **CLOSE)
