"""A module of torch, admitted as a network, is meta-trained exactly as the same network of ours."""

import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neurometa
from neurometa.baselines.relu import ReLU
from neurometa.core.encode import Direct
from neurometa.core.layer import Flatten, Linear, Spiking, TimeAverage
from neurometa.core.module import Module
from neurometa.core.network import Stack
from neurometa.core.surrogate import spike
from neurometa.errors import UserError
from neurometa.meta.estimators import FirstOrder, Reptile, Unrolled
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.frozen import Frozen
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Data, Episode, Network, Params
from tests.small import LIVELY, Switches

SHAPE, STEPS = (1, 4, 4), 5
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
RULES = {
    "all": BPTT(2, 0.3),
    "readout": BPTT(2, 0.3, fast=("readout.*",)),
    "learnt": BPTT(2, 0.3, "learnt"),
    "per-parameter": BPTT(2, 0.3, "per-parameter", ("readout.*", "first.weight")),
    "prototype": Prototype(2),
    "frozen": Frozen(),
}
ESTIMATORS = {"unrolled": Unrolled(), "first-order": FirstOrder(), "reptile": Reptile()}
PAIRS = [(rule, estimator) for rule in RULES for estimator in ESTIMATORS if estimator != "reptile" or rule in ("all", "readout")]


class Dense(nn.Module):
    """Dense layers; the last of them only with `ways`."""

    def __init__(self, ways: int | None) -> None:
        super().__init__()
        self.first = nn.Linear(16, 7)
        self.last = nn.Identity() if ways is None else nn.Linear(7, ways)

    def hidden(self, x: Tensor) -> Tensor:
        """Activations."""
        return self.first(x.flatten(1)).relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))


class Spikes(Dense):
    """The same with spiking neurons, whose loop over time stands in the forward."""

    def hidden(self, x: Tensor) -> Tensor:
        """Spike counts over time."""
        current, z, v, total = self.first(x.flatten(1)), 0.0, 0.0, 0.0
        for _ in range(STEPS):
            v = LIVELY.decay * v * (1 - z) + current
            z = spike(v - LIVELY.threshold, LIVELY.surrogate)
            total = total + z
        return total / STEPS


def twin(kind: type, ways: int | None) -> Stack:
    unit = [("relu", ReLU())] if kind is Dense else [("lif", Spiking(LIVELY, STEPS)), ("average", TimeAverage())]
    return Stack(SHAPE, (("flatten", Flatten()), ("first", Linear(7)), *unit, ("readout", Linear(ways))), True)


def problem(network: Network, rule: str) -> tuple[Learner, Params, Episode]:
    learner = Learner(network, RULES[rule], Direct(STEPS))
    generator = torch.Generator().manual_seed(1)
    return learner, learner.init(generator), learner.encode(Switches(2, 2, 3).sample(torch.Generator().manual_seed(2), 3), generator)


def admitted(kind: type, rule: str, *, vmappable: bool = False) -> Module:
    ways = None if rule == "prototype" else 2
    return neurometa.from_module(kind(ways), SHAPE, None if ways is None else "last", vmappable=vmappable)


@pytest.mark.parametrize("vmappable", [False, True], ids=["loop", "vmap"])
@pytest.mark.parametrize("kind", [Dense, Spikes])
@pytest.mark.parametrize(("rule", "estimator"), PAIRS)
def test_every_rule_and_estimator_gives_the_gradient_of_the_same_network_of_ours(
    kind: type, rule: str, estimator: str, vmappable: bool
) -> None:
    learner, slow, episodes = problem(admitted(kind, rule, vmappable=vmappable), rule)
    ours, other, _ = problem(twin(kind, None if rule == "prototype" else 2), rule)
    assert slow.keys() == other.keys()
    outcome, gradient = ESTIMATORS[estimator](learner, slow, episodes)
    expected_outcome, expected = ESTIMATORS[estimator](ours, slow, episodes)
    torch.testing.assert_close(gradient, expected, **CLOSE)
    torch.testing.assert_close(outcome.loss, expected_outcome.loss, **CLOSE)
    trained = {"first.weight", "readout.weight"} & gradient.keys()
    assert trained
    assert all(gradient[name].abs().sum() > 0 for name in trained)
    if kind is Spikes:
        rates = ours.network.run(slow, ours.network.signal(episodes.query.x[0])).z["lif"]
        assert 0 < float(rates.mean()) < 1


