"""Dealing the examples of a batch of episodes again: what may and may not happen to them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from neurometa.meta.adapt import redealt
from neurometa.types import Data, Episode


def numbered(tasks: int, ways: int, shots: int, queries: int) -> Episode:
    """Episodes whose examples are their own numbers: task, class, drawing."""
    grid = torch.cartesian_prod(torch.arange(tasks), torch.arange(ways), torch.arange(shots + queries)).view(tasks, ways, -1, 3)
    y = torch.arange(ways).view(1, ways, 1).expand(tasks, ways, shots + queries)

    def part(chosen: slice) -> Data:
        return Data(grid[:, :, chosen].flatten(1, 2), y[:, :, chosen].flatten(1, 2))

    return Episode(part(slice(0, shots)), part(slice(shots, None)))


sizes = st.integers(1, 5), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5)


@given(*sizes)
def test_every_deal_is_a_fair_episode(tasks, ways, shots, queries):
    dealt = redealt(numbered(tasks, ways, shots, queries))
    assert len(dealt.support.y) == tasks * tasks * ((shots + queries) // shots)
    for s, q, sy, qy in zip(dealt.support.x, dealt.query.x, dealt.support.y, dealt.query.y, strict=True):
        support, query = ({tuple(row) for row in part.tolist()} for part in (s, q))
        assert len(support) == ways * shots, "a support example was dealt twice"
        assert len(query) == ways * queries, "a query example was dealt twice"
        assert not support & query
        assert torch.equal(sy.bincount(minlength=ways), torch.full((ways,), shots))
        for label in range(ways):
            classes = {tuple(row[:2]) for row in torch.cat([s[sy == label], q[qy == label]]).tolist()}
            assert len(classes) == 1, "a label stands for two classes"


@given(*sizes)
def test_every_example_is_support_equally_often_up_to_a_remainder(tasks, ways, shots, queries):
    dealt = redealt(numbered(tasks, ways, shots, queries))
    rows, times = dealt.support.x.flatten(0, 1).unique(dim=0, return_counts=True)
    assert len(rows) == tasks * ways * shots * ((shots + queries) // shots)
    assert (times == tasks).all()


def test_the_first_deal_is_the_episode_as_given():
    episodes = numbered(3, 4, 1, 2)
    dealt = redealt(episodes)
    assert torch.equal(dealt.support.x[:3], episodes.support.x)
    assert torch.equal(dealt.query.x[:3], episodes.query.x)
