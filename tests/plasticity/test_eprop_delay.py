"""A learning signal that is under way for some steps meets the traces of the step at which it arrives: against the definition."""

import numpy as np
import pytest
import torch

from neurometa.core.network import Stack
from neurometa.errors import UserError
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.feedback import FEEDBACK, arriving
from neurometa.types import Data, Params
from tests import oracles_eprop as oracle
from tests.plasticity.networks import LABELS, NEURONS, cell, dense, learnt, raster

STEPS = 30
DELAYS = [0, 1, 2, 5]


def layer_of(name: str, network: Stack, slow: Params, i: int, back: torch.Tensor) -> oracle.Layer:
    population = network.layers[2 * i][0]
    recurrent = slow.get(f"{population}.recurrent")
    weights = slow[f"linear{i}.weight"].numpy(), slow[f"linear{i}.bias"].numpy()
    return oracle.Layer(cell(NEURONS[name]), *weights, None if recurrent is None else recurrent.numpy(), back.numpy())


def readout_of(slow: Params) -> tuple[np.ndarray, np.ndarray]:
    return slow["readout.weight"].numpy(), slow["readout.bias"].numpy()


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("output", ["membrane", "running-mean"])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("name", NEURONS)
def test_a_late_signal_meets_the_traces_of_its_arrival(name: str, delay: int, output: str) -> None:
    network, slow = dense(NEURONS[name], recurrent=True, readout_decay=0.8)
    x = raster(STEPS, 4, 7)
    found = learnt(EProp(rate=1.0, output=output, signal_delay=delay), network, slow, x, LABELS)
    layer = layer_of(name, network, slow, 1, slow["readout.weight"])
    how = {"delay": delay, "running": output == "running-mean"}
    (hidden,), readout, spikes = oracle.eprop(x.numpy(), [layer], readout_of(slow), 0.8, LABELS.numpy(), **how)
    assert spikes > 100, "a silent network proves nothing"
    close(found["linear1.weight"], hidden.weight)
    close(found["linear1.bias"], hidden.bias)
    close(found[f"{network.layers[2][0]}.recurrent"], hidden.recurrent)
    close(found["readout.weight"], readout.weight)
    close(found["readout.bias"], readout.bias)


@pytest.mark.parametrize("feedback", ["random", "learnt", "generator"])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("name", ["lif-hard", "alif-subtract"])
def test_every_way_back_of_a_stack_is_late(name: str, delay: int, feedback: str) -> None:
    network, slow = dense(NEURONS[name], widths=(9, 8))
    rule = EProp(rate=1.0, feedback=feedback, signal_delay=delay)
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    populations, x, told = [network.layers[2 * i][0] for i in (1, 2)], raster(STEPS, 4, 7), None
    if feedback == "generator":
        z = network.run(slow, network.signal(x)).z[populations[1]]
        emitted = rule.generator.signals(slow, network.signal(x), z, LABELS, 3)
        told = [emitted[population].numpy() for population in populations]
    layers = [
        layer_of(name, network, slow, i, slow.get(f"{FEEDBACK}.{population}", torch.zeros(3)))
        for i, population in enumerate(populations, 1)
    ]
    hidden, readout, spikes = oracle.eprop(x.numpy(), layers, readout_of(slow), 0.0, LABELS.numpy(), delay=delay, told=told)
    assert spikes > 100
    found = learnt(rule, network, slow, x, LABELS)
    for i, one in enumerate(hidden, 1):
        close(found[f"linear{i}.weight"], one.weight)
    close(found["readout.weight"], readout.weight)


