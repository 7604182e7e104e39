"""A toy task on which every pair of rule and estimator must climb from where it starts: chance."""

import pytest
import torch

from neurometa.core.encode import Direct
from neurometa.core.network import mlp_network
from neurometa.meta.estimators import Estimator, FirstOrder, Reptile, Unrolled
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.prototype import Prototype
from tests.small import LIVELY, Switches

TASK = Switches(2, 1, 5, telling=3)


def accuracy(learner: Learner, params: dict) -> tuple[float, float]:
    """Before and after adaptation, over episodes that training did not draw; the standard error is about 2 %."""
    measured = evaluate(learner, params, TASK, 100, torch.Generator().manual_seed(1))
    assert all(0.02 < rate < 0.8 for rate in measured.rates.values()), "dead or saturated"
    return float(measured.before.mean()), float(measured.after.mean())


@pytest.mark.parametrize(
    ("rule", "estimator", "settings", "reached"),
    [
        pytest.param(Prototype(2), Unrolled(), TrainerSettings(40, 16, learning_rate=0.02), 0.9, id="prototype"),
        pytest.param(BPTT(2, 0.5), Unrolled(), TrainerSettings(40, 16, learning_rate=0.02), 0.8, id="maml"),
        pytest.param(BPTT(2, 0.5, fast=("readout.*",)), Unrolled(), TrainerSettings(40, 16, learning_rate=0.02), 0.9, id="anil"),
        pytest.param(BPTT(2, 0.5), FirstOrder(), TrainerSettings(40, 16, learning_rate=0.02), 0.78, id="first-order"),
        pytest.param(BPTT(4, 1.0), Reptile(), TrainerSettings(80, 12, learning_rate=0.05), 0.68, id="reptile"),
    ],
)
def test_accuracy_on_new_episodes_climbs(rule: Plasticity, estimator: Estimator, settings: TrainerSettings, reached: float) -> None:
    torch.set_default_dtype(torch.float32)  # the package's own default
    head = None if isinstance(rule, Prototype) else 2
    network = mlp_network((1, 4, 4), (16, 16), normalise=rule.readout_only, neuron=LIVELY, steps=4, outputs=head)
    learner = Learner(network, rule, Direct(4))
    run = Trainer(learner, TASK, estimator, settings._replace(momentum_of_statistics=0.2), 0)
    run.step()
    _, start = accuracy(learner, run.parameters())
    while not run.done:
        run.step()
    before, end = accuracy(learner, run.parameters())
    assert start < 0.7
    assert abs(before - 0.5) < 0.1, "without adaptation it can only guess"
    assert end > max(reached, start + 0.04)  # of four seeds the worst has 0.98, 0.87, 0.99, 0.85, 0.70 in the order above
