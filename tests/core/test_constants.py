"""Constants that are parameters: what they are drawn from, that they stay in range, that they learn."""

import math

import pytest
import torch

from neurometa.core.constants import Distribution, Free, Gamma, LogNormal, Same, Uniform, with_params
from neurometa.core.layer import Spiking
from neurometa.core.network import conv_network, mlp_network
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, LeakyIntegrator, RefractoryLIF, SigmaDelta
from neurometa.errors import UserError

MANY = 40_000


@pytest.mark.parametrize(
    ("start", "mean", "deviation"),
    [
        (Same(7.0), 7.0, 0.0),
        (Uniform(2.0, 10.0), 6.0, 8 / math.sqrt(12)),
        (Gamma(20.0, 3.0), 20.0, 20 / math.sqrt(3)),
        (LogNormal(5.0, 0.4), 5 * math.exp(0.08), 5 * math.exp(0.08) * math.sqrt(math.exp(0.16) - 1)),
    ],
    ids=["same", "uniform", "gamma", "log-normal"],
)
def test_time_constants_have_the_mean_and_deviation_of_their_distribution(start: Distribution, mean: float, deviation: float) -> None:
    free = Free("decay", start=start)
    decay = free.value(free.init(LIF(), (MANY,), torch.Generator().manual_seed(1)))
    tau = -1 / decay.log()  # decay = exp(-1 / tau)
    assert abs(float(tau.mean()) - mean) <= 5 * deviation / math.sqrt(MANY) + 1e-9
    assert float(tau.std()) == pytest.approx(deviation, rel=0.05, abs=1e-9)
    assert ((decay > 0) & (decay < 1)).all()


@pytest.mark.parametrize("each", ["layer", "channel", "neuron"])
def test_a_constant_is_one_for_each_layer_channel_or_neuron(each: str, generator: torch.Generator) -> None:
    params, shape = Spiking(LIF(), 4, (Free("decay", each, start=Uniform(2.0, 9.0)),)).init(generator, (3, 4, 4))
    assert shape == (3, 4, 4)
    assert params["logit_decay"].shape == {"layer": (), "channel": (3, 1, 1), "neuron": (3, 4, 4)}[each]
    assert len(params["logit_decay"].unique()) == {"layer": 1, "channel": 3, "neuron": 48}[each]


def test_the_same_generator_draws_the_same_constants_and_layers_differ() -> None:
    network = mlp_network((5,), (6, 6), neuron=LIF(), free=(Free("decay", start=Gamma(4.0, 3.0)),), steps=4, outputs=2)
    one, two = (network.init(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one["lif1.logit_decay"], two["lif1.logit_decay"])
    assert not torch.equal(one["lif1.logit_decay"], one["lif2.logit_decay"])


def test_a_neuron_without_free_constants_adds_no_parameter_and_draws_nothing(generator: torch.Generator) -> None:
    before = generator.get_state()
    assert Spiking(ALIF(), 4).init(generator, (5,)) == ({}, (5,))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("raw", [-800.0, -3.0, 0.0, 3.0, 30.0])
def test_whatever_the_parameter_the_constant_is_in_its_range(raw: float) -> None:
    neuron = with_params(ALIF(), (Free("decay"), Free("threshold")), {"logit_decay": torch.tensor(raw), "log_threshold": torch.tensor(raw)})
    assert 0 <= float(neuron.decay) <= 1
    assert float(neuron.threshold) >= 0


def test_learning_starts_at_the_neurons_own_number(generator: torch.Generator) -> None:
    free = (Free("decay"), Free("threshold", "layer"), Free("beta"), Free("rho"))
    params, _ = Spiking(ALIF(0.8, 0.7, 0.3, 0.95), 4, free).init(generator, (3,))
    neuron = with_params(ALIF(), free, params)
    for name, value in (("decay", 0.8), ("threshold", 0.7), ("beta", 0.3), ("rho", 0.95)):
        torch.testing.assert_close(getattr(neuron, name), torch.tensor(value).expand(getattr(neuron, name).shape))


@pytest.mark.parametrize(("neuron", "name"), [(LIF(1.0), "decay"), (LIF(0.0), "decay"), (ALIF(beta=0.0), "beta"), (ALIF(rho=1.0), "rho")])
def test_a_learnt_constant_cannot_start_on_the_border_of_its_range(neuron: object, name: str, generator: torch.Generator) -> None:
    with pytest.raises(UserError, match=f"learnt {name} that starts at"):
        Free(name).init(neuron, (3,), generator)


def test_learnt_constants_have_a_gradient_and_kept_ones_none(generator: torch.Generator) -> None:
    free = (Free("decay", start=Uniform(2.0, 6.0)), Free("current_decay", "layer", False, Same(3.0)), Free("threshold", "channel"))
    network = conv_network(
        (1, 8, 8), (4, 4), (1, 1), (1, 1), neuron=CurrentLIF(threshold=0.5), free=free, steps=5, features="spikes", outputs=3
    )
    params = network.init(generator)
    x = network.signal(torch.rand(3, 1, 8, 8, generator=generator))
    record = network.run(params, x)
    assert all(0.01 < float(z.mean()) < 0.99 for z in record.z.values())
    gradient = torch.func.grad(lambda p: network.run(p, x).output.square().sum())(params)
    for name, value in gradient.items():
        if "log" in name:
            assert (value.abs().sum() > 0) == ("current_decay" not in name), name


@pytest.mark.parametrize(
    "neuron",
    [
        IF(0.4),
        LIF(0.7, 0.4),
        CurrentLIF(0.7, 0.4, 0.4),
        ALIF(0.7, 0.4, 0.2, 0.9),
        RefractoryLIF(0.7, 0.4, 1),
        LeakyIntegrator(),
        SigmaDelta(),
    ],
    ids=lambda neuron: type(neuron).__name__,
)
def test_a_network_of_every_neuron_continues_from_its_final_state(neuron: object, generator: torch.Generator) -> None:
    network = mlp_network((6,), (8, 7), neuron=neuron, steps=5, outputs=3)
    params = network.init(generator)
    x = torch.rand(7, 4, 6, generator=generator)
    whole, first = network.run(params, network.signal(x)), network.run(params, network.signal(x[:3]))
    second = network.run(params, network.signal(x[3:]), first.state)
    kind = type(neuron).__name__.lower()
    assert {name.removeprefix(f"{kind}1.") for name in first.state if name.startswith(f"{kind}1.")} == set(neuron.rest(x)._fields)
    for name in whole.z:
        assert whole.z[name].any()
        assert torch.equal(torch.cat([first.z[name], second.z[name]]), whole.z[name])
