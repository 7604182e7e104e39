"""Whole networks: they spike, a held input is a repeated one, and a run can be continued."""

import pytest
import torch
from torch import Tensor

from neurometa.core.layer import Norm
from neurometa.core.network import READOUT, VMAP_LIMIT, Stack, conv_network, mlp_network
from neurometa.core.neuron import LIF, RefractoryLIF
from neurometa.errors import UserError
from neurometa.types import Params, Record
from tests.small import LIVELY

STEPS = 5


def conv(**changes: object) -> Stack:
    choice = {
        "shape": (1, 9, 9),
        "channels": (4, 5, 6),
        "strides": (1, 2, 1),
        "pools": (2, 1, 1),
        "neuron": LIVELY,
        "steps": STEPS,
        "outputs": 3,
    }
    return conv_network(**{**choice, **changes})


def mlp(**changes: object) -> Stack:
    return mlp_network(**{"shape": (1, 5, 5), "widths": (8, 7), "neuron": LIVELY, "steps": STEPS, "outputs": 3, **changes})


NETWORKS = {
    "conv": conv(),
    "conv-spikes": conv(features="spikes", readout_decay=0.8),
    "conv-plain": conv(normalise=False),
    "conv-sum": conv(pooling="sum"),
    "conv-max": conv(pooling="max", pool_before_neuron=True),
    "conv-subtractive": conv(neuron=LIVELY._replace(hard_reset=False)),
    "mlp": mlp(),
    "mlp-current": mlp(features="current", normalise=True, readout_decay=0.5),
}
EACH = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def pixels(network: Stack, batch: int, *time: int) -> Tensor:
    return (torch.rand(*time, batch, *network.shape, generator=torch.Generator().manual_seed(1)) < 0.5).double()


def spiked(record: Record) -> None:
    for name, z in record.z.items():
        assert 0.01 < float(z.mean()) < 0.99, f"{name} is dead or saturated"
        assert torch.equal(z, z.round())


@EACH
def test_a_held_input_is_the_same_input_at_every_step(network: Stack, generator: torch.Generator) -> None:
    params, x = network.init(generator), pixels(network, 7)
    held = network.run(params, network.signal(x))
    repeated = network.run(params, network.signal(x.expand(STEPS, *x.shape)))
    spiked(held)
    for name, z in held.z.items():
        assert torch.equal(z, repeated.z[name])
    torch.testing.assert_close(held, repeated, rtol=1e-11, atol=1e-12)  # the first layer's sums are shorter


@EACH
def test_every_layer_has_the_shape_that_init_says(network: Stack, generator: torch.Generator) -> None:
    params, shape = network.init(generator), network.shape
    record = network.run(params, network.signal(pixels(network, 2)))
    for name, layer in network.layers:
        shape = layer.init(generator, shape)[1]
        if name in record.z:
            assert record.z[name].shape == record.v[name].shape == (STEPS, 2, *shape)
    assert record.output.shape == (2, 3)
    assert len(record.z) >= 1


@EACH
def test_body_and_readout_in_turn_are_the_network(network: Stack, generator: torch.Generator) -> None:
    params, x = network.init(generator), network.signal(pixels(network, 4))
    body, head = network.split()
    features = body.run(params, x).output
    assert features.shape == (4, network.features)
    assert torch.equal(head.run(params, head.signal(features)).output, network.run(params, x).output)
    assert {name.split(".")[0] for name in head.init(generator)} == {READOUT}


@EACH
def test_a_run_continues_from_its_final_state(network: Stack, generator: torch.Generator) -> None:
    x = pixels(network, 4, 6)
    params = network.init(generator)
    params |= network.run(params, network.signal(x)).statistics
    whole = network.run(params, network.signal(x))
    first = network.run(params, network.signal(x[:2]))
    second = network.run(params, network.signal(x[2:]), first.state)
    spiked(whole)
    for name in whole.z:
        assert torch.equal(torch.cat([first.z[name], second.z[name]]), whole.z[name])
        torch.testing.assert_close(torch.cat([first.v[name], second.v[name]]), whole.v[name], rtol=1e-12, atol=1e-13)
        assert torch.equal(second.state[f"{name}.z"], whole.z[name][-1])


def test_a_convolution_without_neurons_at_the_end_sees_the_mean_of_the_spikes(generator: torch.Generator) -> None:
    network = conv(normalise=False)
    params = network.init(generator)
    record = network.run(params, network.signal(pixels(network, 4)))
    assert list(record.z) == ["lif1", "lif2"]
    mean = record.z["lif2"].mean(0)
    current = torch.nn.functional.conv2d(mean, params["conv3.weight"], params["conv3.bias"], padding=1)
    output = current.flatten(1) @ params["readout.weight"].T + params["readout.bias"]
    torch.testing.assert_close(record.output, output, rtol=1e-12, atol=1e-13)