@pytest.mark.parametrize("chunk", [1, 4, 7, 30])
@pytest.mark.parametrize("delay", [1, 2, 5, 40])
@pytest.mark.parametrize(("name", "kappa"), [("lif-hard", 0.8), ("lif-subtract", 0.8), ("alif-hard", 0.8), ("alif-subtract", 0.0)])
def test_signals_are_under_way_from_chunk_to_chunk(name: str, kappa: float, delay: int, chunk: int) -> None:
    network, slow = dense(NEURONS[name], widths=(9, 8), recurrent=True, readout_decay=kappa)
    rule = EProp(rate=1.0, feedback="random", signal_delay=delay)
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    x = raster(STEPS, 4, 7)
    whole, parts = (learnt(one, network, slow, x, LABELS) for one in (rule, rule._replace(chunk=chunk)))
    for key, value in whole.items():
        assert (value.abs().max() > 1e-5) == (delay < STEPS)
        torch.testing.assert_close(parts[key], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("delay", [STEPS, STEPS + 3, 10**9])
@pytest.mark.parametrize("chunk", [0, 7])
def test_signals_that_take_longer_than_the_window_teach_nothing(delay: int, chunk: int) -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    found = learnt(EProp(rate=1.0, signal_delay=delay, chunk=chunk), network, slow, raster(STEPS, 4, 7), LABELS)
    assert all(not value.any() for value in found.values())
    last = learnt(EProp(rate=1.0, signal_delay=STEPS - 1, chunk=chunk), network, slow, raster(STEPS, 4, 7), LABELS)
    assert all(value.any() for value in last.values())


def test_what_holds_firing_rates_is_not_delayed() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    rule, x = EProp(rate=1.0, regularisation=5.0, signal_delay=2), raster(STEPS, 4, 7)
    held, free = (learnt(one, network, slow, x, LABELS)["linear1.weight"] for one in (rule, rule._replace(regularisation=0.0)))
    at_once = [
        learnt(one._replace(signal_delay=0), network, slow, x, LABELS)["linear1.weight"]
        for one in (rule, rule._replace(regularisation=0.0))
    ]
    assert (held - free).abs().max() > 1e-3
    torch.testing.assert_close(held - free, at_once[0] - at_once[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("of", [f"{FEEDBACK}.alif1", "readout.weight"])
@pytest.mark.parametrize("chunk", [0, 3])
def test_the_meta_gradient_of_a_late_signal_is_the_slope_of_the_loss_after_learning(chunk: int, of: str) -> None:
    network, slow = dense(NEURONS["alif-hard"], readout_decay=0.8)
    rule = EProp(rate=0.5, feedback="learnt", fast=("linear1.*",), signal_delay=2, chunk=chunk)
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    x = raster(STEPS, 4, 7)

    def outer(value: torch.Tensor) -> torch.Tensor:  # no spike of the support depends on either, so that the slope exists
        return rule.adapt(network, {**slow, of: value}, Data(x, LABELS)).fast["linear1.weight"].square().sum()

    direction = torch.randn(slow[of].shape, generator=torch.Generator().manual_seed(0))
    found = float((torch.func.grad(outer)(slow[of]) * direction).sum())
    up, down = (float(outer(slow[of] + s * 1e-5 * direction)) for s in (1, -1))
    assert abs(found) > 1e-5
    assert abs((up - down) / 2e-5 - found) < 1e-6 * abs(found) + 1e-9


def test_a_signal_that_is_not_delayed_is_not_touched() -> None:
    signal = torch.randn(STEPS, 4, 3)
    assert arriving(signal, 0) == (signal, None)
    late, behind = arriving(signal, 2)
    assert not late[:2].any()
    assert torch.equal(late[2:], signal[:-2])
    assert behind is not None
    assert torch.equal(behind, signal[-2:])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (EProp(signal_delay=-1), "signal_delay -1 given, expected 0 or more steps"),
        (EProp(signal_delay=2, output="time-mean"), "output time-mean given, whose error is known when the window is over"),
    ],
)
def test_a_delay_that_cannot_be_is_refused(rule: EProp, said: str) -> None:
    network, slow = dense(NEURONS["lif-hard"])
    with pytest.raises(UserError, match=said):
        rule.adapt(network, slow, Data(raster(STEPS, 4, 7), LABELS))
