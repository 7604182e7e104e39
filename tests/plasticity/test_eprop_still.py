"""Stages without fast weights are run once, whatever the number of passes."""

import torch

from neurometa.core.network import mlp_network
from neurometa.core.neuron import LIF
from neurometa.plasticity import stages
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data


def test_still_stages_run_once_and_the_meta_gradient_passes_through_them(monkeypatch) -> None:
    network = mlp_network((6,), (8, 7), normalise=True, neuron=LIF(0.7), steps=5, outputs=3)
    slow = {name: value.requires_grad_() for name, value in network.init(torch.Generator().manual_seed(0)).items()}
    support = Data(torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) * 3, torch.tensor([0, 1, 2, 0, 1, 2]))
    ran, run = [], stages.run
    monkeypatch.setattr(stages, "run", lambda stage, *rest: ran.append(stage.name) or run(stage, *rest))
    found = EProp(steps=4, rate=0.5, fast=("linear2.*",)).adapt(network, slow, support)
    assert ran.count("lif1") == 1
    assert ran.count("lif2") == 4
    assert found.work.synaptic_updates > 0
    gradient = torch.autograd.grad(found.fast["linear2.weight"].square().sum(), slow["linear1.weight"])[0]
    assert gradient.abs().sum() > 0
