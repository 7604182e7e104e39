"""Networks read from snnTorch do what snnTorch does, step by step, and go back."""

import re

import pytest
import snntorch
import torch
from hypothesis import HealthCheck, assume, given, settings
from snntorch import surrogate as theirs
from snntorch.utils import reset
from torch import Tensor, nn

import neurometa
from neurometa.core.encode import Direct
from neurometa.core.layer import Linear, TimeAverage
from neurometa.core.network import conv_network, mlp_network
from neurometa.core.neuron import IF
from neurometa.core.surrogate import Surrogate, spike
from neurometa.errors import UserError
from neurometa.meta.estimators import FirstOrder, Unrolled
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Record
from tests.export.stepped import Stepped, convolutional, dense, dyadic, exact_weights, stepped
from tests.small import OneByOne, Switches

T = 8
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLOSE = {"rtol": 1e-11, "atol": 1e-11}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture_model(**neuron: object) -> nn.Sequential:
    """Everything that can be read, with random numbers in it."""
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), snntorch.Leaky(0.9, init_hidden=True, **neuron),
        nn.MaxPool2d(2), nn.Dropout2d(0.3),
        nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1, bias=False), snntorch.Leaky(0.7, threshold=0.4, init_hidden=True, **neuron)),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 8), nn.BatchNorm1d(8, affine=False), snntorch.Lapicque(R=2.0, C=1.3, init_hidden=True),
        nn.Linear(8, 3), snntorch.Leaky(0.95, threshold=0.3, init_hidden=True, output=True, **neuron),
    )  # fmt: skip
    module[11].weight.data = normal(3, 8, seed=2)  # so that the last neurons fire
    for norm in (module[1], module[9]):
        norm.running_mean, norm.running_var = normal(norm.num_features), normal(norm.num_features, seed=1).square() + 0.1
    return module


def assert_equal(record: Record, expected: Stepped, **tolerance: float) -> None:
    """Spikes identical, membranes equal at every step."""
    assert any(z.any() for z in expected.z.values()), "a silent network proves nothing"
    for z, v, name in zip(record.z.values(), record.v.values(), expected.z, strict=True):
        assert torch.equal(z, expected.z[name]), name
        torch.testing.assert_close(v, expected.v[name], **tolerance)
    torch.testing.assert_close(record.output, expected.output.mean(0), **CLOSE)


def flat(module: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(part for child in module for part in (child if isinstance(child, nn.Sequential) else [child])))


@FEW
@given(dense())
def test_random_dense_models_spike_alike_and_have_the_same_membranes_exactly(module: nn.Sequential) -> None:
    x = dyadic(T, 3, 6, generator=torch.Generator().manual_seed(1)) + 0.5
    network, params = neurometa.from_snntorch(module)
    expected = stepped(module, x)
    assume(any(z.any() for z in expected.z.values()))
    assert_equal(network.run(params, network.signal(x)), expected, rtol=0, atol=0)


