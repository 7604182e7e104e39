"""Weights on a chip's grid: few values, those that an export writes, and gradients as if nothing had been rounded."""

import numpy as np
import torch

from neurometa.core.grid import on_grid
from neurometa.core.network import READOUT, Stack, conv_network
from neurometa.core.neuron import LIF
from neurometa.export.emulator import stored
from neurometa.export.loihi import calibrate, fold, rounded

STEPS = 4


def network(bits: int) -> Stack:
    return conv_network((1, 8, 8), (6, 5), (1, 1), (2, 1), neuron=LIF(0.5, 0.6), steps=STEPS, outputs=3)._replace(bits=bits)


def test_weights_take_few_values_and_pass_gradients_on(generator: torch.Generator) -> None:
    weight = torch.randn(4, 30, generator=generator, requires_grad=True)
    for bits in (2, 3, 8):
        found = on_grid(weight, None, bits)
        assert len(found.detach().unique()) <= 2**bits
        (gradient,) = torch.autograd.grad((found * 3).sum(), weight)
        assert (gradient == 3).all()
    close = on_grid(weight, None, 8)
    assert (close - weight).detach().abs().max() < 0.02 * weight.detach().abs().max()


def test_one_grid_for_all_channels_behind_the_normalisation(generator: torch.Generator) -> None:
    weight, factor = torch.randn(4, 30, generator=generator), torch.tensor([0.1, -1.0, 3.0, 0.0])
    found = on_grid(weight, factor, 4)
    assert len((found * factor.reshape(-1, 1))[:3].mul(1e4).round().unique()) <= 16
    assert len(found[1].unique()) < len(found[2].unique()), "a channel that is multiplied by less has coarser weights"


def test_statistics_are_those_of_the_unrounded_weights_and_support_and_query_are_rounded_alike(generator: torch.Generator) -> None:
    net = network(2)
    params = net.init(generator)
    x = net.signal((torch.rand(40, 1, 8, 8, generator=generator) < 0.4).to(torch.get_default_dtype()))
    record = net.run(params, x)
    plain = network(0).run(params, x)
    torch.testing.assert_close(record.statistics["norm1.var"], plain.statistics["norm1.var"])
    again = net.run({**params, **record.statistics}, x)
    torch.testing.assert_close(again.output, record.output)
    assert (record.z["lif1"] != plain.z["lif1"]).any()


def test_training_rounds_to_the_very_weights_that_an_export_writes(generator: torch.Generator) -> None:
    net = network(3)
    params = net.init(generator)
    for name in ("norm1", "norm2"):
        size = params[f"{name}.gain"].shape
        params |= {f"{name}.mean": torch.zeros(size), f"{name}.var": 0.5 + torch.rand(size, generator=generator)}
    x = net.signal((torch.rand(6, 1, 8, 8, generator=generator) < 0.4).to(torch.get_default_dtype()))
    folded = fold(net, params, STEPS)
    bundle, _ = rounded(folded, calibrate(folded, x)[0], "n", 3)
    for conv, norm, population in (("conv1", "norm1", "lif1"), ("conv2", "norm2", "conv2-sum")):
        factor = params[f"{norm}.gain"] / (params[f"{norm}.var"] + 1e-5).sqrt()
        trained = (on_grid(params[f"{conv}.weight"], factor, 3) * factor.reshape(-1, 1, 1, 1)).numpy()
        about = next(one for one in bundle.network.synapses if one.target == population)
        integers = stored(bundle.arrays[about.weight], about.sign, about.bits)
        assert about.bits == 3
        assert len(np.unique(integers)) <= 8
        np.testing.assert_array_equal(integers, bundle.arrays[about.weight])  # the chip cuts nothing off that was not cut before
        scale = bundle.network.scales[population] / 64 / 2.0**about.exponent
        pool = 4 if conv == "conv2" else 1
        np.testing.assert_allclose(trained * scale / pool, integers, rtol=1e-4, atol=1e-3)


def test_a_network_on_a_grid_spikes_and_learns_through_it(generator: torch.Generator) -> None:
    params = network(3).init(generator)
    x = network(3).signal((torch.rand(8, 1, 8, 8, generator=generator) < 0.4).to(torch.get_default_dtype()))
    params = {name: value.requires_grad_() for name, value in params.items()}
    coarse, fine = network(3).run(params, x), network(0).run(params, x)
    assert coarse.z["lif1"].sum() > 50
    assert (coarse.z["lif1"] != fine.z["lif1"]).any()
    (gradient,) = torch.autograd.grad(coarse.output.square().sum(), [params["conv1.weight"]])
    assert float(gradient.abs().sum()) > 0
    assert [part.bits for part in network(3).split()] == [3, 0]
    assert READOUT in dict(network(3).split()[1].layers)
