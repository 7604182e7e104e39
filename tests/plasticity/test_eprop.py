"""e-prop against its definition, and against backpropagation with other spikes held constant."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.loss import cross_entropy
from neurometa.core.network import conv_network
from neurometa.core.neuron import ALIF, LIF, RefractoryLIF
from neurometa.core.surrogate import spike
from neurometa.errors import UserError
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.types import Data, Params
from tests import oracles_eprop as oracle
from tests.plasticity.networks import LABELS, NEURONS, SURROGATE, cell, dense, learnt, raster


@pytest.mark.parametrize("kappa", [0.0, 0.8])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("name", NEURONS)
def test_it_is_the_sum_of_learning_signals_times_eligibilities(name: str, recurrent: bool, kappa: float) -> None:
    network, slow = dense(NEURONS[name], recurrent=recurrent, readout_decay=kappa)
    population = network.layers[2][0]
    x = raster(30, 4, 7)
    found = learnt(EProp(rate=1.0), network, slow, x, LABELS)
    own = {key: value.numpy() for key, value in slow.items()}
    back = own.get(f"{population}.recurrent")
    layer = oracle.Layer(cell(NEURONS[name]), own["linear1.weight"], own["linear1.bias"], back, own["readout.weight"])
    (hidden,), readout, spikes = oracle.eprop(x.numpy(), [layer], (own["readout.weight"], own["readout.bias"]), kappa, LABELS.numpy())
    assert spikes > 100, "a silent network proves nothing"
    expected = {
        "linear1.weight": hidden.weight,
        "linear1.bias": hidden.bias,
        "readout.weight": readout.weight,
        "readout.bias": readout.bias,
    }
    if recurrent:
        expected[f"{population}.recurrent"] = hidden.recurrent
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.abs(value).max() > 1e-4
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["lif-hard", "alif-subtract"])
def test_a_stack_learns_by_feedback_of_each_layer(name: str) -> None:
    network, slow = dense(NEURONS[name], widths=(9, 8), readout_decay=0.7, recurrent=(False, True))
    rule = EProp(rate=1.0, feedback="random")
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    layers, x = [], raster(30, 4, 7)
    for i in (1, 2):
        population = network.layers[2 * i][0]
        weights = [slow.get(key) for key in (f"linear{i}.weight", f"linear{i}.bias", f"{population}.recurrent", f"{FEEDBACK}.{population}")]
        layers.append(oracle.Layer(cell(NEURONS[name]), *(None if w is None else w.numpy() for w in weights)))  # type: ignore[arg-type]
    out = (slow["readout.weight"].numpy(), slow["readout.bias"].numpy())
    hidden, _, spikes = oracle.eprop(x.numpy(), layers, out, 0.7, LABELS.numpy())
    assert spikes > 100
    found = learnt(rule, network, slow, x, LABELS)
    for i, one in enumerate(hidden, 1):
        np.testing.assert_allclose(found[f"linear{i}.weight"].numpy(), one.weight, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found[f"{network.layers[4][0]}.recurrent"].numpy(), hidden[1].recurrent, rtol=1e-10, atol=1e-13)


def held_constant(neuron: LIF, slow: Params, x: Tensor, kappa: float, y: Tensor) -> Params:
    """Backpropagation through time of a recurrent layer whose returning spikes, and its reset, count as constants."""
    leaves = {name: value.clone().requires_grad_() for name, value in slow.items()}
    v = z = x.new_zeros(x.shape[1], len(slow["linear1.bias"]))
    u, losses = z, []
    for now in x:
        current = F.linear(now, leaves["linear1.weight"], leaves["linear1.bias"]) + F.linear(z.detach(), leaves["lif1.recurrent"])
        fired = z.detach()
        v = neuron.decay * v * (1 - fired) + current if neuron.hard_reset else neuron.decay * v - neuron.threshold * fired + current
        z = spike(v - neuron.threshold, neuron.surrogate)
        u = kappa * u + (1 - kappa) * z
        losses.append(cross_entropy(F.linear(u, leaves["readout.weight"], leaves["readout.bias"]), y))
    gradient = torch.autograd.grad(torch.stack(losses).mean(), list(leaves.values()))
    return dict(zip(leaves, gradient, strict=True))


@pytest.mark.parametrize("kappa", [0.0, 0.8])
@pytest.mark.parametrize("name", ["lif-hard", "lif-subtract"])
def test_it_is_backpropagation_with_recurrent_spikes_held_constant(name: str, kappa: float) -> None:
    network, slow = dense(NEURONS[name], recurrent=True, readout_decay=kappa)
    x = raster(30, 4, 7)
    expected = held_constant(NEURONS[name], slow, x, kappa, LABELS)
    found = learnt(EProp(rate=1.0), network, slow, x, LABELS)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kappa", [0.0, 0.8])
@pytest.mark.parametrize("name", NEURONS)
def test_a_single_feed_forward_layer_is_plain_backpropagation(name: str, kappa: float) -> None:
    neuron = NEURONS[name]._replace(reset_gradient=False)
    network, slow = dense(neuron, readout_decay=kappa)
    x = raster(30, 4, 7)

    def loss(weights: Params) -> Tensor:
        record = network.run(weights, network.signal(x))
        z, u, losses = record.z[network.layers[2][0]], 0, []
        for now in z:
            u = kappa * u + (1 - kappa) * now
            losses.append(cross_entropy(F.linear(u, weights["readout.weight"], weights["readout.bias"]), LABELS))
        return torch.stack(losses).mean()

    expected = torch.func.grad(loss)(slow)
    found = learnt(EProp(rate=1.0), network, slow, x, LABELS)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-13)


def test_synapses_of_any_kind_learn_by_their_own_derivative() -> None:
    neuron = LIF(0.5, 1.0, reset_gradient=False)
    network = conv_network((1, 8, 8), (4, 6, 5), (1, 1, 1), (2, 2, 1), neuron=neuron, steps=4, outputs=3, normalise_features=True)
    slow = network.init(torch.Generator().manual_seed(0))
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    slow |= network.run(slow, network.signal(x)).statistics
    fast = ("conv2.*", "norm2.*", "conv3.*", "norm3.*", "features.*", "readout.*")
    rule = EProp(rate=1.0, fast=fast, output="time-mean")
    found = learnt(rule, network, slow, x, y)
    expected = torch.func.grad(lambda w: cross_entropy(network.run({**slow, **w}, network.signal(x)).output, y))(
        {name: slow[name] for name in found}
    )
    assert {"conv2.weight", "norm2.gain", "norm2.shift", "conv3.weight", "features.gain", "readout.weight"} <= found.keys()
    for key, value in expected.items():
        assert value.abs().max() > 0
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-13)


def test_the_plain_trace_of_a_chip_is_another_rule_only_with_hard_reset() -> None:
    x = raster(60, 4, 7)
    for name, same in {"lif-hard": False, "lif-subtract": True}.items():
        network, slow = dense(NEURONS[name], readout_decay=0.8)
        exact, plain = (learnt(EProp(rate=1.0, trace=t), network, slow, x, LABELS)["linear1.weight"] for t in ("exact", "plain"))
        cosine = float(F.cosine_similarity(exact.flatten(), plain.flatten(), dim=0))
        assert (abs(cosine - 1) < 1e-12) == same
        assert cosine > 0.3


def test_the_membrane_trace_is_the_adaptive_neuron_without_its_long_memory() -> None:
    neuron = ALIF(0.8, 0.6, 0.3, 0.95, hard_reset=False, surrogate=SURROGATE)
    network, slow = dense(neuron)
    x = raster(30, 4, 7)
    found = {t: learnt(EProp(rate=1.0, trace=t), network, slow, x, LABELS)["linear1.weight"] for t in ("exact", "membrane")}
    own = {key: value.numpy() for key, value in slow.items()}
    layer = oracle.Layer(cell(neuron), own["linear1.weight"], own["linear1.bias"], None, own["readout.weight"])
    out = (own["readout.weight"], own["readout.bias"])
    (short,), _, spikes = oracle.eprop(x.numpy(), [layer], out, 0.0, LABELS.numpy(), adaptive=False)
    assert spikes > 50
    np.testing.assert_allclose(found["membrane"].numpy(), short.weight, rtol=1e-10, atol=1e-13)
    assert (found["exact"] - found["membrane"]).abs().max() > 1e-3


def test_outputs_over_time_have_the_mean_that_the_network_gives() -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    z = network.run(slow, network.signal(x)).z["lif1"]
    last = network.layers[3][1]._replace(last=5)  # type: ignore[attr-defined]
    network = network._replace(layers=tuple((n, last if n == "average" else layer) for n, layer in network.layers))
    u, membranes = torch.zeros_like(z[0]), []
    for now in z:
        u = 0.8 * u + 0.2 * now
        membranes.append(F.linear(u, slow["readout.weight"], slow["readout.bias"]))
    torch.testing.assert_close(network.run(slow, network.signal(x)).output, torch.stack(membranes[-5:]).mean(0))


def test_examples_one_by_one_are_updates_in_their_order() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    x, rule = raster(30, 4, 7), EProp(rate=0.5, examples="single")
    expected = slow
    for i in range(4):
        expected = {**expected, **rule._replace(examples="batch").adapt(network, expected, Data(x[:, i : i + 1], LABELS[i : i + 1])).fast}
    found = rule.adapt(network, slow, Data(x, LABELS)).fast
    turned = rule.adapt(network, slow, Data(x.flip(1), LABELS.flip(0))).fast
    torch.testing.assert_close(found["linear1.weight"], expected["linear1.weight"])
    assert (turned["linear1.weight"] - found["linear1.weight"]).abs().max() > 1e-5, "the order of examples matters"


def test_a_silent_support_set_is_no_success() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    quiet = {**slow, "linear1.bias": torch.zeros(9)}
    assert not bool(EProp().adapt(network, quiet, Data(torch.zeros(30, 4, 7), LABELS)).finite)


def test_what_cannot_be_is_refused_by_name() -> None:
    stack, _ = dense(NEURONS["lif-hard"], widths=(9, 8))
    with pytest.raises(UserError, match=r"population lif1 is not wired to the readout.*'random' or 'learnt'"):
        EProp().refuse(stack)
    EProp(fast=("linear2.*", "readout.*")).refuse(stack)
    EProp(feedback="random").refuse(stack)
    with pytest.raises(UserError, match=r"trace membrane.*ALIF"):
        EProp(fast=("readout.*",), trace="membrane").refuse(stack)
    resting, _ = dense(RefractoryLIF())
    with pytest.raises(UserError, match="RefractoryLIF given, neurons LIF"):
        EProp().refuse(resting)
