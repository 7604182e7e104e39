"""Where e-prop's learning signals come from, and what they know."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.layer import TimeAverage
from neurometa.core.network import Stack
from neurometa.plasticity import outputs, stages
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data, Params, Signal
from tests.plasticity.networks import LABELS, NEURONS, dense, learnt, raster


@pytest.mark.parametrize("output", ["membrane", "running-mean"])
def test_a_causal_loss_gives_no_learning_signal_before_the_error_and_none_of_the_future(output: str) -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    later = x.clone()
    later[20:] = 1 - later[20:]
    rule = EProp(rate=1.0, output=output)
    errors = []
    for shown in (x, later):
        said = _said(rule, network, slow, shown)
        errors.append(said)
    assert torch.equal(errors[0][:20], errors[1][:20])
    assert not torch.equal(errors[0][20:], errors[1][20:])


def _said(rule: EProp, network: Stack, slow: Params, x: Tensor) -> Tensor:
    taken = stages.parts(network)
    sent, shown = stages.run(taken.stages[0], slow, {}, network.signal(x))
    return outputs.error(outputs.spoken(taken.readout, rule.output, slow, {}, shown, sent, False).output, LABELS, outputs.Window(30))


def test_a_generator_tells_each_neuron_at_each_step_and_knows_no_future() -> None:
    network, slow = dense(NEURONS["lif-hard"], widths=(9, 8))
    rule = EProp(feedback="generator", fast=("linear*",))
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(0))
    x, z = raster(30, 4, 7), raster(30, 4, 8, seed=2)
    told = rule.generator.signals(slow, network.signal(x), z, LABELS, 3)
    assert {name: tuple(value.shape) for name, value in told.items()} == {"lif1": (30, 4, 9), "lif2": (30, 4, 8)}
    assert told["lif1"].abs().max() > 0, "a silent generator teaches nothing"
    later = x.clone()
    later[20:] = 1 - later[20:]
    other = rule.generator.signals(slow, network.signal(later), z, LABELS, 3)["lif1"]
    assert torch.equal(other[:20], told["lif1"][:20])
    assert not torch.equal(other[20:], told["lif1"][20:])
    assert (rule.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"] - slow["linear1.weight"]).abs().max() > 0


def test_a_regression_descends_on_the_squared_error_of_every_step() -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x, y = raster(30, 4, 7), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = learnt(EProp(rate=1.0), network, slow, x, y)
    z = network.run(slow, network.signal(x)).z["lif1"]

    def loss(weight: Tensor) -> Tensor:
        u, losses = torch.zeros_like(z[0]), []
        for now in z:
            u = 0.8 * u + 0.2 * now
            losses.append(F.mse_loss(F.linear(u, weight, slow["readout.bias"]), y))
        return torch.stack(losses).mean()

    torch.testing.assert_close(found["readout.weight"], torch.func.grad(loss)(slow["readout.weight"]), rtol=1e-10, atol=1e-13)


def test_regularisation_moves_firing_rates_towards_their_target() -> None:
    network, slow = dense(NEURONS["lif-subtract"])
    x = raster(30, 4, 7)

    def rate(params: Params) -> float:
        return float(network.run(params, network.signal(x)).z["lif1"].mean())

    for target in (0.0, 0.9):
        rule = EProp(steps=20, rate=0.5, fast=("linear1.*",), regularisation=5.0, target_rate=target)
        after = rate({**slow, **rule.adapt(network, slow, Data(x, LABELS)).fast})
        assert abs(after - target) < abs(rate(slow) - target) - 0.05


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("name", ["lif-hard", "alif-subtract"])
def test_feedback_along_the_readouts_own_weights_is_symmetric_whatever_the_delay(name: str, delay: int) -> None:
    network, slow = dense(NEURONS[name], delay=delay, readout_decay=0.8)
    x = raster(30, 4, 7)
    exact = learnt(EProp(rate=1.0, fast=("linear1.*",)), network, slow, x, LABELS)["linear1.weight"]
    slow |= {"eprop.feedback.lif1" if name.startswith("lif") else "eprop.feedback.alif1": slow["readout.weight"]}
    found = learnt(EProp(rate=1.0, fast=("linear1.*",), feedback="random"), network, slow, x, LABELS)["linear1.weight"]
    assert exact.abs().max() > 1e-5
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.8])
@pytest.mark.parametrize("kind", outputs.CAUSAL)
def test_the_way_back_through_a_filter_is_its_transpose(kind: str, decay: float) -> None:
    error = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    over = outputs.OverTime(TimeAverage(decay), kind)
    expected = torch.func.vjp(lambda x: over.apply({}, Signal(x, True), {})[0].values, torch.zeros_like(error))[1](error)[0]
    assert outputs._back([over], error, len(error)).sub(expected).abs().max() <= 1e-14
