"""Dealing the same examples into more tasks."""

import pytest
import torch

from neurometa.core.encode import Direct, Rate
from neurometa.core.network import mlp_network
from neurometa.meta.adapt import outcomes, redealt
from neurometa.meta.estimators import Reptile, Unrolled
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Data, Episode
from tests.small import LIVELY, Switches

TASKS, WAYS, SHOTS, QUERIES = 5, 3, 2, 4


def numbered(*, time: int = 0) -> Episode:
    """Every example is one number that says where it comes from: 100 * old task + 10 * class + place, place counted support first."""
    number = 100 * torch.arange(TASKS).reshape(-1, 1, 1) + 10 * torch.arange(WAYS).reshape(1, -1, 1) + torch.arange(SHOTS + QUERIES)
    y = torch.arange(WAYS)

    def data(part: torch.Tensor, each: int) -> Data:
        x = part.flatten(1).double().unsqueeze(-1)
        x = torch.stack([x + 0.1 * t for t in range(time)], 1) if time else x
        return Data(x, y.repeat_interleave(each).repeat(TASKS, 1))

    return Episode(data(number[:, :, :SHOTS], SHOTS), data(number[:, :, SHOTS:], QUERIES))


def test_every_new_task_is_a_proper_episode() -> None:
    dealt = redealt(numbered())
    assert dealt.support.x.shape == (TASKS * TASKS * (SHOTS + QUERIES) // SHOTS, WAYS * SHOTS, 1)
    assert dealt.query.x.shape == (len(dealt.support.x), WAYS * QUERIES, 1)
    for support_x, support_y, query_x, query_y in zip(*dealt.support[:2], *dealt.query[:2], strict=True):
        shown, asked = support_x.squeeze(-1).long(), query_x.squeeze(-1).long()
        assert not set(shown.tolist()) & set(asked.tolist()), "a query was shown"
        for number, label in zip([*shown, *asked], [*support_y, *query_y], strict=True):
            assert number // 10 % 10 == label
        for label in range(WAYS):
            old = {int(number) // 100 for number, y in zip([*shown, *asked], [*support_y, *query_y], strict=True) if y == label}
            assert len(old) == 1, "one class, one old task"


def test_the_first_deal_is_the_old_one_and_none_comes_twice() -> None:
    old, dealt = numbered(), redealt(numbered())
    assert torch.equal(dealt.support.x[:TASKS], old.support.x)
    assert torch.equal(dealt.query.x[:TASKS], old.query.x)
    deals = {tuple(sorted(row.flatten().tolist())) for row in dealt.support.x}
    assert len(deals) == len(dealt.support.x)


def test_time_stays_with_its_example() -> None:
    still, moving = redealt(numbered()), redealt(numbered(time=3), timed=True)
    for part, timed in zip(still, moving, strict=True):
        assert torch.equal(part.y, timed.y)
        for t in range(3):
            torch.testing.assert_close(timed.x[:, t], part.x + 0.1 * t, rtol=0, atol=1e-12)


@pytest.mark.parametrize("encoder", [Direct(4), Rate(4)])
@pytest.mark.parametrize("rule", [Prototype(2), BPTT(2, 0.3), BPTT(2, 0.3, fast=("readout.*",))], ids=["prototype", "bptt", "readout"])
def test_a_redealing_learner_learns_from_the_dealt_episodes(
    rule: Prototype | BPTT, encoder: Direct | Rate, generator: torch.Generator
) -> None:
    network = mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=4, outputs=None if isinstance(rule, Prototype) else 2)
    learner = Learner(network, rule, encoder, redeal=True)
    slow = learner.init(generator)
    episodes = learner.encode(Switches(2, 2, 2).sample(generator, 3), generator)
    dealt = redealt(episodes, timed=isinstance(encoder, Rate))
    plain = learner._replace(redeal=False)
    assert outcomes(learner, Learner.adapt, slow, episodes).loss.shape == (3 * 3 * 2,)
    for estimator in (Unrolled(), *([Reptile()] if isinstance(rule, BPTT) else [])):
        torch.testing.assert_close(estimator(learner, slow, episodes), estimator(plain, slow, dealt), rtol=1e-11, atol=1e-12)
