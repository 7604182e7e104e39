"""Trained networks as Loihi's integers: what is folded computes the same, what is rounded stays close, what Loihi lacks is refused."""

import math

import msgspec
import numpy as np
import pytest
import torch

from neurometa.chips.read import shipped
from neurometa.core.constants import Free
from neurometa.core.layer import Norm
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, RefractoryLIF
from neurometa.errors import UserError
from neurometa.export import lava
from neurometa.export.bundle import check
from neurometa.export.emulator import play
from neurometa.export.loihi import Chip, calibrate, chip_input, fold, resources, rounded
from neurometa.types import Params
from tests import oracles_loihi

STEPS = 8


def trained(network: Stack, generator: torch.Generator) -> Params:
    """Parameters with statistics, as if trained, and biases that are not 0."""
    params = network.init(generator)
    for name, layer in network.layers:
        if isinstance(layer, Norm):
            size = params[f"{name}.gain"].shape
            params[f"{name}.mean"] = 0.3 * torch.randn(size, generator=generator)
            params[f"{name}.var"] = 0.5 + torch.rand(size, generator=generator)
            params[f"{name}.shift"] = 0.2 * torch.randn(size, generator=generator)
        if f"{name}.bias" in params:
            params[f"{name}.bias"] = 0.2 * torch.randn(params[f"{name}.bias"].shape, generator=generator)
    return params


CONV = ((1, 12, 12), (4, 6, 5), (1, 1, 1))
NETWORKS = {
    "convolutions, average pools, odd sides": lambda: conv_network((1, 14, 14), (4, 6, 5), (1, 1, 1), (2, 2, 1), neuron=LIF(), steps=STEPS),
    "currents pooled before neurons": lambda: conv_network(*CONV, (2, 1, 1), pool_before_neuron=True, neuron=LIF(), steps=STEPS),
    "strides, sums, spikes read": lambda: conv_network(
        (1, 12, 12), (4, 6), (2, 1), (1, 2), pooling="sum", normalise=False, features="spikes", neuron=LIF(0.7), steps=STEPS
    ),
    "dense, two time constants, delayed": lambda: mlp_network((1, 6, 6), (16, 12), neuron=CurrentLIF(0.7, 0.5, 0.4), steps=STEPS, delay=1),
    "recurrent": lambda: mlp_network((1, 6, 6), (16, 12), neuron=LIF(0.8, 0.5), recurrent=True, delay=1, steps=STEPS),
    "recurrent without delay between layers": lambda: mlp_network((1, 6, 6), (16, 12), neuron=IF(0.8), recurrent=True, steps=STEPS),
    "constants of each neuron": lambda: mlp_network(
        (1, 6, 6), (16, 12), neuron=LIF(0.7, 0.5), free=(Free("threshold"), Free("decay")), features="current", steps=STEPS
    ),
    "adaptive, convolutions": lambda: conv_network(
        (1, 12, 12), (4, 6), (1, 1), (2, 1), neuron=ALIF(0.6, 0.6, 0.3, 0.8), features="current", steps=STEPS
    ),
    "adaptive, recurrent, constants of each neuron": lambda: mlp_network(
        (1, 6, 6), (16, 12), neuron=ALIF(0.8, 0.5, 0.3, 0.9), free=(Free("beta"), Free("rho")), recurrent=True, delay=1, steps=STEPS
    ),
}


@pytest.fixture(params=NETWORKS, ids=lambda name: name.replace(" ", "-"))
def made(request: pytest.FixtureRequest, generator: torch.Generator):
    network = NETWORKS[request.param]()
    params = trained(network, generator)
    if "constants" in request.param:
        params |= {
            name: value + 0.3 * torch.randn(16 if "1" in name else 12, generator=generator)
            for name, value in params.items()
            if "lo" in name
        }
    x = (torch.rand(6, *network.shape, generator=generator) < 0.5).double()
    return network, params, network.signal(x)


def test_the_folded_network_is_the_network(made) -> None:
    network, params, x = made
    folded = fold(network, params, STEPS)
    record = network.run(params, x)
    _, sent = calibrate(folded, x)
    spiking = [stage for stage in folded.stages if stage.layer]
    for stage in spiking:
        spikes = record.z[stage.layer].flatten(2)
        assert 0.02 < float(spikes.mean()) < 0.98, "a silent network proves nothing"
        torch.testing.assert_close(sent[stage.name], spikes, rtol=0, atol=0)
    last = folded.stages[-1]
    read = sent[last.name] if last.accumulates else sent[last.name][: STEPS - folded.unread].sum(0)
    output = folded.host.run(params, network.signal(x.values)._replace(values=(read / STEPS).reshape(-1, *last.shape))).output
    torch.testing.assert_close(output, record.output, rtol=1e-10, atol=1e-12)


