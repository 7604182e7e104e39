"""The delayed cue: what a trial shows and, above all, does not show."""

import itertools

import pytest
import torch

from neurometa.core.network import mlp_network
from neurometa.core.neuron import ALIF
from neurometa.errors import UserError
from neurometa.tasks import DelayedCue

QUIET = DelayedCue(ways=3, shots=2, queries=2, cue=10, delay=30, recall=8, channels=4, rate=0.6, noise=0.0)


def test_a_trial_is_a_cue_a_silence_and_a_question() -> None:
    x = QUIET.sample(torch.Generator().manual_seed(0), 20).support.x
    assert x.shape == (20, 6, 48, 16)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    cues, question = x[..., :12].unflatten(-1, (3, 4)).sum(-1), x[..., 12:]
    assert cues[:, :, 10:].sum() == 0
    assert question[:, :, :40].sum() == 0
    assert ((cues.sum(2) > 0).sum(-1) == 1).all(), "one cue in every trial"
    assert abs(float(question[:, :, 40:].mean()) - 0.6) < 0.03
    assert abs(float(cues[:, :, :10].sum()) / (20 * 6 * 10 * 4) - 0.6) < 0.03


def test_what_a_cue_means_holds_in_an_episode_and_is_redrawn_for_the_next() -> None:
    episodes = QUIET.sample(torch.Generator().manual_seed(0), 60)
    maps = []
    for part in episodes:
        cue = part.x[..., :12].unflatten(-1, (3, 4)).sum((2, 4)).argmax(-1)
        assert torch.equal(part.y, torch.arange(3).repeat_interleave(2).expand(60, 6))
        assert torch.equal(cue[:, ::2], cue[:, 1::2])
        maps.append(cue[:, ::2])
    assert torch.equal(*maps)
    found = {tuple(row.tolist()) for row in maps[0]}
    assert found == set(itertools.permutations(range(3))), "every map occurs"


def test_trials_differ_and_follow_from_the_seed() -> None:
    first, again = (DelayedCue().sample(torch.Generator().manual_seed(3), 2) for _ in range(2))
    assert torch.equal(first.support.x, again.support.x)
    assert not torch.equal(first.support.x[:, 0], first.support.x[:, 1])
    assert DelayedCue().shape == (240, 15)


def test_a_network_that_does_not_learn_is_right_once_in_ways_whatever_it_is() -> None:
    """Over all maps of one set of trials a fixed answer to each trial is right exactly once in `ways`."""
    task = DelayedCue(ways=3, queries=4, delay=60)
    network = mlp_network((20,), (16,), neuron=ALIF(0.9, 1.0, 0.1, 0.99), steps=1, outputs=3, last=20)
    params = network.init(torch.Generator().manual_seed(1))
    params["linear1.weight"] *= 2
    query = task.sample(torch.Generator().manual_seed(0), 1).query
    record = network.run(params, network.signal(query.x[0].movedim(1, 0)))
    assert record.z["alif1"].sum() > 100
    answers = record.output.argmax(-1)
    right = [(torch.tensor(order)[query.y[0]] == answers).double().mean() for order in itertools.permutations(range(3))]
    assert float(torch.stack(right).mean()) == pytest.approx(1 / 3)


def test_one_cue_is_refused() -> None:
    with pytest.raises(UserError, match="1 ways given, at least 2"):
        DelayedCue(ways=1).sample(torch.Generator(), 1)
