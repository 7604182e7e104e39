"""A failed adaptation names rule, layer and step."""

import math

import pytest
import torch

from neurometa.core.encode import Direct
from neurometa.core.network import averaged_last, mlp_network
from neurometa.errors import UserError
from neurometa.meta.estimators import Unrolled
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.hebbian import Hebbian
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP
from tests.small import LIVELY, Switches

NETWORK = mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=6, outputs=2)
TASK = Switches()


def judged(rule) -> None:
    learner = Learner(NETWORK, rule, Direct(6))
    evaluate(learner, learner.init(torch.Generator().manual_seed(0)), TASK, 4, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("rule", "name"), [(EProp(steps=4, rate=1e308), "eprop"), (BPTT(steps=4, rate=1e308, fast=("*",)), "bptt")])
def test_weights_that_are_not_finite_name_rule_layer_and_step(rule, name) -> None:
    with pytest.raises(UserError, match=rf"adaptation failed: rule {name}: fast weights of .* after step [1-4] of"):
        judged(rule)
    learner = Learner(NETWORK, rule, Direct(6))
    trainer = Trainer(learner, TASK, Unrolled(), TrainerSettings(steps=2), seed=0)
    with pytest.raises(UserError, match=rf"step 1: loss .*; rule {name}: fast weights of .* after step [1-4] of"):
        trainer.step()


def test_silence_is_named() -> None:
    learner = Learner(NETWORK, EProp(), Direct(6))
    params = learner.init(torch.Generator().manual_seed(0))
    params["linear1.weight"].zero_()
    with pytest.raises(UserError, match="rule eprop: no neuron spiked in the support set"):
        evaluate(learner, params, TASK, 4, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rule", [STDP(2), SOEL(2), RewardModulated(2), Hebbian(2)], ids=lambda rule: type(rule).__name__)
def test_rules_of_the_readout_name_silence_and_the_example_after_which_they_broke(rule) -> None:
    network = averaged_last(mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=6, outputs=None))
    learner = Learner(network, rule, Direct(6))
    params = learner.init(torch.Generator().manual_seed(0))
    scale = next(name for name in params if name.endswith(("log_scale", "coefficient")))
    name = type(rule).__name__.lower().removesuffix("modulated")
    with pytest.raises(UserError, match=rf"rule {name}: fast weights of readout are not finite after (example|trial) 1 of"):
        evaluate(learner, {**params, scale: torch.full_like(params[scale], 1e308 * 10)}, TASK, 4, torch.Generator().manual_seed(1))
    silent = {**params, "linear1.weight": torch.zeros_like(params["linear1.weight"])}
    with pytest.raises(UserError, match=rf"rule {name}: no neuron spiked in the support set"):
        evaluate(learner, silent, TASK, 4, torch.Generator().manual_seed(1))


CONSTANTS = {"stdp": "stdp.log_a2_plus", "soel": "soel.log_rate", "reward": "reward.log_rate", "hebbian": "hebbian.coefficient"}


@pytest.mark.parametrize("rule", [STDP(2, passes=3), SOEL(2), RewardModulated(2), Hebbian(2)], ids=lambda rule: type(rule).__name__)
def test_a_constant_without_bound_ends_the_episode_of_every_rule_of_the_readout(rule) -> None:
    network = averaged_last(mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=6, outputs=None))
    learner = Learner(network, rule, Direct(6))
    params = learner.init(torch.Generator().manual_seed(0))
    name = type(rule).__name__.lower().removesuffix("modulated")
    params[CONSTANTS[name]] = torch.full_like(params[CONSTANTS[name]], math.inf)
    with pytest.raises(UserError, match=rf"rule {name}: fast weights of readout are not finite after (example|trial) \d+ of"):
        evaluate(learner, params, TASK, 4, torch.Generator().manual_seed(1))


def test_a_rule_that_tries_again_and_again_names_the_trial_that_broke_it() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=6, outputs=None))
    learner = Learner(network, RewardModulated(2, trials=30), Direct(6))
    params = learner.init(torch.Generator().manual_seed(0))
    params["reward.log_rate"] = torch.tensor(1.7e308).log()  # one such step is still finite
    params["reward.log_greed"] = torch.tensor(-1000.0)
    with pytest.raises(UserError, match=r"after trial ([2-9]|[12]\d) of"):
        evaluate(learner, params, TASK, 4, torch.Generator().manual_seed(1))
