"""Rounded networks: the arithmetic of the scheme, and what must stay as it is."""

import pytest
import torch

from neurometa.baselines.relu import ReLU
from neurometa.baselines.rounded import rounded, steps_of, weights
from neurometa.core.network import conv_network, mlp_network
from neurometa.core.neuron import LIF
from neurometa.plasticity.bptt import BPTT
from neurometa.types import Data, Signal


def test_weights_have_a_scale_for_each_channel(generator: torch.Generator) -> None:
    w = torch.randn(3, 2, 3, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.1]).reshape(3, 1, 1, 1)
    for bits in (2, 4, 8):
        ends = 2 ** (bits - 1) - 1
        for channel, held in zip(w, weights(w, bits), strict=True):
            scale = float(channel.abs().max()) / ends
            expected = (channel / scale).round() * scale
            torch.testing.assert_close(held, expected)
            assert len(held.unique()) <= 2 * ends + 1
    assert torch.equal(weights(w, 16), w.half().to(w.dtype))
    assert torch.equal(weights(torch.zeros(2, 3), 8), torch.zeros(2, 3))


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_rule_that_descends_learns_through_rounded_weights(generator: torch.Generator, bits: int) -> None:
    network = mlp_network((6,), (5,), neuron=LIF(0.6, 0.4), steps=5, outputs=2)
    params = {name: torch.zeros_like(x) if name.startswith("readout") else x for name, x in network.init(generator).items()}
    x = (torch.rand(8, 6, generator=generator) < 0.5).to(torch.get_default_dtype())
    held = rounded(network, params, network.signal(x), bits, inputs=False)
    assert held.run(params, held.signal(x)).z["lif1"].sum() > 0, "a silent network proves nothing"
    found = BPTT(steps=3, rate=0.5, fast=("readout.*",)).adapt(held, params, Data(x, torch.arange(8) % 2)).fast
    assert found["readout.weight"].abs().max() > 0.01
    assert torch.equal(weights(found["readout.weight"], bits), weights(found["readout.weight"].detach(), bits))


def test_inputs_are_whole_numbers_of_steps_and_end_somewhere() -> None:
    assert steps_of(torch.tensor([-9.0, -0.3, 0.26, 1.0]), 0.5, 3).tolist() == [-1.5, -0.5, 0.5, 1.0]


def test_a_conventional_network_of_eight_bits_is_near_the_one_of_thirty_two(generator: torch.Generator) -> None:
    network = conv_network((1, 8, 8), (4, 5), (1, 1), (2, 1), neuron=ReLU(), steps=1, outputs=3)
    params, x = network.init(generator), (torch.rand(16, 1, 8, 8, generator=generator) > 0.6).to(torch.get_default_dtype())
    params |= network.run(params, Signal(x, False)).statistics
    exact = network.run(params, network.signal(x)).output
    assert rounded(network, params, network.signal(x), 32, True) is network
    errors = []
    for bits in (4, 6, 8, 16):
        found = rounded(network, params, network.signal(x), bits, True).run(params, network.signal(x)).output
        errors.append(float((found - exact).abs().max() / exact.abs().max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.05
    assert 0 < errors[3] < 0.005


def test_of_a_spiking_network_only_the_weights_are_rounded(generator: torch.Generator) -> None:
    network = mlp_network((6,), (5,), neuron=LIF(0.5, 0.4), steps=5, outputs=3)
    params, x = network.init(generator), torch.rand(7, 6, generator=generator)
    held = rounded(network, params, network.signal(x), 4, False).run(params, network.signal(x))
    same = network.run({name: weights(w, 4) if w.ndim > 1 else w for name, w in params.items()}, network.signal(x))
    assert same.z["lif1"].sum() > 5, "a silent network proves nothing"
    assert torch.equal(held.output, same.output)


def test_a_readout_that_is_written_later_is_rounded_then(generator: torch.Generator) -> None:
    network = mlp_network((6,), (5,), neuron=ReLU(), steps=1, outputs=None)
    params, x = network.init(generator), torch.rand(7, 6, generator=generator)
    held = rounded(network, params, network.signal(x), 4, True)
    w = torch.randn(3, 5, generator=generator)
    features, answers = held.run(params, network.signal(x)).output, held.run({**params, "readout.weight": w}, network.signal(x)).output
    torch.testing.assert_close(answers, features @ weights(w, 4).mT)
