"""Small networks, an input of random spikes, and what e-prop learns from it."""

from typing import Any

import torch
from torch import Tensor

from neurometa.core.network import Stack, mlp_network
from neurometa.core.neuron import ALIF, LIF, CurrentLIF
from neurometa.core.surrogate import Surrogate
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data, Params
from tests import oracles_eprop as oracle

SURROGATE = Surrogate("fast-sigmoid", 2.0)
NEURONS = {
    "lif-hard": LIF(0.8, 0.6, hard_reset=True, surrogate=SURROGATE),
    "lif-subtract": LIF(0.8, 0.6, hard_reset=False, surrogate=SURROGATE),
    "current-hard": CurrentLIF(0.8, 0.5, 0.6, hard_reset=True, surrogate=SURROGATE),
    "current-subtract": CurrentLIF(0.8, 0.5, 0.6, hard_reset=False, surrogate=SURROGATE),
    "alif-hard": ALIF(0.8, 0.6, 0.3, 0.95, hard_reset=True, surrogate=SURROGATE),
    "alif-subtract": ALIF(0.8, 0.6, 0.3, 0.95, hard_reset=False, surrogate=SURROGATE),
}
LABELS = torch.tensor([0, 1, 2, 0])


def raster(steps: int, batch: int, n: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, n, generator=generator) < 0.3).to(torch.get_default_dtype())


def dense(neuron: Any, widths: tuple[int, ...] = (9,), **options: Any) -> tuple[Stack, Params]:
    network = mlp_network((7,), widths, neuron=neuron, steps=30, outputs=3, **options)
    return network, network.init(torch.Generator().manual_seed(1))


def learnt(rule: EProp, network: Stack, slow: Params, x: Tensor, y: Tensor) -> Params:
    """dE/dw of every fast weight: what one update with step size 1 took away."""
    adapted = rule.adapt(network, slow, Data(x, y))
    assert bool(adapted.finite), "diverged, or silent"
    return {name: slow[name] - value for name, value in adapted.fast.items()}


def cell(neuron: Any) -> oracle.Cell:
    extra = {name: getattr(neuron, name) for name in ("beta", "rho", "current_decay") if hasattr(neuron, name)}
    return oracle.Cell(neuron.decay, neuron.threshold, neuron.hard_reset, "fast-sigmoid", 2.0, **extra)