@FEW
@given(convolutional())
def test_random_convolutional_models_spike_alike_and_have_the_same_membranes_exactly(module: nn.Sequential) -> None:
    x = dyadic(T, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    network, params = neurometa.from_snntorch(module, (2, 8, 8))
    expected = stepped(module, x)
    assume(any(z.any() for z in expected.z.values()))
    assert_equal(network.run(params, network.signal(x)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_model_of_arbitrary_numbers_agrees_up_to_the_order_of_sums(reset: str) -> None:
    module = picture_model(reset_mechanism=reset).double()
    module[2].threshold = torch.full((), 0.75)  # snnTorch rounds its reset to float32, and this number has no rounding
    for child in (module[5][1], module[12]):
        child.threshold = torch.full((), 0.375)
    x = normal(T, 4, 2, 8, 8)
    network, params = neurometa.from_snntorch(module, (2, 8, 8))
    record, expected = network.run(params, network.signal(x)), stepped(flat(module), x)
    assert_equal(record, expected, rtol=1e-12, atol=1e-12)
    assert all(0.02 < float(z.mean()) < 0.9 for z in expected.z.values())


def test_names_are_the_modules_own_but_the_readouts() -> None:
    network, params = neurometa.from_snntorch(picture_model(), (2, 8, 8))
    assert [name for name, _ in network.layers] == "0 1 2 3 5.0 5.1 6 8 9 10-input 10 readout 12 average".split()
    assert {name.rpartition(".")[0] for name in params} == {"0", "1", "5.0", "8", "9", "readout"}
    named = nn.Sequential()
    named.add_module("fc", nn.Linear(4, 3))
    named.add_module("out", nn.Linear(3, 2))
    network, params = neurometa.from_snntorch(named)
    assert list(params) == ["fc.weight", "fc.bias", "readout.weight", "readout.bias"]
    assert [name for name, _ in network.layers] == ["fc", "average", "readout"]


def test_the_parameters_are_copies() -> None:
    module = nn.Sequential(nn.Linear(4, 3))
    _, params = neurometa.from_snntorch(module)
    params["readout.weight"].zero_()
    assert module[0].weight.abs().sum() > 0
    assert not params["readout.bias"].requires_grad


def test_neurons_without_hidden_state_are_read_alike() -> None:
    kept, passed = (nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(0.5, init_hidden=hidden)) for hidden in (True, False))
    assert neurometa.from_snntorch(kept)[0] == neurometa.from_snntorch(passed)[0]


EQUAL = {
    "atan": (theirs.atan(), Surrogate("arctan", 2.0)),
    "atan, alpha": (theirs.atan(alpha=3.5), Surrogate("arctan", 3.5)),
    "fast_sigmoid": (theirs.fast_sigmoid(), Surrogate("fast-sigmoid", 25.0)),
    "fast_sigmoid, slope": (theirs.fast_sigmoid(slope=4), Surrogate("fast-sigmoid", 4.0)),
    "sigmoid": (theirs.sigmoid(slope=7), Surrogate("sigmoid", 7.0)),
    "straight_through_estimator": (theirs.straight_through_estimator(), Surrogate("box", 1e-30)),
}


def slope(function, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0]


@pytest.mark.parametrize("name", EQUAL)
def test_a_surrogate_has_the_derivative_of_its_counterpart(name: str) -> None:
    function, ours = EQUAL[name]
    network, _ = neurometa.from_snntorch(nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(0.5, spike_grad=function)))
    assert dict(network.layers)["1"].neuron.surrogate == ours
    x = torch.linspace(-2, 2, 41)
    torch.testing.assert_close(slope(lambda u: spike(u, ours), x), slope(function, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("ours", [Surrogate("triangle", 1.5), Surrogate("box", 2.0), *(ours for _, ours in EQUAL.values())])
def test_every_surrogate_goes_to_snntorch_with_its_derivative(ours: Surrogate) -> None:
    network, params = neurometa.from_snntorch(nn.Sequential(nn.Linear(2, 2), snntorch.Leaky(0.5)), surrogate=ours)
    x = torch.linspace(-2, 2, 42)
    written = neurometa.to_snntorch(network, params)[1].spike_grad
    torch.testing.assert_close(slope(written, x), slope(lambda u: spike(u, ours), x), rtol=1e-12, atol=1e-14)


KINDS = {
    "Leaky": lambda n, **common: snntorch.Leaky(0.8, **common),
    "Synaptic": lambda n, **common: snntorch.Synaptic(0.5, 0.8, **common),
    "Lapicque": lambda n, **common: snntorch.Lapicque(R=3.0, C=1.5, **common),
    "RLeaky": lambda n, **common: snntorch.RLeaky(0.8, linear_features=n, **common),
    "RSynaptic": lambda n, **common: snntorch.RSynaptic(0.5, 0.8, linear_features=n, **common),
}


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("Leaky", name) for name in EQUAL),
        ("Synaptic", "atan"),
        ("Lapicque", "fast_sigmoid, slope"),
        ("RLeaky", "atan"),
        ("RSynaptic", "atan"),
    ],
)
def test_gradients_through_time_are_snntorchs(kind: str, name: str, reset: str) -> None:
    torch.set_default_dtype(torch.float32)  # snnTorch's spikes are float32
    common = {"spike_grad": EQUAL[name][0], "reset_mechanism": reset, "init_hidden": True}
    module = nn.Sequential(
        nn.Linear(5, 7), KINDS[kind](7, threshold=0.5, **common), nn.Linear(7, 3), KINDS[kind](3, threshold=0.3, **common)
    )
    module[2].weight.data = module[2].weight.data.abs()
    x, weights = normal(T, 4, 5) * 2, normal(4, 3, seed=2)
    network, params = neurometa.from_snntorch(module)
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    record = network.run(leaves, network.signal(x))
    loss = (record.output * weights).sum() + record.v["3"].square().mean()
    found = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    expected = stepped(module, x, detached=False)
    assert_same_spikes(record, expected)
    their_loss = (expected.output.mean(0) * weights).sum() + expected.v["3"].square().mean()
    names = dict(module.named_parameters())
    assert len(names) == len(found)
    for name, other in zip(names, torch.autograd.grad(their_loss, list(names.values())), strict=True):
        ours = found[renamed(name)]
        assert ours.abs().sum() > 0
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-5)


