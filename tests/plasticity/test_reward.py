"""Learning from reward: the policy gradient, blind to labels."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.layer import Linear
from neurometa.core.network import READOUT, Stack
from neurometa.errors import UserError
from neurometa.plasticity.reward import EXPLORATION, RewardModulated
from neurometa.types import Data

HEAD = Stack((5,), ((READOUT, Linear(None)),), True)
RULE = RewardModulated(3, trials=30)


def problem() -> tuple[dict[str, Tensor], Data, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, generator=generator)
    slow = RULE.slow(HEAD, {}, generator)
    noise = RULE.draw(Data(x.unsqueeze(0), torch.arange(3).unsqueeze(0)), generator)[EXPLORATION][0]
    return slow, Data(x, torch.arange(3)), noise


def test_trials_are_those_of_reinforce_with_a_baseline_and_find_the_right_answers() -> None:
    slow, support, noise = problem()
    adapted = RULE.adapt(HEAD, slow, support, {EXPLORATION: noise})
    x = support.x.numpy() / np.linalg.norm(support.x.numpy(), axis=1, keepdims=True)
    expected = oracle(x, noise)
    np.testing.assert_allclose(adapted.fast["readout.weight"].numpy(), expected, rtol=1e-9, atol=1e-12)
    assert (x @ expected.T).argmax(1).tolist() == [0, 1, 2]
    assert noise.shape == (90, 3)


def oracle(x: np.ndarray, noise: Tensor) -> np.ndarray:
    from tests import oracles_rules

    return oracles_rules.reward_walk(x, np.arange(3), noise.numpy(), 3, RULE.rate, RULE.greed, RULE.forget, RULE.baseline)


def test_it_knows_of_a_label_nothing_but_rewards() -> None:
    slow, support, noise = problem()
    asked: list[list[float]] = []

    def spiteful(answer: Tensor) -> Tensor:
        asked.append(answer.tolist())
        return torch.tensor(0.5)

    x = support.x
    one = RULE.learnt(slow, x, noise, [spiteful] * 3)
    two = RULE.learnt(slow, x, noise, [lambda answer: torch.tensor(0.5)] * 3)
    assert torch.equal(one, two), "the same rewards, whatever the labels, give the same weights"
    assert all(sorted(answer) == [0.0, 0.0, 1.0] for answer in asked)
    assert len({tuple(answer) for answer in asked}) > 1, "more than one answer is tried"
    never = RULE.learnt(slow, x, noise, [lambda answer: torch.tensor(RULE.baseline)] * 3)
    assert not never.any(), "a reward that is no surprise changes nothing"


def test_without_noise_it_is_refused_and_other_noise_explores_otherwise() -> None:
    slow, support, noise = problem()
    with pytest.raises(UserError, match="reward got no noise"):
        RULE.adapt(HEAD, slow, support)
    other = RULE.adapt(HEAD, slow, support, {EXPLORATION: noise.flip(0)}).fast["readout.weight"]
    assert not torch.equal(other, RULE.adapt(HEAD, slow, support, {EXPLORATION: noise}).fast["readout.weight"])
