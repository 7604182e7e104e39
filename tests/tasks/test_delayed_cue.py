"""The delayed cue: what a trial shows and, above all, does not show."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from neurometa.core.encode import Raster
from neurometa.core.network import mlp_network
from neurometa.core.neuron import ALIF
from neurometa.errors import UserError
from neurometa.experiment import build, load
from neurometa.meta.adapt import outcomes
from neurometa.meta.learner import Learner
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.frozen import Frozen
from neurometa.tasks import DelayedCue
from neurometa.types import Data, Episode, Network, Params
from tests.small import double

__all__ = ["double"]

FROZEN = Path(__file__).parents[2] / "experiments" / "delayed-cue-frozen.toml"
QUIET = DelayedCue(ways=3, shots=2, queries=2, cue=10, delay=30, recall=8, channels=4, rate=0.6, noise=0.0)


def under_every_map(task: DelayedCue, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Episode]:
    """Every map, the cue of each class (maps, ways), and an episode under each, in which the n-th trial of any class has the same luck."""
    maps, draw = torch.tensor([*itertools.permutations(range(task.ways))]), torch.rand

    def rand(*size: int | torch.Size, generator: torch.Generator) -> Tensor:
        if len(size) == 2:  # of which the task takes the order
            return maps.argsort(-1).to(torch.get_default_dtype())
        count, trials, *trial = size[0]
        one = draw(trials // task.ways, *trial, generator=generator)
        return one.repeat(task.ways, 1, 1).expand(count, trials, *trial)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "rand", rand)
        return maps, task.sample(torch.Generator().manual_seed(0), len(maps))


def by_cue(maps: Tensor, values: Tensor) -> Tensor:
    """(maps, ways * trials, ...), which lie by class, as (maps, cue, trial, ...)."""
    return values.unflatten(1, (maps.shape[1], -1))[torch.arange(len(maps)).unsqueeze(-1), maps.argsort(-1)]


def published(task: DelayedCue) -> tuple[Network, Params, Data]:
    """The network of the published experiments as it begins, and encoded trials."""
    learner, generator = build.learner(load.read(FROZEN), 2), torch.Generator().manual_seed(0)
    slow = learner.init(generator)
    query = learner.encode(task.sample(generator, 1), generator).query
    return learner.network, slow, Data(query.x[0], query.y[0])


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


def test_no_input_tells_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, episodes = under_every_map(QUIET._replace(noise=0.1), monkeypatch)
    for part in episodes:
        x, y = by_cue(maps, part.x), by_cue(maps, part.y)
        assert torch.equal(y[:, :, 0], maps.argsort(-1)), "the label of each cue is another under every map"
        shown = x[..., :10, :12].unflatten(-1, (3, 4)).sum((3, 5))
        assert (shown.argmax(-1) == torch.arange(3).unsqueeze(-1)).all(), "trials stand by the cue they show"
        assert not torch.equal(x[:, :, 0], x[:, :, 1]), "trials of one cue differ"
        assert all(torch.equal(one, x[0]) for one in x), "and yet a trial is the same whatever its label"


def test_a_frozen_learner_answers_alike_under_every_map_and_is_right_once_in_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, episodes = under_every_map(DelayedCue(ways=3, queries=4, delay=60), monkeypatch)
    network = mlp_network((20,), (16,), neuron=ALIF(0.9, 1.0, 0.1, 0.99), steps=1, outputs=3, last=20)
    learner, generator = Learner(network, Frozen(), Raster()), torch.Generator().manual_seed(1)
    slow, encoded = learner.init(generator), learner.encode(episodes, generator)
    slow["linear1.weight"] *= 2
    slow["readout.bias"] -= network.run(slow, network.signal(encoded.query.x[0])).output.mean(0)  # so that it is undecided between classes
    outputs = []
    for support, query in zip(*(map(Data, part.x, part.y) for part in encoded), strict=True):
        record = network.run({**slow, **learner.adapt(slow, support).fast}, network.signal(query.x))
        assert record.z["alif1"].sum() > 100, "a silent network proves nothing"
        outputs.append(record.output)
    given = by_cue(maps, torch.stack(outputs))
    torch.testing.assert_close(given, given[:1].expand_as(given), rtol=1e-12, atol=1e-12)  # sums in another order
    assert len(given[0].argmax(-1).unique()) == 3, "every answer occurs"
    accuracy = outcomes(learner, Learner.adapt, slow, encoded).accuracy
    assert float(accuracy.max() - accuracy.min()) > 0.1, "some maps suit its answers better"
    assert float(accuracy.mean()) == pytest.approx(1 / 3, abs=1e-12)


def test_a_trial_begins_at_rest_whatever_stands_beside_or_before_it() -> None:
    network, slow, query = published(DelayedCue(shots=1, queries=4, channels=10, rate=0.5))
    record = network.run(slow, network.signal(query.x))
    assert record.z["alif1"].sum() > 100
    assert float(record.output.std(0).min()) > 1e-3, "trials have outputs of their own"
    alone = [network.run(slow, network.signal(query.x[:, i : i + 1])).output for i in range(8)]
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cat(alone), record.output, rtol=1e-12, atol=1e-12)  # sums in another order
    shuffled = network.run(slow, network.signal(query.x[:, order])).output
    torch.testing.assert_close(shuffled, record.output[order], rtol=1e-12, atol=1e-12)


def test_what_is_learnt_from_several_trials_is_the_mean_of_what_is_learnt_from_each() -> None:
    network, slow, query = published(DelayedCue(shots=1, queries=4, channels=10, rate=0.5))
    rule, name = EProp(1, 1.0, fast=("linear1.weight",)), "linear1.weight"
    together = rule.adapt(network, slow, query).fast[name] - slow[name]
    each = [rule.adapt(network, slow, Data(query.x[:, i : i + 1], query.y[i : i + 1])).fast[name] - slow[name] for i in range(8)]
    assert float(together.abs().max()) > 1e-3
    torch.testing.assert_close(torch.stack(each).mean(0), together, rtol=1e-9, atol=1e-14)  # differences of weights of about 1


def test_one_cue_is_refused() -> None:
    with pytest.raises(UserError, match="1 ways given, at least 2"):
        DelayedCue(ways=1).sample(torch.Generator(), 1)
