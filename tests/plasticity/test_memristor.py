"""Phase-change cells: the published formulas as plain NumPy, their moments, and a rule that learns through them."""

import numpy as np
import pytest
import torch

from neurometa.chips.read import shipped
from neurometa.core.network import mlp_network
from neurometa.plasticity.memristor import CELLS, PCM, Memristive, blind, draws, drifted, held, programmed, pulsed, read
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Data
from tests.small import LIVELY, Switches

CELL = PCM.of(shipped()["pcm"])
G = torch.linspace(0.01, 1, 40)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_programming_drift_and_reading_are_the_published_formulas():
    """The PCM model of aihwkit; the constants stand in the card."""
    g, n = G.numpy(), noise(40)
    z = n.numpy()
    expected = np.maximum(g + (0.26348 + 1.9650 * g - 1.1731 * g**2) * z / 25, 0)
    np.testing.assert_allclose(programmed(CELL, G, n), expected, rtol=1e-6)
    mean, std = np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1), np.clip(-0.0125 * np.log(g) - 0.0059, 0.008, 0.045)
    np.testing.assert_allclose(drifted(CELL, G, 1000, n), g * (1020 / 20) ** -np.maximum(mean + std * z, 0), rtol=1e-6)
    sigma = np.minimum(0.0088 / g**0.65, 0.2) * np.sqrt(np.log((1020 + 250e-9) / (2 * 250e-9)))
    np.testing.assert_allclose(read(CELL, G, 1000, n), np.maximum(g * (1 + sigma * z), 0), rtol=1e-5)


def test_a_pulse_adds_ever_less_and_never_takes_away_on_average():
    steps = [pulsed(CELL, torch.full((4000,), 0.1), torch.full((4000,), k), noise(20, 4000)).mean() for k in range(21)]
    gains = np.diff([float(step) for step in steps])
    assert (gains > 0).all()
    assert gains[0] == pytest.approx(-0.084 * 0.1 + 0.892, abs=0.05)
    assert gains[-1] < 0.5 * gains[0]
    assert float(blind(CELL, torch.ones(1), 20, noise(20, 1))) <= 1


@pytest.mark.parametrize("pulses", [0, 16])
def test_cells_hold_weights_about_and_worse_with_time_and_fewer_bits(pulses):
    w = noise(30, 40, seed=1)

    def error(bits, seconds):
        found = held(CELL, w, noise(draws(pulses), 30, 40, seed=2), bits, seconds, pulses)
        return float((found - w).square().mean().sqrt() / w.square().mean().sqrt())

    assert error(6, 1) < error(2, 1)
    assert error(6, 1) < error(6, 1e6)
    assert 0.01 < error(6, 1) < 0.6


def test_a_rule_learns_through_them_and_the_same_noise_gives_the_same_weights():
    network, rule = mlp_network((1, 4, 4), (12, 9), neuron=LIVELY, steps=6), Prototype(4)
    params = network.init(torch.Generator().manual_seed(0))
    params |= rule.slow(network, params, torch.Generator())
    episode = Switches(4, 3, 5).sample(torch.Generator().manual_seed(1), 1)
    through = Memristive(rule, CELL, (("readout.weight", (4, 9)),), 8)
    drawn = {name: value[0] for name, value in through.draw(episode.support, torch.Generator().manual_seed(2)).items()}
    assert list(drawn) == [CELLS + "readout.weight"]
    support = Data(episode.support.x[0], episode.support.y[0])
    exact, first, again = rule.adapt(network, params, support), *(through.adapt(network, params, support, drawn) for _ in range(2))
    assert torch.equal(first.fast["readout.weight"], again.fast["readout.weight"])
    assert torch.equal(first.fast["readout.bias"], exact.fast["readout.bias"])
    difference = (first.fast["readout.weight"] - exact.fast["readout.weight"]).abs().max() / exact.fast["readout.weight"].abs().max()
    assert 0 < float(difference) < 0.3
    assert first.work == exact.work
    assert (through.readout_only, through.exact_graph) == (True, False)