def test_the_integers_spike_nearly_as_the_floats_do(made) -> None:
    network, params, x = made
    folded = fold(network, params, STEPS)
    peaks, sent = calibrate(folded, x)
    bundle, report = rounded(folded, peaks, "n")
    check(bundle)
    given, timed = chip_input(bundle, folded, x)
    played = play(bundle, given, timed=timed)
    for stage in folded.stages:
        assert max(played.largest[stage.name]) < 2**23, "nothing wraps or saturates within the calibration batch"
        if stage.layer:
            window = played.spikes[stage.name][stage.onset : stage.onset + STEPS].transpose(0, 2, 1)
            assert (window != sent[stage.name].numpy()[: len(window)]).mean() < 0.05, stage.name
    assert [one.layer for one in report] == [stage.name for stage in folded.stages]
    assert all(one.weight_rms < 1 and one.threshold_max < 1 for one in report)
    answer = Chip(bundle, folded).run(params, x).output
    expected = network.run(params, x).output
    assert float((answer - expected).norm() / expected.norm()) < 0.25


@pytest.mark.skipif(lava.interpreter() is None, reason="no Lava environment: `neurometa lava install` makes one")
def test_lava_in_floating_point_is_the_float_network(generator: torch.Generator) -> None:
    jobs, expected = [], []
    for name, make in NETWORKS.items():
        network = make()
        params = trained(network, generator)
        x = network.signal((torch.rand(3, *network.shape, generator=generator) < 0.5).double())
        folded = fold(network, params, STEPS)
        bundle, _ = rounded(folded, calibrate(folded, x)[0], "n")
        given, _ = chip_input(bundle, folded, x)
        jobs.append(lava.Job(bundle, given, "float"))
        expected.append((name, folded, network.run(params, x), calibrate(folded, x)[1]))
    for (name, folded, record, sent), played in zip(expected, lava.run(jobs), strict=True):
        for stage in folded.stages:
            if stage.accumulates:
                np.testing.assert_allclose(played.potential[stage.name].T, sent[stage.name].numpy(), rtol=1e-9, atol=1e-9, err_msg=name)
            elif stage.layer:
                window = played.spikes[stage.name][stage.onset : stage.onset + STEPS].transpose(0, 2, 1)
                z, v = (kept[stage.layer][: len(window)].flatten(2).numpy() for kept in (record.z, record.v))
                np.testing.assert_array_equal(window, z, err_msg=f"{name}: {stage.name}")
                after = v[-1] * (1 - z[-1])
                if stage.onset == max(one.onset for one in folded.stages):
                    np.testing.assert_allclose(played.potential[stage.name].T, after, rtol=1e-9, atol=1e-9, err_msg=name)


LONG = 100


def long(beta: float, generator: torch.Generator):
    """Adaptive neurons that noise drives over a long window."""
    network = mlp_network((1, 6, 6), (16, 12), neuron=ALIF(0.9, 0.5, beta, 0.98), steps=LONG, delay=1)
    x = network.signal((torch.rand(LONG, 4, *network.shape, generator=generator) < 0.15).double())
    return network, {name: value.double() for name, value in trained(network, generator).items()}, x


def test_adaptive_neurons_spike_on_integers_nearly_as_in_floats_over_a_long_window(generator: torch.Generator) -> None:
    network, params, x = long(0.2, generator)
    folded = fold(network, params, LONG)
    bundle, report = rounded(folded, calibrate(folded, x)[0], "n")
    check(bundle)
    given, _ = chip_input(bundle, folded, x)
    played, record = play(bundle, given, timed=True), network.run(params, x)
    without = [msgspec.structs.replace(one, beta=0) for one in bundle.network.populations]
    plain = play(bundle._replace(network=msgspec.structs.replace(bundle.network, populations=tuple(without))), given, timed=True)
    for stage in folded.stages:
        z, other = (one.spikes[stage.name][stage.onset : stage.onset + LONG].transpose(0, 2, 1) for one in (played, plain))
        expected = record.z[stage.layer][: len(z)].numpy()
        assert 0.03 < expected.mean() < 0.3
        assert (z != expected).mean() < 0.01, stage.name
        assert other.mean() > 1.5 * expected.mean(), "without adaptation it fires more"
    assert all(0 < one.beta_max < 0.1 and 0 < one.rho_max < 2**-13 for one in report)
    assert resources(bundle, shipped()["loihi1-davies2018"])["programmed"] == ["alif1", "alif2"]


@pytest.mark.parametrize("beta", [0.0, 30.0])
def test_a_scale_leaves_room_for_what_spikes_add_to_the_threshold(beta: float, generator: torch.Generator) -> None:
    network, params, x = long(beta, generator)
    folded = fold(network, params, LONG)
    peaks, _ = calibrate(folded, x)
    bundle, _ = rounded(folded, peaks, "n")
    population, stage = bundle.network.populations[0], folded.stages[0]
    assert population.adapts == bool(beta)
    assert peaks[stage.name].b >= beta
    assert bundle.network.scales[stage.name] * max(peaks[stage.name]) <= 2**22


def test_a_beta_that_would_round_to_nothing_is_refused(generator: torch.Generator) -> None:
    network, params, x = long(1e-9, generator)
    folded = fold(network, params, LONG)
    with pytest.raises(UserError, match="a beta like it, or of 0"):
        rounded(folded, calibrate(folded, x)[0], "n")