def renamed(name: str) -> str:
    """The name here of a parameter there."""
    layer, _, key = name.partition(".")
    return {"recurrent.weight": f"{layer}.recurrent", "recurrent.bias": f"{layer}-input.bias"}.get(
        key, f"{layer}.{key}".replace("2.", "readout.")
    )


PER_NEURON = torch.tensor([0.25, 0.5, 0.75])
CHANNEL = PER_NEURON.reshape(3, 1, 1)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_constants_of_each_neuron_are_kept_exactly(reset: str) -> None:
    values, channels = PER_NEURON.double(), CHANNEL.double()
    common = {"reset_mechanism": reset}
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3), snntorch.Leaky(channels, threshold=channels + 0.25, **common), nn.Flatten(), nn.Linear(12, 3),
        snntorch.Synaptic(values, values.flip(0), threshold=values + 1, **common), nn.Linear(3, 3), snntorch.Leaky(values, **common),
    )  # fmt: skip
    exact_weights(module, torch.Generator().manual_seed(0))
    x = dyadic(T, 3, 1, 4, 4, generator=torch.Generator().manual_seed(1)) + 0.5
    network, params = neurometa.from_snntorch(module, (1, 4, 4))
    expected = stepped(module, x)
    assert all(0 < float(z.mean()) < 1 for z in expected.z.values())
    assert_equal(network.run(params, network.signal(x)), expected, rtol=0, atol=0)
    back = neurometa.to_snntorch(network, params)
    assert torch.equal(back[4].alpha, values)
    assert torch.equal(stepped(back, x).output, expected.output)


