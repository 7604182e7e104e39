"""e-prop against its definition, against backpropagation with other spikes held constant, and against finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.loss import cross_entropy
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import ALIF, LIF, CurrentLIF, RefractoryLIF
from neurometa.core.surrogate import Surrogate, spike
from neurometa.errors import UserError
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.generator import Generator
from neurometa.types import Data, Params
from tests import oracles_eprop as oracle

SURROGATE = Surrogate("fast-sigmoid", 2.0)
NEURONS = {
    "lif-hard": LIF(0.8, 0.6, hard_reset=True, surrogate=SURROGATE),
    "lif-subtract": LIF(0.8, 0.6, hard_reset=False, surrogate=SURROGATE),
    "current-hard": CurrentLIF(0.8, 0.5, 0.6, hard_reset=True, surrogate=SURROGATE),
    "current-subtract": CurrentLIF(0.8, 0.5, 0.6, hard_reset=False, surrogate=SURROGATE),
    "alif-hard": ALIF(0.8, 0.6, 0.3, 0.95, hard_reset=True, surrogate=SURROGATE),
    "alif-subtract": ALIF(0.8, 0.6, 0.3, 0.95, hard_reset=False, surrogate=SURROGATE),
}
LABELS = torch.tensor([0, 1, 2, 0])


def raster(steps: int, batch: int, n: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, n, generator=generator) < 0.3).to(torch.get_default_dtype())


def dense(neuron: Any, widths: tuple[int, ...] = (9,), **options: Any) -> tuple[Stack, Params]:
    network = mlp_network((7,), widths, neuron=neuron, steps=30, outputs=3, **options)
    return network, network.init(torch.Generator().manual_seed(1))


def learnt(rule: EProp, network: Stack, slow: Params, x: Tensor, y: Tensor) -> Params:
    """dE/dw of every fast weight: what one update with step size 1 took away."""
    adapted = rule.adapt(network, slow, Data(x, y))
    assert bool(adapted.finite), "diverged, or silent"
    return {name: slow[name] - value for name, value in adapted.fast.items()}


def cell(neuron: Any) -> oracle.Cell:
    extra = {name: getattr(neuron, name) for name in ("beta", "rho", "current_decay") if hasattr(neuron, name)}
    return oracle.Cell(neuron.decay, neuron.threshold, neuron.hard_reset, "fast-sigmoid", 2.0, **extra)


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


@pytest.mark.parametrize("output", ["membrane", "running-mean"])
def test_a_causal_loss_gives_no_learning_signal_before_the_error_and_none_of_the_future(output: str) -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    later = x.clone()
    later[20:] = 1 - later[20:]
    rule = EProp(rate=1.0, output=output)
    errors = []
    for shown in (x, later):
        said = _said(rule, network, slow, shown)
        errors.append(said)
    assert torch.equal(errors[0][:20], errors[1][:20])
    assert not torch.equal(errors[0][20:], errors[1][20:])


def _said(rule: EProp, network: Stack, slow: Params, x: Tensor) -> Tensor:
    from neurometa.plasticity import outputs, stages

    taken = stages.parts(network)
    sent, shown = stages.run(taken.stages[0], slow, {}, network.signal(x))
    return outputs.error(outputs.spoken(taken.readout, rule.output, slow, {}, shown, sent, False).output, LABELS, outputs.Window(30))


SMOOTH = Surrogate("sigmoid", 3.0, smooth=True)
JUDGED = {
    "lif-hard": LIF(0.7, 0.6, hard_reset=True, surrogate=SMOOTH),
    "lif-subtract": LIF(0.7, 0.6, hard_reset=False, surrogate=SMOOTH),
    "alif": ALIF(0.7, 0.6, 0.3, 0.9, hard_reset=True, surrogate=SMOOTH),
    "current": CurrentLIF(0.7, 0.5, 0.6, hard_reset=True, surrogate=SMOOTH),
}


class Watcher(Generator):
    """A generator whose spikes are smooth, so that finite differences can judge."""

    @property
    def neuron(self) -> ALIF:
        return super().neuron._replace(surrogate=SMOOTH)


@pytest.mark.parametrize(
    ("name", "feedback", "recurrent"),
    [
        ("lif-hard", "symmetric", True),
        ("lif-subtract", "learnt", False),
        ("alif", "learnt", True),
        ("current", "symmetric", False),
        ("lif-hard", "generator", False),
    ],
)
def test_the_meta_gradient_is_the_slope_of_the_loss_after_learning(name: str, feedback: str, recurrent: bool) -> None:
    network = mlp_network((5,), (6,), neuron=JUDGED[name], steps=8, outputs=3, readout_decay=0.6, recurrent=recurrent)
    rule = EProp(steps=2, rate=0.7, rates="per-tensor", feedback=feedback, output="running-mean", regularisation=0.3)
    rule = rule._replace(generator=Watcher(5))
    generator = torch.Generator().manual_seed(3)
    slow = network.init(generator)
    slow |= rule.slow(network, slow, generator)
    support, query = raster(8, 3, 5, 4), raster(8, 3, 5, 5)
    y = torch.tensor([0, 1, 2])

    def outer(params: Params) -> Tensor:
        fast = rule.adapt(network, params, Data(support, y)).fast
        return cross_entropy(network.run({**params, **fast}, network.signal(query)).output, y)

    leaves = {key: value.clone().requires_grad_() for key, value in slow.items()}
    found = dict(zip(leaves, torch.autograd.grad(outer(leaves), list(leaves.values())), strict=True))
    for key, value in slow.items():
        direction = torch.randn(value.shape, generator=generator)
        step = 1e-5
        up, down = (outer({**slow, key: value + s * step * direction}) for s in (1, -1))
        slope = float(up - down) / (2 * step)
        assert math.isclose(slope, float((found[key] * direction).sum()), rel_tol=1e-5, abs_tol=1e-9), key


def test_a_generator_tells_each_neuron_at_each_step_and_knows_no_future() -> None:
    network, slow = dense(NEURONS["lif-hard"], widths=(9, 8))
    rule = EProp(feedback="generator", fast=("linear*",))
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(0))
    x, z = raster(30, 4, 7), raster(30, 4, 8, seed=2)
    told = rule.generator.signals(slow, network.signal(x), z, LABELS, 3)
    assert {name: tuple(value.shape) for name, value in told.items()} == {"lif1": (30, 4, 9), "lif2": (30, 4, 8)}
    assert told["lif1"].abs().max() > 0, "a silent generator teaches nothing"
    later = x.clone()
    later[20:] = 1 - later[20:]
    other = rule.generator.signals(slow, network.signal(later), z, LABELS, 3)["lif1"]
    assert torch.equal(other[:20], told["lif1"][:20])
    assert not torch.equal(other[20:], told["lif1"][20:])
    assert (rule.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"] - slow["linear1.weight"]).abs().max() > 0


def test_random_feedback_is_fixed_and_learnt_feedback_is_not() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    x = raster(30, 4, 7)
    moved = {}
    for kind in ("random", "learnt"):
        rule = EProp(rate=1.0, feedback=kind)
        params = {**slow, **rule.slow(network, slow, torch.Generator().manual_seed(0))}
        key = f"{FEEDBACK}.lif1"
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        fast = rule.adapt(network, leaves, Data(x, LABELS)).fast
        moved[kind] = torch.autograd.grad(fast["linear1.weight"].square().sum(), [leaves[key]], materialize_grads=True)[0].abs().max()
    assert moved["random"] == 0
    assert moved["learnt"] > 0


def test_truncation_leaves_the_update_and_cuts_the_outer_gradient_through_the_traces() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    x, gradient, fast = raster(30, 4, 7), {}, {}
    for truncate in (False, True):
        rule = EProp(rate=1.0, feedback="learnt", truncate=truncate)
        params = {**slow, **rule.slow(network, slow, torch.Generator().manual_seed(0))}
        leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
        fast[truncate] = rule.adapt(network, leaves, Data(x, LABELS)).fast["linear1.weight"]
        found = torch.autograd.grad(fast[truncate].square().sum(), list(leaves.values()), materialize_grads=True)
        gradient[truncate] = dict(zip(leaves, found, strict=True))
    assert torch.equal(fast[False], fast[True])
    key = f"{FEEDBACK}.lif1"
    torch.testing.assert_close(gradient[True][key], gradient[False][key])  # learning signals are not cut
    assert (gradient[True]["linear1.weight"] - gradient[False]["linear1.weight"]).abs().max() > 1e-6


def test_tasks_together_learn_as_each_alone() -> None:
    network, slow = dense(NEURONS["alif-hard"], recurrent=True, readout_decay=0.8)
    rule = EProp(steps=2, rate=0.5)
    x = torch.stack([raster(30, 4, 7, seed) for seed in (1, 2, 3)])
    y = torch.stack([LABELS, LABELS.roll(1), LABELS.roll(2)])
    together = torch.func.vmap(lambda a, b: rule.adapt(network, slow, Data(a, b)).fast, randomness="different")(x, y)
    for i in range(3):
        for key, value in rule.adapt(network, slow, Data(x[i], y[i])).fast.items():
            torch.testing.assert_close(together[key][i], value, rtol=1e-10, atol=1e-12)


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


def test_a_regression_descends_on_the_squared_error_of_every_step() -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x, y = raster(30, 4, 7), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = learnt(EProp(rate=1.0), network, slow, x, y)
    z = network.run(slow, network.signal(x)).z["lif1"]

    def loss(weight: Tensor) -> Tensor:
        u, losses = torch.zeros_like(z[0]), []
        for now in z:
            u = 0.8 * u + 0.2 * now
            losses.append(F.mse_loss(F.linear(u, weight, slow["readout.bias"]), y))
        return torch.stack(losses).mean()

    torch.testing.assert_close(found["readout.weight"], torch.func.grad(loss)(slow["readout.weight"]), rtol=1e-10, atol=1e-13)


def test_regularisation_moves_firing_rates_towards_their_target() -> None:
    network, slow = dense(NEURONS["lif-subtract"])
    x = raster(30, 4, 7)

    def rate(params: Params) -> float:
        return float(network.run(params, network.signal(x)).z["lif1"].mean())

    for target in (0.0, 0.9):
        rule = EProp(steps=20, rate=0.5, fast=("linear1.*",), regularisation=5.0, target_rate=target)
        after = rate({**slow, **rule.adapt(network, slow, Data(x, LABELS)).fast})
        assert abs(after - target) < abs(rate(slow) - target) - 0.05


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


@pytest.mark.parametrize("chunk", [1, 7, 30])
@pytest.mark.parametrize(("name", "kappa"), [(name, kappa) for name in NEURONS for kappa in (0.0, 0.8)])
def test_chunks_of_any_length_add_up_to_the_whole_window(name: str, kappa: float, chunk: int) -> None:
    network, slow = dense(NEURONS[name], widths=(9, 8), recurrent=True, readout_decay=kappa)
    rule = EProp(rate=1.0, feedback="random")
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    x = raster(30, 4, 7)
    whole, parts = (learnt(one, network, slow, x, LABELS) for one in (rule, rule._replace(chunk=chunk)))
    for key, value in whole.items():
        assert value.abs().max() > 1e-5
        torch.testing.assert_close(parts[key], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("trace", ["plain", "membrane"])
def test_chunks_carry_every_kind_of_trace(trace: str) -> None:
    network, slow = dense(NEURONS["alif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    whole, parts = (learnt(EProp(rate=1.0, trace=trace, chunk=c), network, slow, x, LABELS) for c in (0, 11))
    torch.testing.assert_close(parts["linear1.weight"], whole["linear1.weight"], rtol=1e-10, atol=1e-13)


def test_online_updates_move_the_weights_while_the_window_runs() -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    rule = EProp(rate=0.5, chunk=10)
    at_end, online = (one.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"] for one in (rule, rule._replace(online=True)))
    assert (at_end - online).abs().max() > 1e-5
    one_chunk = rule._replace(chunk=30, online=True).adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"]
    torch.testing.assert_close(one_chunk, rule.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"])
