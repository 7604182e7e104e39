"""A network in integers: what it computes and measures, the gradients that it passes on, what it refuses."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core import fixed
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import ALIF, IF, LIF
from neurometa.errors import UserError

STEPS, DECAY, SLOPE, BITS = 6, 0.6, 3.0, 4


def network(**changes: object) -> Stack:
    settings = {"normalise": True, "features": "current", "neuron": LIF(DECAY, 0.3), "steps": STEPS, **changes}
    return mlp_network((12,), (9, 5), **settings)._replace(bits=BITS, integers=True)


def spikes(*shape: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) < 0.4).to(torch.get_default_dtype())


def grid(folded: np.ndarray) -> tuple[np.ndarray, float]:
    """Multiples of a step, with the smallest mean square error of all clips, and what one unit stands for."""
    ends, step, tried = 2 ** (BITS - 1) - 1, 2 ** (9 - BITS), []
    for clip in (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5):
        unit = clip * np.abs(folded).max() / ends
        near = np.clip(np.round(folded / unit), -ends - 1, ends)
        tried.append((np.square(near * unit - folded).sum(), near * step, unit / step))
    _, best, unit = min(tried, key=lambda one: one[0])
    return best, unit


def layer(params: dict[str, Tensor], at: int, heard: Tensor, measured: Tensor) -> tuple[Tensor, Tensor, np.ndarray, float]:
    """Currents through weights that are rounded with straight-through gradients; the bias, the integers and their unit."""
    weight, gain, shift = (params[f"{name}{at}.{key}"] for name, key in (("linear", "weight"), ("norm", "gain"), ("norm", "shift")))
    current = (measured @ weight.T).flatten(0, -2)
    factor = gain / (current.var(0, correction=0) + 1e-5).sqrt()
    folded = weight * factor[:, None]
    found, unit = grid(folded.detach().numpy())
    coarse = folded + (torch.from_numpy(found * unit) - folded).detach()
    bias = shift - current.mean(0) * factor
    return heard @ coarse.T + bias, bias.detach(), found, unit


def test_forward_and_gradients_are_those_of_the_equations(generator: torch.Generator) -> None:
    net = network()
    params = {name: value.requires_grad_() for name, value in net.init(generator).items()}
    x, g = spikes(STEPS, 8, 12, generator=generator), torch.randn(8, 5, generator=generator)
    record = net.run(params, net.signal(x))
    found = dict(zip(params, torch.autograd.grad((record.output * g).sum(), list(params.values())), strict=True))

    first, bias, weights, unit = layer(params, 1, x, x)
    largest = fixed.safe("", weights * unit, 1, bias.numpy(), fixed.Cell(1638, 0.3, False, STEPS), BITS).scale
    exponent = round(math.log2(largest * unit))
    scale = 2.0**exponent / unit
    vth, v, z = round(0.3 * scale), np.zeros((STEPS, 8, 9)), np.zeros((STEPS, 8, 9))
    wanted = bias.numpy() * scale * 64
    shift = math.ceil(math.log2(np.abs(wanted).max() / 4095))
    assert 0 < shift <= 7
    for t in range(STEPS):
        before = v[t - 1] * (1 - z[t - 1]) if t else np.zeros((8, 9))
        arriving = np.floor(x[t].numpy() @ weights.T * 2.0**exponent)
        v[t] = np.trunc(before * (4096 - 1638) / 4096) + 64 * arriving + np.round(wanted / 2**shift) * 2**shift
        z[t] = v[t] > 64 * vth
    assert 0.05 < z.mean() < 0.9
    np.testing.assert_array_equal(record.z["lif1"].detach().numpy(), z)
    np.testing.assert_allclose(record.v["lif1"].detach().numpy(), v / (64 * scale), rtol=1e-15)

    average = torch.from_numpy(z).mean(0).requires_grad_()
    second = layer(params, 2, average, average)[0]
    torch.testing.assert_close(record.output, second, rtol=0, atol=2e-3)  # its bias alone is rounded
    later = [params[name] for name in ("linear2.weight", "norm2.gain", "norm2.shift")]
    *expected, to_average = torch.autograd.grad((second * g).sum(), [*later, average])
    for name, value in zip(("linear2.weight", "norm2.gain", "norm2.shift"), expected, strict=True):
        torch.testing.assert_close(found[name], value)
    real, gz, delta = v / (64 * scale), to_average.numpy() / STEPS, np.zeros((STEPS + 1, 8, 9))
    for t in reversed(range(STEPS)):
        psi = 1 / np.square(1 + SLOPE * np.abs(real[t] - vth / scale))
        delta[t] = psi * (gz - DECAY * real[t] * delta[t + 1]) + DECAY * (1 - z[t]) * delta[t + 1]
    former = [params[name] for name in ("linear1.weight", "norm1.gain", "norm1.shift")]
    expected = torch.autograd.grad((first * torch.from_numpy(delta[:-1])).sum(), former)
    assert min(float(value.abs().max()) for value in expected) > 0.01
    for name, value in zip(("linear1.weight", "norm1.gain", "norm1.shift"), expected, strict=True):
        torch.testing.assert_close(found[name], value)


def test_a_held_input_has_the_gradient_of_one_that_is_repeated(generator: torch.Generator) -> None:
    net = conv_network((1, 8, 8), (4, 3), (1, 1), (2, 1), neuron=LIF(0.5, 0.4), steps=STEPS)._replace(bits=3, integers=True)
    params = {name: value.requires_grad_() for name, value in net.init(generator).items()}
    x = spikes(5, 1, 8, 8, generator=generator)
    known = {**params, **{name: value.detach() for name, value in net.run(params, net.signal(x)).statistics.items()}}
    one, other = (net.run(known, net.signal(signal)) for signal in (x, x.expand(STEPS, *x.shape).clone()))
    assert one.z["lif1"].sum() > 100
    assert torch.equal(one.v["lif1"], other.v["lif1"])
    gradients = [torch.autograd.grad(record.output.square().sum(), list(params.values())) for record in (one, other)]
    for here, there in zip(*gradients, strict=True):
        torch.testing.assert_close(here, there)


def test_statistics_are_those_that_the_float_network_measures_on_the_same_spikes(generator: torch.Generator) -> None:
    net = network()
    params = net.init(generator)
    record = net.run(params, net.signal(spikes(STEPS, 30, 12, generator=generator)))
    current = record.z["lif1"].mean(0) @ params["linear2.weight"].T  # the mean over time comes before the last synapses
    torch.testing.assert_close(record.statistics["norm2.var"], current.var(0, correction=0))
    torch.testing.assert_close(record.statistics["norm2.mean"], current.mean(0))
    assert set(record.statistics) == {f"norm{i}.{kind}" for i in (1, 2) for kind in ("mean", "var")}


@pytest.mark.parametrize("accumulates", [False, True])
@pytest.mark.parametrize("bits", [3, 8])
def test_no_spikes_can_drive_a_state_out_of_its_range(bits: int, accumulates: bool, generator: torch.Generator) -> None:
    weight = torch.randn(7, 50, generator=generator).numpy()
    bias = torch.randn(7, generator=generator).numpy()
    cell = fixed.Cell(0 if accumulates else 1000, 0.0 if accumulates else 1.5, accumulates, 20)
    found = fixed.safe("n", weight, 1, bias, cell, bits)
    mantissas, shift = fixed.biases(bias, found.scale)
    largest = 0.0
    for row, own in zip(found.weight, mantissas * 2**shift, strict=True):
        for worst in (row > 0, row < 0):  # every spike that drives one neuron one way, at every step
            v = 0.0
            for _ in range(cell.steps):
                v = np.trunc(v * (4096 - cell.decay) / 4096) + 64 * np.floor(row[worst].sum() * 2.0**found.exponent) + own
                largest = max(largest, abs(v))
                v = 0.0 if not accumulates and v > 64 * round(1.5 * found.scale) else v
    assert 1 << 21 < largest < 1 << 23, "no range is wasted, and none left"


def test_what_a_chip_does_not_know_is_refused(generator: torch.Generator) -> None:
    def refused(net: Stack, message: str, x: Tensor | None = None) -> None:
        given = spikes(4, *net.shape, generator=generator) if x is None else x
        with pytest.raises(UserError, match=message):
            net.run(net.init(generator), net.signal(given))

    refused(network(), "expected one of 0 and 1", torch.full((4, 12), 0.5))
    refused(network(neuron=ALIF()), "layer alif1, neurons of ALIF")
    refused(network(neuron=IF(hard_reset=False)), "hard_reset = False")
    refused(network(features="spikes", recurrent=True), "recurrent")
    refused(network(readout_decay=0.5), "layer average")
    refused(network(neuron=LIF(0.5, 1e-7)), "24 bits")
    pooled = conv_network((1, 8, 8), (4, 3), (1, 1), (2, 1), pool_before_neuron=True, neuron=LIF(), steps=STEPS)
    refused(pooled._replace(bits=3, integers=True), "without pooled currents")
    last = conv_network((1, 8, 8), (4, 3), (1, 1), (2, 2), neuron=LIF(), steps=STEPS)
    refused(last._replace(bits=3, integers=True), "conv2, whose currents are pooled")
    maximum = conv_network((1, 8, 8), (4, 3), (1, 1), (2, 1), pooling="max", neuron=LIF(), steps=STEPS)
    refused(maximum._replace(bits=3, integers=True), "max")
    net, params = network(), network().init(generator)
    with pytest.raises(UserError, match="given to vmap"):
        torch.func.vmap(lambda x: net.run(params, net.signal(x)).output)(spikes(2, 4, 12, generator=generator))
    state = net.run(net.init(generator), net.signal(spikes(4, 12, generator=generator))).state
    with pytest.raises(UserError, match="begin at rest"):
        net.run(net.init(generator), net.signal(spikes(4, 12, generator=generator)), state)
