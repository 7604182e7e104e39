"""Two learners judged on the same episodes."""

import pytest
import torch

from experiments import paired
from neurometa.experiment import session
from neurometa.experiment.build import Question
from neurometa.experiment.progress import Silent


def test_both_learners_see_the_same_episodes_whatever_their_rule(experiment, finished, tmp_path, monkeypatch):
    other, _ = session.start(experiment({"plasticity": {"kind": "bptt", "steps": 1}, "training.steps": 1}), tmp_path, None, Silent())
    seen: dict[int, list[torch.Tensor]] = {}
    whole = paired.outcomes

    def noted(learner, adapt, slow, episodes):
        seen.setdefault(id(slow), []).append(episodes.support.x)
        return whole(learner, adapt, slow, episodes)

    monkeypatch.setattr(paired, "outcomes", noted)
    first, second = paired.judged([finished, other], Question(3, 1, 2), 12, 1, None)
    assert first.shape == second.shape == (12,)
    one, two = (torch.cat(given) for given in seen.values())
    assert torch.equal(one, two)
    assert not torch.equal(first, second), "two rules that answer alike everywhere show nothing"


def test_a_mean_has_its_interval() -> None:
    assert paired.spread(torch.tensor([0.0, 1.0, 0.0, 1.0])) == {"mean": 0.5, "ci95": pytest.approx(1.96 * 0.57735 / 2, rel=1e-4)}