def test_an_input_of_greys_arrives_as_bias_currents(generator: torch.Generator) -> None:
    network = conv_network((1, 12, 12), (4, 5), (1, 1), (2, 1), neuron=LIF(), steps=STEPS)
    params = trained(network, generator)
    x = network.signal(torch.rand(4, 1, 12, 12, generator=generator))
    folded = fold(network, params, STEPS, "bias")
    peaks, sent = calibrate(folded, x)
    torch.testing.assert_close(sent["lif1"], network.run(params, x).z["lif1"].flatten(2), rtol=0, atol=0)
    bundle, _ = rounded(folded, peaks, "n")
    check(bundle)
    given, timed = chip_input(bundle, folded, x)
    spikes = play(bundle, given, timed=timed).spikes["lif1"][:STEPS].transpose(0, 2, 1)
    assert spikes.mean() > 0.02
    assert (spikes != sent["lif1"].numpy()).mean() < 0.02
    with pytest.raises(UserError, match="give --input bias"):
        chip_input(bundle, fold(network, params, STEPS), x)


REFUSED = {
    "reset = 'hard'": lambda: mlp_network((1, 6, 6), (16, 12), neuron=LIF(hard_reset=False), steps=STEPS),
    "neuron lif, if, current-lif or alif": lambda: mlp_network((1, 6, 6), (16, 12), neuron=RefractoryLIF(), steps=STEPS),
    "reset = 'hard': ": lambda: mlp_network((1, 6, 6), (16, 12), neuron=ALIF(hard_reset=False), steps=STEPS),
    "pooling = 'average'": lambda: conv_network(*CONV, (2, 1, 1), pooling="max", neuron=LIF(), steps=STEPS),
    "network.readout = 'rate'": lambda: mlp_network((1, 6, 6), (16, 12), neuron=LIF(), readout_decay=0.5, steps=STEPS),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_loihi_lacks_is_refused_with_what_to_choose(says: str, generator: torch.Generator) -> None:
    network = REFUSED[says]()
    with pytest.raises(UserError, match=says):
        fold(network, trained(network, generator), STEPS)


def test_a_subtractive_reset_can_be_taken_for_a_hard_one(generator: torch.Generator) -> None:
    network = mlp_network((1, 6, 6), (16, 12), neuron=LIF(hard_reset=False), steps=STEPS)
    assert fold(network, trained(network, generator), STEPS, hard_reset=True).stages


def test_a_network_without_statistics_is_refused(generator: torch.Generator) -> None:
    network = conv_network(*CONV, (2, 1, 1), neuron=LIF(), steps=STEPS)
    with pytest.raises(UserError, match="a trained network"):
        fold(network, network.init(generator), STEPS)


def test_synapses_are_counted_as_an_unrolled_matrix_has_them(made) -> None:
    network, params, x = made
    folded = fold(network, params, STEPS)
    bundle, _ = rounded(folded, calibrate(folded, x)[0], "n")
    found = resources(bundle, shipped()["loihi1-davies2018"])
    shapes = {"input": bundle.network.input.shape, **{one.name: one.shape for one in bundle.network.populations}}
    matrices = {}
    for one in bundle.network.synapses:
        matrix = bundle.arrays[one.weight]
        if one.kind == "conv":
            matrix = oracles_loihi.unrolled(matrix, shapes[one.source], shapes[one.target], one.stride, one.padding, one.pool)
        matrices[one.name] = matrix != 0
    for layer in found["layers"]:
        into = sum((matrices[one.name].sum(1) for one in bundle.network.synapses if one.target == layer["layer"]), np.zeros(1))
        out = sum((matrices[one.name].sum(0) for one in bundle.network.synapses if one.source == layer["layer"]), np.zeros(1))
        assert (layer["synapses"], layer["fan_in"], layer["fan_out"]) == (into.sum(), into.max(), out.max())
        assert layer["compartments"] == math.prod(shapes[layer["layer"]])
    assert found["fits"]
    assert found["cores"] == sum(layer["cores"] for layer in found["layers"])


def test_what_does_not_fit_a_core_is_said() -> None:
    network = mlp_network((1, 70, 70), (8,), neuron=LIF(), steps=STEPS)
    params = trained(network, torch.Generator().manual_seed(0))
    folded = fold(network, params, STEPS)
    bundle, _ = rounded(folded, calibrate(folded, network.signal(torch.ones(1, 1, 70, 70)))[0], "n")
    found = resources(bundle, shipped()["loihi1-davies2018"])
    assert not found["fits"]
    assert "4,900 neurons" in found["why"]


def test_an_average_of_the_last_steps_alone_is_refused(generator: torch.Generator) -> None:
    network = mlp_network((1, 6, 6), (8, 6), neuron=LIF(), steps=STEPS, last=3)
    with pytest.raises(UserError, match="averages the last 3 steps alone"):
        fold(network, network.init(generator), STEPS)