def test_the_exact_gradient_is_that_of_a_loop_written_out() -> None:
    learner, slow, episodes = problem(admitted(Spikes, "all"), "all")
    module = Spikes(2)
    leaves = {name: value.clone().requires_grad_() for name, value in slow.items()}

    def loss(weights: Params, data: Data) -> Tensor:
        theirs = {name.replace("readout", "last"): value for name, value in weights.items()}
        return F.cross_entropy(torch.func.functional_call(module, theirs, (data.x,)), data.y)

    total = torch.zeros(())
    for task in range(3):
        support, query = (Data(data.x[task], data.y[task]) for data in episodes)
        weights = leaves
        for _ in range(2):
            steps = torch.autograd.grad(loss(weights, support), list(weights.values()), create_graph=True)
            weights = {name: value - 0.3 * step for (name, value), step in zip(weights.items(), steps, strict=True)}
        total = total + loss(weights, query) / 3
    expected = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))
    outcome, gradient = Unrolled()(learner, slow, episodes)
    torch.testing.assert_close(gradient, expected, **CLOSE)
    torch.testing.assert_close(outcome.loss, total.detach(), **CLOSE)


def test_the_network_begins_with_the_modules_parameters_and_leaves_the_module_alone() -> None:
    module = Dense(2)
    network = neurometa.from_module(module, SHAPE, "last")
    x = torch.rand(3, *SHAPE)
    params = network.init(torch.Generator())
    torch.testing.assert_close(network.run(params, network.signal(x)).output, module(x).detach(), **CLOSE)
    assert params.keys() == {"first.weight", "first.bias", "readout.weight", "readout.bias"}
    params["first.weight"].zero_()
    assert module.first.weight.abs().sum() > 0
    assert network.init(torch.Generator())["first.weight"].abs().sum() > 0
    assert isinstance(module.last, nn.Linear)
    assert module.training


def test_a_module_that_begins_afresh_is_admitted_though_it_leaves_things_behind() -> None:
    learner, slow, episodes = problem(neurometa.from_module(Resets(2), SHAPE, "last"), "all")
    expected = Unrolled()(problem(twin(Dense, 2), "all")[0], slow, episodes)
    torch.testing.assert_close(Unrolled()(learner, slow, episodes)[1], expected[1], **CLOSE)


def test_a_trainer_learns_and_an_evaluation_judges() -> None:
    network = neurometa.from_module(Dense(2), SHAPE, "last", vmappable=True)
    learner, task = Learner(network, BPTT(2, 0.5), Direct(1)), Switches(2, 2, 3)
    trainer = Trainer(learner, task, Unrolled(), TrainerSettings(30, 4, learning_rate=0.02), 0)
    losses = [trainer.step().loss for _ in range(30)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    judged = evaluate(learner, trainer.parameters(), task, 20, torch.Generator().manual_seed(1))
    assert judged.after.mean() > judged.before.mean()


def test_an_evaluation_of_scores_without_a_readout_of_their_own_counts_what_they_say_before() -> None:
    own, named = (neurometa.from_module(module, SHAPE, readout) for module in [Dense(2)] for readout in (None, "last"))
    rule, task = BPTT(2, 0.5), Switches(2, 2, 3)
    params = own.init(torch.Generator())
    renamed = {name.replace("last", "readout"): value for name, value in params.items()}
    one = evaluate(Learner(own, rule, Direct(1)), params, task, 8, torch.Generator().manual_seed(1))
    two = evaluate(Learner(named, rule, Direct(1)), renamed, task, 8, torch.Generator().manual_seed(1))
    assert torch.equal(one.before, two.before)
    assert torch.equal(one.after, two.after)


def test_batch_normalisation_and_dropout_are_frozen() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 7), nn.BatchNorm1d(7), nn.Dropout(0.5), nn.ReLU(), nn.Linear(7, 2))
    module(torch.rand(30, *SHAPE))
    statistics = module[2].running_mean.clone()
    network = neurometa.from_module(module, SHAPE, "5")
    learner, slow, episodes = problem(network, "all")
    one, two = (Unrolled()(learner, slow, episodes)[0].loss for _ in range(2))
    assert torch.equal(one, two)
    params = network.init(torch.Generator())
    x = torch.rand(4, *SHAPE)
    together = network.run(params, network.signal(x)).output
    alone = torch.cat([network.run(params, network.signal(x[i : i + 1])).output for i in range(4)])
    torch.testing.assert_close(together, alone, **CLOSE)
    assert torch.equal(dict(network.body.named_buffers())["2.running_mean"], statistics)
    assert torch.equal(module[2].running_mean, statistics)


