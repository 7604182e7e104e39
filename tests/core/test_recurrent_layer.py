"""Recurrent layers and the delay of a spike, in a network: against NumPy, in pieces, in a file, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neurometa.baselines.relu import ReLU
from neurometa.core.layer import Spiking
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import ALIF, LIF
from neurometa.core.recurrent_scan import recurrent_scan
from neurometa.errors import UserError
from neurometa.experiment import build, config
from neurometa.experiment.load import convert
from neurometa.types import Params
from tests.oracles import recurrent_lif
from tests.small import LIVELY

STEPS = 12
ADAPTIVE = ALIF(0.7, 0.6, 0.2, 0.8)
BOTH = pytest.mark.parametrize("neuron", [LIVELY, ADAPTIVE], ids=["lif", "alif"])


def stack(neuron: LIF | ALIF = LIVELY, recurrent: bool | tuple[bool, ...] = True, delay: int = 0, **more: object) -> Stack:
    return mlp_network((5,), (8, 7), neuron=neuron, steps=STEPS, recurrent=recurrent, delay=delay, **{"outputs": 3, **more})


def inputs(*time: int) -> torch.Tensor:
    return (torch.rand(*time, 6, 5, generator=torch.Generator().manual_seed(1)) < 0.4).double()


def made(network: Stack) -> Params:
    params = network.init(torch.Generator().manual_seed(0))
    return {name: value.double() for name, value in params.items()}


@BOTH
@pytest.mark.parametrize("delay", [0, 1])
def test_a_network_is_that_of_the_equations(neuron: LIF | ALIF, delay: int) -> None:
    """With a delay every connection takes one step, within and between layers, as on Loihi; without, those between layers take none."""
    network = stack(neuron, True, delay)
    params, x = made(network), inputs(STEPS)
    record = network.run(params, network.signal(x))
    p = {name: value.numpy() for name, value in params.items()}
    beta, rho = (neuron.beta, neuron.rho) if isinstance(neuron, ALIF) else (0.0, 0.0)
    for example in range(6):
        sent = x[:, example].numpy()
        for i in (1, 2):
            current = sent @ p[f"linear{i}.weight"].T + p[f"linear{i}.bias"]
            z, v = recurrent_lif(current, p[f"lif{i}.recurrent" if beta == 0 else f"alif{i}.recurrent"], 0.7, 0.6, beta, rho, True)
            name = f"{type(neuron).__name__.lower()}{i}"
            np.testing.assert_array_equal(record.z[name][:, example].numpy(), z)
            np.testing.assert_allclose(record.v[name][:, example].numpy(), v, rtol=1e-12, atol=1e-13)
            sent = np.concatenate([np.zeros((1, z.shape[1])), z[:-1]]) if delay else z
        output = sent.mean(0) @ p["readout.weight"].T + p["readout.bias"]
        np.testing.assert_allclose(record.output[example].numpy(), output, rtol=1e-12)
    assert all(0.02 < float(z.mean()) < 0.9 for z in record.z.values())


@BOTH
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("recurrent", [True, False], ids=["recurrent", "feed-forward"])
def test_a_run_continues_from_its_final_state(neuron: LIF | ALIF, delay: int, recurrent: bool) -> None:
    network = stack(neuron, recurrent, delay)
    params, x = made(network), inputs(STEPS)
    whole = network.run(params, network.signal(x))
    first = network.run(params, network.signal(x[:5]))
    second = network.run(params, network.signal(x[5:]), first.state)
    for name, z in whole.z.items():
        assert 0 < float(z[:5].mean()) < 1
        assert torch.equal(torch.cat([first.z[name], second.z[name]]), z)
    mean = (5 * first.output + (STEPS - 5) * second.output) / STEPS
    torch.testing.assert_close(mean, whole.output, rtol=1e-11, atol=1e-12)


def test_a_delay_shifts_every_layer_by_one_more_step() -> None:
    params, x = made(stack(recurrent=False)), inputs(STEPS)
    plain, late = (network.run(params, network.signal(x)) for network in (stack(recurrent=False), stack(recurrent=False, delay=1)))
    assert torch.equal(late.z["lif1"], plain.z["lif1"])
    silent = {**params, "linear2.bias": torch.zeros(7).double()}  # nothing happens in a layer that nothing has reached
    plain, late = (network.run(silent, network.signal(x)) for network in (stack(recurrent=False), stack(recurrent=False, delay=1)))
    assert plain.z["lif2"].sum() > 20
    assert torch.equal(late.z["lif2"][1:], plain.z["lif2"][:-1])
    assert late.z["lif2"][0].sum() == 0


def test_convolutions_have_the_delay_too() -> None:
    networks = [conv_network((1, 6, 6), (3, 4), (1, 1), (2, 1), neuron=LIVELY, steps=5, delay=delay, normalise=False) for delay in (0, 1)]
    params = networks[0].init(torch.Generator().manual_seed(0))
    x = (torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    plain, late = (network.run(params, network.signal(x)) for network in networks)
    assert plain.z["lif1"].sum() > 20
    sent = plain.z["lif1"][:-1].sum(0) / 5
    average, convolution = torch.nn.functional.avg_pool2d(sent, 2), params["conv2.weight"]
    expected = torch.nn.functional.conv2d(average, convolution, params["conv2.bias"], padding=1).flatten(1)
    torch.testing.assert_close(late.output, expected, rtol=1e-11, atol=1e-12)


def test_each_layer_may_have_its_own_answer() -> None:
    assert [name for name in made(stack(recurrent=(False, True))) if "recurrent" in name] == ["lif2.recurrent"]
    assert [name for name in made(stack()) if "recurrent" in name] == ["lif1.recurrent", "lif2.recurrent"]
    assert [name for name in made(stack(features="current")) if "recurrent" in name] == ["lif1.recurrent"]
    for none in (False, (False, False)):
        assert not [name for name in made(stack(recurrent=none)) if "recurrent" in name]


def test_initial_recurrent_weights_keep_the_length_of_a_pattern() -> None:
    weight = Spiking(LIVELY, 1, recurrent=True).init(torch.Generator().manual_seed(0), (400,))[0]["recurrent"]
    assert weight.shape == (400, 400)
    assert float(weight.var()) == pytest.approx(1 / 400, rel=0.02)


def test_what_cannot_be_recurrent_is_refused() -> None:
    with pytest.raises(UserError, match="recurrent has 1 entries for 2 layers; give one a layer"):
        stack(recurrent=(True,))
    with pytest.raises(UserError, match=r"last layer, which has no neurons .*choose features = 'spikes'"):
        stack(recurrent=(False, True), features="current")
    with pytest.raises(UserError, match="last layer, which has no neurons"):
        mlp_network((5,), (8,), neuron=LIVELY, steps=4, recurrent=True, features="current")
    for more in ({"recurrent": True}, {"delay": 1}):
        with pytest.raises(UserError, match=r"relu has no time, .*choose a spiking neuron"):
            mlp_network((5,), (8,), neuron=ReLU(), steps=4, **more)
    with pytest.raises(UserError, match=r"recurrent neurons of shape \(3, 2, 2\) given, a row of them expected"):
        Spiking(LIVELY, 4, recurrent=True).init(torch.Generator(), (3, 2, 2))


def test_a_file_chooses_both() -> None:
    def network(**fields: object) -> Stack:
        table = {"name": "x", "task": {"kind": "glyphs"}, "network": {"widths": [4, 3], "kind": "mlp", "features": "spikes", **fields}}
        experiment = convert(table, "x.toml")
        assert isinstance(experiment, config.Experiment)
        return build.learner(experiment, 5).network  # type: ignore[return-value]

    def layers(**fields: object) -> list[tuple[bool, int]]:
        return [(layer.recurrent, layer.delay) for _, layer in network(**fields).layers if isinstance(layer, Spiking)]

    assert layers() == [(False, 0), (False, 0)]
    assert layers(recurrent=True, delay=1) == [(True, 1), (True, 1)]
    assert layers(recurrent=[False, True]) == [(False, 0), (True, 0)]
    for wrong in ({"delay": 2}, {"recurrent": "yes"}, {"recurrent": [1]}):
        with pytest.raises(UserError):
            network(**wrong)


def test_a_conv_file_has_a_delay() -> None:
    table = {"name": "x", "task": {"kind": "glyphs"}, "network": {"kind": "conv", "delay": 1}}
    built = build.learner(convert(table, str(Path("x.toml"))), 5).network
    assert {layer.delay for _, layer in built.layers if isinstance(layer, Spiking)} == {1}


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (1, 1), (4,)])
def test_recurrent_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"recurrent weights .* given, \(4, 4\)"):
        recurrent_scan(LIF(), torch.ones(3, 2, 4), torch.ones(shape), 3)


def test_recurrent_weights_of_another_type_are_refused() -> None:
    with pytest.raises(UserError, match=r"float64 expected"):
        recurrent_scan(LIF(), torch.ones(3, 2, 4, dtype=torch.float64), torch.ones(4, 4, dtype=torch.float32), 3)


def test_constants_of_each_example_run_on_the_reference() -> None:
    neuron = LIF(decay=torch.tensor([[0.2], [0.9]]).expand(2, 4))
    current = torch.rand(5, 2, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.full((4, 4), 0.3)
    found = recurrent_scan(neuron, current, weight, 5)
    assert 0 < found.z.mean() < 1
    for example, decay in enumerate((0.2, 0.9)):
        alone = recurrent_scan(LIF(decay=decay), current[:, example : example + 1], weight, 5)
        torch.testing.assert_close(found.v[:, example : example + 1], alone.v)
