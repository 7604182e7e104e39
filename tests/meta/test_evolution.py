"""Evolution strategies: the exact gradient in the mean, on a smooth problem; nothing but tries needed."""

import pytest
import torch

from neurometa.core.encode import Direct
from neurometa.core.network import averaged_last, mlp_network
from neurometa.errors import InternalError
from neurometa.meta.adapt import outcomes
from neurometa.meta.estimators import Unrolled
from neurometa.meta.evolution import Evolution
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.stdp import STDP
from tests.meta.learners import made, problem
from tests.small import LIVELY, SMOOTH, Switches


@pytest.mark.parametrize("rule", ["learnt", "hebbian"])
def test_in_the_mean_it_is_the_exact_gradient_of_a_smooth_problem(rule: str) -> None:
    learner = made("mlp", rule, SMOOTH)
    slow, episodes = problem(learner, 2)
    over = ("bptt.*", "hebbian.*", "linear2.bias")
    _, exact = Unrolled()(learner, slow, episodes)
    tries = Evolution(800, 1e-3, over).drawn(slow, torch.Generator().manual_seed(0))
    _, found = tries(learner, slow, episodes)
    assert set(found) == {name for name in slow if name.startswith(("bptt.", "hebbian.")) or name == "linear2.bias"}
    one, two = (torch.cat([gradient[name].flatten() for name in found]) for gradient in (found, exact))
    numbers = len(one)
    error = float((one - two).norm() / two.norm())
    assert error < 3 * (numbers / 800) ** 0.5, "the error of a mean over 800 directions is about sqrt(numbers / 800)"
    assert float(one @ two / one.norm() / two.norm()) > 0.96


def test_directions_come_in_pairs_so_that_a_constant_is_never_followed() -> None:
    learner = made("mlp", "learnt", SMOOTH)
    slow, episodes = problem(learner, 2)
    tries = Evolution(1, 1e-4, ("bptt.*",)).drawn(slow, torch.Generator().manual_seed(0))
    outcome, found = tries(learner, slow, episodes)
    _, exact = Unrolled()(learner, slow, episodes)
    assert tries.drawn_directions is not None
    direction = float(tries.drawn_directions["bptt.log_rate"][0])
    assert float(found["bptt.log_rate"]) == pytest.approx(float(exact["bptt.log_rate"]) * direction**2, rel=1e-4)
    assert float(outcome.loss) == pytest.approx(float(outcomes(learner, Learner.adapt, slow, episodes).loss.mean()), rel=1e-4)
    with pytest.raises(InternalError, match="drawn"):
        Evolution()(learner, slow, episodes)


@pytest.mark.parametrize("build", ["mlp", "conv"])
def test_tries_together_equal_tries_one_after_another(build: str) -> None:
    learner = made(build, "all", LIVELY)
    slow, episodes = problem(learner, 2)
    tries = Evolution(2, 0.05).drawn(slow, torch.Generator().manual_seed(0))
    together = tries(learner._replace(network=learner.network._replace(vmappable=True)), slow, episodes)
    alone = tries(learner._replace(network=learner.network._replace(vmappable=False)), slow, episodes)
    torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-10)


def test_constants_of_stdp_improve_without_a_gradient_and_a_restored_run_ends_alike() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (20,), neuron=LIVELY, steps=5))
    learner = Learner(network, STDP(2, scale=20.0), Direct(5))
    asked = learner.encode(Switches(2, 1, 4).sample(torch.Generator().manual_seed(9), 30), torch.Generator())

    def fresh() -> Trainer:
        settings = TrainerSettings(12, 4, learning_rate=0.3, schedule="constant", trains=("stdp.*",))
        return Trainer(learner, Switches(2, 1, 4), Evolution(8, 0.1), settings, 0)

    run = fresh()
    before = {name: value.clone() for name, value in run.parameters().items()}
    for _ in range(6):
        run.step()
    kept = run.snapshot()
    losses = [run.step().loss for _ in range(6)]
    first, last = (float(outcomes(learner, Learner.adapt, params, asked).loss.mean()) for params in (before, run.parameters()))
    assert last < 0.9 * first
    assert torch.equal(run.parameters()["linear1.weight"], before["linear1.weight"])
    again = fresh()
    again.restore(kept, 6)
    assert [again.step().loss for _ in range(6)] == losses