def learning() -> nn.Sequential:
    """Every constant that snnTorch can learn, of a layer, of a channel, of a neuron."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), snntorch.Leaky(CHANNEL + 0.1, learn_beta=True, threshold=0.4, learn_threshold=True), nn.Flatten(),
        nn.Linear(12, 3), snntorch.Synaptic(0.3, PER_NEURON, threshold=0.3, learn_alpha=True, learn_beta=True, init_hidden=True),
        nn.Linear(3, 2), snntorch.Leaky(0.9, threshold=torch.tensor([1.5, 2.5]), learn_threshold=True, init_hidden=True),
    )  # fmt: skip


def test_constants_that_the_module_learns_are_parameters_with_its_gradients() -> None:
    torch.set_default_dtype(torch.float32)
    module = learning()
    for part in (module[3], module[5]):
        part.weight.data = part.weight.data.abs()
    x = normal(T, 6, 1, 4, 4) * 2
    network, params = neurometa.from_snntorch(module, (1, 4, 4))
    learnt = {
        "1.logit_decay": (3, 1, 1),
        "1.log_threshold": (),
        "4.logit_current_decay": (),
        "4.logit_decay": (3,),
        "6.log_threshold": (2,),
    }
    assert {name: tuple(value.shape) for name, value in params.items() if "log" in name} == learnt
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    record = network.run(leaves, network.signal(x))
    expected = stepped(module, x, detached=False)
    assert_same_spikes(record, expected)
    for mine, other in zip(record.v.values(), expected.v.values(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)  # 1 / (1 + exp(-logit)) and sums in another order
    found = dict(zip(leaves, torch.autograd.grad(record.output.square().sum(), list(leaves.values())), strict=True))
    theirs_by_name = dict(module.named_parameters())
    their_gradients = torch.autograd.grad(expected.output.mean(0).square().sum(), list(theirs_by_name.values()))
    named = {"logit_decay": "beta", "logit_current_decay": "alpha", "log_threshold": "threshold"}
    for (name, value), other in zip(theirs_by_name.items(), their_gradients, strict=True):
        layer, _, key = name.partition(".")
        ours = next((found[f"{layer}.{mine}"] for mine, its in named.items() if its == key), None)
        if ours is not None:
            slope = value if key == "threshold" else value * (1 - value)  # chain rule through the reparametrisation
            assert ours.abs().sum() > 0
            torch.testing.assert_close(ours, (other * slope).reshape(ours.shape), rtol=1e-3, atol=1e-5)
    back = neurometa.to_snntorch(network, params)
    assert {name.replace("readout", "5") for name, _ in back.named_parameters()} == theirs_by_name.keys()
    torch.testing.assert_close(back[1].beta, module[1].beta, rtol=1e-5, atol=1e-6)


def assert_same_spikes(record: Record, expected: Stepped) -> None:
    for z, other in zip(record.z.values(), expected.z.values(), strict=True):
        assert 0 < float(other.detach().mean()) < 1
        assert torch.equal(z, other)


@FEW
@given(dense())
def test_a_round_trip_gives_the_same_numbers(module: nn.Sequential) -> None:
    x = dyadic(T, 3, 6, generator=torch.Generator().manual_seed(1)) + 0.5
    network, params = neurometa.from_snntorch(module)
    back = neurometa.to_snntorch(network, params)
    one, two = stepped(module, x), stepped(back, x)
    torch.testing.assert_close(one._asdict() | {"z": None, "v": None}, two._asdict() | {"z": None, "v": None}, rtol=1e-12, atol=1e-12)
    for mine, other in zip(one.z.values(), two.z.values(), strict=True):
        assert torch.equal(mine, other)
    again, same = neurometa.from_snntorch(back)
    assert again == network
    assert all(torch.equal(value, other) for value, other in zip(params.values(), same.values(), strict=True))


def test_a_picture_model_returns_as_it_went() -> None:
    module = picture_model(spike_grad=theirs.fast_sigmoid(4)).double()
    x = normal(T, 4, 2, 8, 8)
    network, params = neurometa.from_snntorch(module, (2, 8, 8))
    back = neurometa.to_snntorch(network, params)
    one, two = stepped(flat(module), x), stepped(back, x)
    assert all(torch.equal(mine, other) for mine, other in zip(one.z.values(), two.z.values(), strict=True))
    assert sum(float(z.sum()) for z in one.z.values()) > 100
    assert neurometa.from_snntorch(back, (2, 8, 8))[0].layers[2][1] == network.layers[2][1]


@pytest.mark.parametrize("features", ["current", "spikes"])
def test_a_network_of_ours_runs_in_snntorch_and_its_mean_output_is_the_same(features: str) -> None:
    torch.set_default_dtype(torch.float32)
    network = conv_network((1, 6, 6), (3, 4), (1, 1), (2, 1), neuron=spiking(), steps=T, features=features, outputs=5)
    params = network.init(torch.Generator().manual_seed(0))
    x = normal(T, 6, 1, 6, 6)
    with pytest.raises(UserError, match=r"norm1\.mean and \.var are missing"):
        neurometa.to_snntorch(network, params)
    params |= network.run(params, network.signal(x)).statistics
    module = neurometa.to_snntorch(network, params)
    reset(module)
    found = torch.stack([module(step) for step in x]).mean(0)
    record = network.run(params, network.signal(x))
    assert sum(float(z.sum()) for z in record.z.values()) > 100
    torch.testing.assert_close(found, record.output, rtol=1e-4, atol=1e-5)


def spiking():  # type: ignore[no-untyped-def]
    from neurometa.core.neuron import LIF

    return LIF(0.7, 0.6)


def test_a_model_that_ends_in_neurons_answers_in_snntorch_with_spikes_and_membrane() -> None:
    torch.set_default_dtype(torch.float32)
    module = nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(0.5))
    back = neurometa.to_snntorch(*neurometa.from_snntorch(module))
    reset(back)
    spikes, membrane = back(torch.ones(2, 4))
    assert spikes.shape == membrane.shape == (2, 3)


def test_prototypes_on_an_embedding_go_back_as_a_linear_layer() -> None:
    module = exact_weights(nn.Sequential(nn.Linear(16, 9), snntorch.Leaky(0.75, threshold=0.5)), torch.Generator().manual_seed(0))
    network, params = neurometa.from_snntorch(nn.Sequential(nn.Flatten(), *module), (1, 4, 4), steps=T, embedding=True)
    assert network.layers[-1] == ("readout", Linear(None))
    assert network.features == 9
    learner = Learner(network, Prototype(2), Direct(T))
    generator = torch.Generator().manual_seed(0)
    slow = params | Prototype(2).slow(network, params, generator)
    episode = Switches(2, 2, 3).sample(generator, 1)
    fast = learner.adapt(slow, type(episode.support)(episode.support.x[0], episode.support.y[0])).fast
    back = neurometa.to_snntorch(network, {**slow, **fast})
    query = episode.query.x[0]
    found = stepped(back, query.expand(T, *query.shape))
    assert found.z["2"].sum() > 10
    torch.testing.assert_close(found.output.mean(0), network.run({**slow, **fast}, network.signal(query)).output, **CLOSE)


def test_a_converted_model_is_meta_trained_from_its_own_weights() -> None:
    common = {"spike_grad": theirs.fast_sigmoid(3), "threshold": 0.5}
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), snntorch.Leaky(0.75, **common), nn.Linear(12, 2), snntorch.Leaky(0.75, **common)
    )
    network, params = neurometa.from_snntorch(module, (1, 4, 4), steps=T)
    learner, task = Learner(network, BPTT(2, 0.5), Direct(T)), Switches(2, 2, 3)
    trainer = Trainer(learner, task, Unrolled(), TrainerSettings(16, 3, learning_rate=0.02), 3, start=params)
    assert all(torch.equal(trainer.slow[name], value) for name, value in params.items())
    losses = [trainer.step().loss for _ in range(16)]
    record = network.run(trainer.parameters(), network.signal(task.sample(torch.Generator(), 1).query.x[0]))
    assert all(0 < float(z.mean()) < 1 for z in record.z.values())
    assert sum(losses[-5:]) < 0.93 * sum(losses[:5]), losses


@pytest.mark.parametrize("ends", ["neurons", "linear"])
def test_adapting_the_readout_embeds_once_what_lies_before_it(ends: str) -> None:
    tail = [snntorch.Leaky(0.75, threshold=0.25)] if ends == "neurons" else []
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), snntorch.Leaky(0.75, threshold=0.5), nn.Linear(12, 2), *tail)
    network, slow = neurometa.from_snntorch(exact_weights(module, torch.Generator().manual_seed(0)), (1, 4, 4), steps=T)
    learner = Learner(network, BPTT(2, 0.5, fast=("readout.*",)), Direct(T))
    assert learner.plasticity.readout_only
    generator = torch.Generator().manual_seed(0)
    episodes = learner.encode(Switches(2, 2, 3).sample(generator, 3), generator)
    alone = learner._replace(plasticity=OneByOne(learner.plasticity))
    for estimator in (Unrolled(), FirstOrder()):
        (one, gradient), (two, expected) = estimator(learner, slow, episodes), estimator(alone, slow, episodes)
        torch.testing.assert_close(gradient, expected, **CLOSE)
        torch.testing.assert_close(one.loss, two.loss, **CLOSE)
        assert all(value.abs().sum() > 0 for value in gradient.values())
    judged = evaluate(learner, slow, Switches(2, 2, 3), 6, torch.Generator().manual_seed(1))
    assert judged.after.shape == (6,)
    assert judged.spikes_per_inference > 1


def leaky(**settings: object) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(**{"beta": 0.5, **settings}))


def hooked() -> nn.Sequential:
    module = leaky()
    module[0].register_forward_hook(lambda *_: None)
    return module


def conv(*layers: nn.Module, **settings: object) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, **{"kernel_size": 3, **settings}), *layers, nn.Flatten(), nn.LazyLinear(2))


class Net(nn.Module):
    """A model that is not a Sequential."""


REFUSED = {
    "another module": (Net(), "Net given, nn.Sequential expected.*from_module"),
    "unknown layer": (nn.Sequential(nn.Linear(4, 3), nn.GRU(3, 2)), "layer 1 is GRU, which cannot be converted; expected one of Linear"),
    "unknown neuron": (nn.Sequential(nn.Linear(4, 3), snntorch.Alpha(0.9, 0.8)), "layer 1 is Alpha"),
    "nested": (nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.Tanh())), r"layer 0\.1 is Tanh"),
    "hooks": (hooked(), "layer 0 .* has forward hooks"),
    "no reset": (leaky(reset_mechanism="none"), 'layer 1 is Leaky with reset_mechanism="none".*use "subtract" or "zero"'),
    "reset delay": (leaky(reset_delay=False), "reset_delay=False.*reset_delay=True"),
    "inhibition": (leaky(inhibition=True), "inhibition=True"),
    "quantised state": (leaky(state_quant=lambda v: v), "state_quant"),
    "graded spikes": (leaky(graded_spikes_factor=2.0), "graded_spikes_factor.*scale the next layer's weights"),
    "learnt grading": (leaky(learn_graded_spikes_factor=True), "graded_spikes_factor"),
    "no surrogate": (leaky(surrogate_disable=True), r"surrogate_disable=True.*surrogate=Surrogate\(kind, slope\)"),
    "negative threshold": (leaky(threshold=-1.0), r"layer 1\.threshold = -1\.0 given"),
    "a learnt decay of 1": (leaky(beta=1.0, learn_beta=True), r"layer 1\.beta is learnt and from 1 to 1, numbers between 0 and 1 expected"),
    "a learnt threshold of 0": (leaky(threshold=0.0, learn_threshold=True), r"layer 1\.threshold is learnt.*numbers above 0"),
    "recurrence one to one": (nn.Sequential(nn.Linear(4, 3), snntorch.RLeaky(0.5, all_to_all=False)), "RLeaky with all_to_all=False"),
    "recurrent convolution": (conv(snntorch.RLeaky(0.5, conv2d_channels=3, kernel_size=3)), "RLeaky with a recurrent Conv2d"),
    "own surrogate": (leaky(spike_grad=lambda x: x), "layer 1 has the surrogate .*lambda"),
    **{
        name: (leaky(spike_grad=getattr(theirs, name)()), f"layer 1 has the surrogate {name}, which neurometa has no equal of")
        for name in ("triangular", "heaviside", "spike_rate_escape", "SSO", "LSO", "SFS")
    },
    "Lapicque that overshoots": (nn.Sequential(nn.Linear(4, 3), snntorch.Lapicque(beta=0.1)), r"1 - time_step / \(R C\) = -1\.3"),
    "uneven kernel": (conv(kernel_size=(3, 1)), r"layer 0\.kernel_size = \(3, 1\) given, the same in both"),
    "uneven stride": (conv(stride=(1, 2)), r"layer 0\.stride"),
    "circular padding": (conv(padding_mode="circular", padding=1), 'padding_mode = "circular"'),
    "even kernel, same padding": (conv(kernel_size=2, padding="same"), "even kernel of 2"),
    "padded pooling": (conv(nn.MaxPool2d(2, padding=1)), r"layer 1\.padding = 1 given, 0 expected"),
    "dilated pooling": (conv(nn.MaxPool2d(2, dilation=2)), r"layer 1\.dilation"),
    "pooling with a ceiling": (conv(nn.AvgPool2d(2, ceil_mode=True)), r"layer 1\.ceil_mode"),
    "pooling with indices": (conv(nn.MaxPool2d(2, return_indices=True)), r"layer 1\.return_indices"),
    "pooling with a divisor": (conv(nn.AvgPool2d(2, divisor_override=3)), r"layer 1\.divisor_override = 3"),
    "batch statistics": (conv(nn.BatchNorm2d(3, track_running_stats=False)), "layer 1 keeps no running statistics"),
    "another epsilon": (conv(nn.BatchNorm2d(3, eps=1e-3)), r"layer 1\.eps = 0\.001"),
    "part of the axes": (conv(nn.Flatten(2)), "layer 1 flattens axes 2 to -1"),
    "no readout": (nn.Sequential(nn.Conv2d(2, 3, 3)), "no Linear layer.*embedding=True"),
    "empty": (nn.Sequential(), "no shape given"),
    "no flatten": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 2)), "layer readout is Linear on an input of shape .*Flatten"),
    "too large a picture": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)), r"readout\.weight has shape \(2, 12\), but"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_what_cannot_be_converted_is_refused_by_name(name: str) -> None:
    module, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        neurometa.from_snntorch(
            module, None if name == "empty" else (2, 6, 6) if isinstance(next(module.children(), None), nn.Conv2d) else None
        )


def test_a_picture_model_without_a_shape_is_asked_for_it() -> None:
    with pytest.raises(UserError, match=re.escape("give the shape of one input, such as shape=(1, 28, 28)")):
        neurometa.from_snntorch(picture_model())


def test_a_leak_in_the_average_is_refused_on_the_way_to_snntorch() -> None:
    network, params = neurometa.from_snntorch(nn.Sequential(nn.Linear(4, 3), snntorch.Leaky(0.5), nn.Linear(3, 2)))
    leaking = network._replace(layers=tuple((name, TimeAverage(0.5) if name == "average" else layer) for name, layer in network.layers))
    with pytest.raises(UserError, match=r"layer average averages with a leak of 0\.5"):
        neurometa.to_snntorch(leaking, params)


@pytest.mark.parametrize("name", ["readout", "average"])
def test_a_name_that_the_network_gives_itself_is_refused(name: str) -> None:
    module = nn.Sequential()
    module.add_module("first", nn.Linear(4, 3))
    module.add_module("lif", snntorch.Leaky(0.5, init_hidden=True))
    module.add_module(name, nn.Linear(3, 3))
    module.add_module("last", snntorch.Leaky(0.5, init_hidden=True))
    module.add_module("out", nn.Linear(3, 2))
    with pytest.raises(UserError, match=f"two layers are called {name}"):
        neurometa.from_snntorch(module)


def test_neurons_without_leak_go_to_snntorch_as_leaky_ones_that_keep_all() -> None:
    network = mlp_network((4,), (3,), neuron=IF(), steps=T, outputs=2)
    module = neurometa.to_snntorch(network, network.init(torch.Generator().manual_seed(0)))
    found = [part for part in module.modules() if isinstance(part, snntorch.Leaky)]
    assert len(found) == 1
    assert float(found[0].beta) == 1.0