class Remembers(nn.Module):
    """Adds what it was shown last."""

    def __init__(self, buffer: bool) -> None:
        super().__init__()
        self.last = nn.Linear(16, 2)
        if buffer:
            self.register_buffer("seen", torch.zeros(2, 16))
        else:
            self.seen = torch.zeros(2, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) + 0.1 * self.seen
        self.seen = x.detach()
        return self.last(x)


class Silent(Remembers):
    """Remembers, and says nothing of it yet."""

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) > 5).to(x)


class Resets(Dense):
    """Leaves the last potential behind, but never looks at it."""

    def hidden(self, x: Tensor) -> Tensor:
        """Activations."""
        self.v = torch.zeros(len(x), 7)
        self.v = self.v + self.first(x.flatten(1))
        return self.v.relu()


class Pair(Dense):
    """Returns two things."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Doubled(Dense):
    """Does something after its readout."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Noisy(Dense):
    """Never answers alike."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(())


class OldFunction(torch.autograd.Function):
    """A function in the style that torch.func refuses, as snnTorch's surrogates are."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return x.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return g


class Old(Dense):
    """Uses it."""

    def forward(self, x: Tensor) -> Tensor:
        return OldFunction.apply(super().forward(x))


HIDDEN = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), snntorch.Leaky(0.9, init_hidden=True), nn.Linear(3, 2))
SILENT = Silent(True)
nn.init.constant_(SILENT.last.weight, 0.2)
STATISTICS = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16, track_running_stats=False), nn.Linear(16, 2))
REFUSED = {
    "a buffer": (Remembers(True), None, r"Remembers does not answer the same input always alike.*keeps state across calls \(in seen\)"),
    "an attribute": (Remembers(False), None, r"Remembers does not answer.*keeps state across calls \(in seen\)"),
    "silent": (SILENT, None, r"keeps state across calls \(in seen\)"),
    "hidden snnTorch neurons": (HIDDEN, "3", r"in .*2\.mem.*neurometa\.from_snntorch"),
    "noise": (Noisy(2), None, "or is random"),
    "batch statistics": (STATISTICS, "2", r"Sequential\.1 is BatchNorm1d without running statistics.*track_running_stats=True"),
    "two answers": (Pair(2), None, r"Pair returns tuple for an input of shape \(2, 1, 4, 4\), one tensor of shape \(2, n\) expected"),
    "a picture as answer": (nn.Identity(), None, r"Identity returns a tensor of shape \(2, 1, 4, 4\)"),
    "another shape": (nn.Linear(5, 2), None, r"Linear fails on an input of shape \(2, 1, 4, 4\): mat1 and mat2"),
    "no such readout": (Dense(2), "head", r"Dense\.head is no submodule, Linear expected: one of first, last"),
    "a readout that is not linear": (Dense(None), "last", r"Dense\.last is Identity, Linear expected: one of first"),
    "a readout in the middle": (Doubled(2), "last", r"Doubled\.last is not the last thing.*readout=None"),
    "a first layer as readout": (Dense(2), "first", r"Dense\.first is not the last thing"),
    "an old function": (Old(2), "last", r"Old cannot be differentiated by torch\.func.*neurometa\.core\.surrogate\.spike"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_admitted_is_refused_by_name(name: str) -> None:
    module, readout, message = REFUSED[name]
    torch.set_default_dtype(next((value.dtype for value in module.parameters()), torch.float32))
    with pytest.raises(UserError, match=message):
        neurometa.from_module(module, SHAPE, readout)


def test_parameters_called_readout_that_are_not_are_refused() -> None:
    module = nn.Sequential()
    module.add_module("readout", nn.Linear(4, 4))
    module.add_module("last", nn.Linear(4, 2))
    with pytest.raises(UserError, match=r"parameters called readout\.\*"):
        neurometa.from_module(module, (4,), "last")


def test_parameters_that_require_no_gradient_are_kept_and_not_trained() -> None:
    module = Dense(2)
    module.first.weight.requires_grad_(False)
    network = neurometa.from_module(module, SHAPE, "last")
    start = network.init(torch.Generator())
    assert "first.weight" not in start
    assert "first.bias" in start
    x = torch.rand(3, *SHAPE)
    torch.testing.assert_close(network.run(start, network.signal(x)).output, module(x), **CLOSE)


def test_a_readout_that_shares_its_weight_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    with pytest.raises(UserError, match=r"Sequential\.2 has a weight that is frozen or shared"):
        neurometa.from_module(module, (4,), "2")
