"""The compiled pass that a window with few spikes takes is the one step after the other, and so are its derivatives."""

import pytest
import torch
from torch import Tensor

from neurometa.core import learnt as fused
from neurometa.core import sparse
from neurometa.core.adjoint import Signals, adjoint
from neurometa.core.kernels import adjoint as kernels
from neurometa.core.learnt import Broadcast
from neurometa.core.neuron import ALIF, LIF, ALIFState, LIFState
from neurometa.core.surrogate import Surrogate
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data
from tests.plasticity.test_eprop import LABELS, NEURONS, dense, raster

SURROGATE = Surrogate("fast-sigmoid", 2.0)
STEPS, BATCH, PRE, POST, OUT = 40, 5, 7, 9, 3


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small windows take the pass as well; the names of those compiled passes that ran."""
    ran: list[str] = []
    for name in ("LEAST", "NARROW"):
        monkeypatch.setattr(sparse, name, 0)
    monkeypatch.setattr(sparse, "FEW", 1.1)
    for name in ("lif", "alif"):
        compiled = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, lambda *a, name=name, compiled=compiled: (ran.append(name), compiled(*a))[1])
    return ran


def window(neuron: LIF | ALIF) -> tuple[LIFState | ALIFState, Broadcast, Tensor]:
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(STEPS, BATCH, POST, generator=generator)
    a = torch.rand(STEPS, BATCH, POST, generator=generator)
    z = (v > neuron.threshold + (neuron.beta * a if isinstance(neuron, ALIF) else 0)).to(v)
    assert 50 < float(z.sum()) < 1000
    x = (torch.rand(STEPS, BATCH, PRE, generator=generator) < 0.2).to(v)
    signal = Broadcast(torch.randn(STEPS, BATCH, OUT, generator=generator), torch.randn(OUT, POST, generator=generator))
    return (ALIFState(v, z, a) if isinstance(neuron, ALIF) else LIFState(v, z)), signal, x


def in_steps(neuron: LIF | ALIF, fields: LIFState | ALIFState, signal: Broadcast, x: Tensor) -> tuple[Tensor, Tensor]:
    current = adjoint(neuron, fields, Signals(signal.full(fields.z)), "reference").current.flatten(0, 1)
    return current.mT @ x.flatten(0, 1), current.sum(0)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("kind", ["lif", "alif"])
def test_the_fused_pass_is_the_steps_one_after_the_other_and_so_are_its_derivatives(kind: str, hard: bool, always: list[str]) -> None:
    own = torch.linspace(0.9, 0.99, POST)
    neuron = LIF(0.8, 0.6, hard, False, SURROGATE) if kind == "lif" else ALIF(0.8, 0.6, 0.3, own, hard, False, SURROGATE)
    fields, signal, x = window(neuron)
    assert fused.fuses(neuron, fields, x)
    found, expected = fused.dense(neuron, fields, signal, x), in_steps(neuron, fields, signal, x)
    assert always == [kind]
    for one, other in zip(found, expected, strict=True):
        assert other.abs().max() > 1
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    leaves = [tensor.clone().requires_grad_() for tensor in (*signal, x, fields.v)]

    def judged(function) -> tuple[Tensor, ...]:
        weight, bias = function(neuron, fields._replace(v=leaves[3]), Broadcast(*leaves[:2]), leaves[2])
        return torch.autograd.grad(weight.square().sum() + bias.pow(3).sum(), leaves)

    for one, other in zip(judged(fused.dense), judged(in_steps), strict=True):
        assert other.abs().max() > 1
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_pass_under_a_vmap_is_each_alone(always: list[str]) -> None:
    neuron = NEURONS["alif-hard"]
    fields, signal, x = window(neuron)
    weights = torch.stack([signal.weights, -2 * signal.weights])
    together = torch.func.vmap(lambda w: fused.dense(neuron, fields, signal._replace(weights=w), x))(weights)
    for i in range(2):
        alone = fused.dense(neuron, fields, signal._replace(weights=weights[i]), x)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[i], other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("feedback", ["symmetric", "random"])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("name", ["lif-hard", "alif-subtract"])
def test_the_rule_learns_the_same_by_the_pass_and_without_it(name: str, delay: int, feedback: str, always: list[str]) -> None:
    network, slow = dense(NEURONS[name], readout_decay=0.8)
    late = tuple((n, layer._replace(delay=delay) if n in ("lif1", "alif1") else layer) for n, layer in network.layers)  # type: ignore[attr-defined]
    network = network._replace(layers=late)
    rule = EProp(steps=2, rate=0.5, feedback=feedback)
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    x = raster(30, 4, 7)
    by_pass = rule.adapt(network, slow, Data(x, LABELS)).fast
    assert len(always) == 2
    sparse.FEW = 0.0
    without = rule.adapt(network, slow, Data(x, LABELS)).fast
    assert len(always) == 2
    for key, value in without.items():
        assert (value - slow[key]).abs().max() > 1e-4
        torch.testing.assert_close(by_pass[key], value, rtol=1e-10, atol=1e-12)