def test_statistics_are_noted_once_for_each_norm_and_not_where_given(generator: torch.Generator) -> None:
    network = conv()
    params, x = network.init(generator), network.signal(pixels(network, 4))
    measured = network.run(params, x)
    assert sorted(measured.statistics) == sorted(f"norm{i}.{key}" for i in (1, 2, 3) for key in ("mean", "var"))
    given = network.run({**params, **measured.statistics}, x)
    assert given.statistics == {}
    torch.testing.assert_close(given.output, measured.output, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("build", [conv, mlp])
def test_normalisation_replaces_the_bias(build, generator: torch.Generator) -> None:  # type: ignore[no-untyped-def]
    def names(params: Params) -> set[str]:
        return {name.split(".")[1] for name in params if not name.startswith(READOUT)}

    assert names(build(normalise=True).init(generator)) == {"weight", "gain", "shift"}
    assert names(build(normalise=False).init(generator)) == {"weight", "bias"}


def test_the_same_generator_state_gives_the_same_parameters() -> None:
    one, two, other = (conv().init(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_an_input_of_another_shape_is_refused_by_what_was_given_and_expected() -> None:
    network = conv()
    for shape in ((2, 9, 9), (9, 9), (2, 1, 9, 8), (1, 1, 2, 1, 9, 9)):
        with pytest.raises(UserError, match=r"input of shape \(.*\) given, \(\[time,\] batch, 1, 9, 9\) expected"):
            network.signal(torch.zeros(shape))
    assert not network.signal(torch.zeros(2, 1, 9, 9)).timed
    assert network.signal(torch.zeros(5, 2, 1, 9, 9)).timed


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(UserError, match="3, 2 and 3 entries"):
        conv(strides=(1, 1))


def test_a_picture_that_shrinks_to_nothing_is_refused_by_the_layer_where_it_does() -> None:
    with pytest.raises(UserError, match="layer pool3 has an output of shape"):
        conv(pools=(2, 2, 4))


def test_time_order_of_layers_is_as_asked() -> None:
    def names(network: Stack) -> list[str]:
        return [name for name, _ in network.layers]

    assert names(conv(pools=(2, 1, 2)))[:4] == ["conv1", "norm1", "lif1", "pool1"]
    assert names(conv(pool_before_neuron=True))[:4] == ["conv1", "norm1", "pool1", "lif1"]
    assert names(conv(pools=(1, 1, 2)))[-6:] == ["average", "conv3", "norm3", "pool3", "flatten", "readout"]
    assert names(mlp(normalise=True)) == ["flatten", "linear1", "norm1", "lif1", "linear2", "norm2", "lif2", "average", "readout"]
    spikes = {"features": "spikes", "pools": (1, 1, 2)}
    assert names(conv(**spikes))[-5:] == ["lif3", "average", "pool3", "flatten", "readout"], "pooling commutes with the average"
    assert names(conv(**spikes, pooling="max"))[-5:] == ["lif3", "pool3", "average", "flatten", "readout"], "and a maximum does not"
    assert names(conv(**spikes, pool_before_neuron=True))[-5:] == ["pool3", "lif3", "average", "flatten", "readout"]
    assert isinstance(dict(conv().layers)["norm1"], Norm)
    assert names(conv(normalise_features=True))[-3:] == ["flatten", "features", "readout"]
    assert names(mlp(normalise_features=True))[-3:] == ["average", "features", "readout"]


def test_large_convolutions_run_task_by_task_and_everything_else_together() -> None:
    assert all(network.vmappable for network in NETWORKS.values())
    large = conv_network((1, 28, 28), (32, 32), (1, 1), (2, 1), neuron=LIVELY, steps=STEPS)
    assert 32 * 9 * 28 * 28 + 32 * 32 * 9 * 14 * 14 > VMAP_LIMIT
    assert not large.vmappable
    assert large.split()[1].vmappable, "a readout is always small"


def test_normalised_features_have_nothing_in_common() -> None:
    network = conv(normalise_features=True, outputs=None)
    params = network.init(torch.Generator().manual_seed(0))
    pictures = torch.rand(9, *network.shape, generator=torch.Generator().manual_seed(1))
    record = network.run(params, network.signal(pictures))
    assert all(z.sum() > 0 for z in record.z.values())
    assert record.output.std() > 0.1
    torch.testing.assert_close(record.output.mean(0), torch.zeros(network.features), rtol=0, atol=1e-6)
    given = network.run({**params, **record.statistics}, network.signal(pictures[:1]))
    torch.testing.assert_close(given.output[0], record.output[0], rtol=1e-4, atol=1e-5)
    assert given.statistics == {}


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_network_of_sixteen_bits_runs_and_integrates_in_thirty_two(half: torch.dtype, recurrent: bool) -> None:
    network = mlp_network((6,), (5, 4), neuron=LIF(threshold=0.5), steps=7, recurrent=recurrent, outputs=3)
    params = {name: value.to(half) for name, value in network.init(torch.Generator().manual_seed(0)).items()}
    record = network.run(params, network.signal(torch.rand(9, 6, generator=torch.Generator().manual_seed(1)).to(half)))
    assert record.output.dtype == half
    assert {v.dtype for v in record.v.values()} == {torch.float32}
    assert float(record.z["lif2"].sum()) > 5


def test_a_kernel_that_does_not_know_a_population_is_refused_before_it_runs() -> None:
    refractory = mlp_network((6,), (5,), neuron=RefractoryLIF(refractory=2.0), steps=3)
    with pytest.raises(UserError, match="kernel numba given, which does not know the RefractoryLIF of layer refractorylif1: choose"):
        refractory.on("numba")
    with pytest.raises(UserError, match="kernel triton given, which does not know the recurrent LIF of layer lif1"):
        mlp_network((6,), (5,), neuron=LIF(), steps=3, recurrent=True).on("triton")
    refractory.on("reference")


def test_a_delay_of_two_steps_is_refused() -> None:
    with pytest.raises(UserError, match="a delay of 2 steps given, 0 or 1 expected"):
        mlp_network((6,), (5,), neuron=LIF(), steps=3, delay=2)
