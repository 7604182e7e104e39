"""A readout that learns on the chip: what it is given, what it learns, what it answers, and that Lava does the same."""

import numpy as np
import pytest
import torch

from neurometa.core.network import Stack, averaged_last, conv_network, mlp_network
from neurometa.core.neuron import LIF
from neurometa.errors import UserError
from neurometa.export import lava
from neurometa.export.bundle import Learning
from neurometa.export.emulator import play
from neurometa.export.learning import FINE, Learned, _sigmoid, learn
from neurometa.export.loihi import calibrate, chip_input, fold, rounded
from neurometa.export.loihi.readout import answers, attached, shown
from neurometa.export.loihi.taught import Seen, Taught, taught
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.hebbian import Hebbian
from neurometa.plasticity.pairing import Pairing
from neurometa.plasticity.prototype import Prototype
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP, Teacher
from neurometa.types import Data, Params

WAYS, STEPS, BATCH, QUERIES = 3, 3, 2, 4
RULES = {
    "prototype": Prototype(WAYS),
    "stdp": STDP(WAYS, Pairing(0.1, 0.05, tau_plus=3.0, tau_minus=2.0)),
    "soel": SOEL(WAYS, rate=0.6, tau=2.0, passes=2, signal_delay=1, output="membrane"),
    "eprop": EProp(2, 0.15, fast=("readout.*",), ways=WAYS, examples="single", signal_delay=1),
}


class Case:
    """A small body of three spiking layers, deeper than its window is long, whose biases fire without input; pictures, and a rule."""

    def __init__(self, name: str, generator: torch.Generator) -> None:
        self.rule = RULES[name]
        network = mlp_network((1, 6, 6), (40, 30, 24), neuron=LIF(0.8, 0.4), steps=STEPS)
        self.params: Params = network.init(generator)
        self.params |= {key: 0.3 * torch.rand(value.shape, generator=generator) for key, value in self.params.items() if "bias" in key}
        self.network = network
        pictures = (torch.rand(BATCH, WAYS + QUERIES, 1, 6, 6, generator=generator) < 0.4).double()
        pictures[:, WAYS:] = pictures[:, torch.arange(QUERIES) % WAYS]  # queries are supports with a few pixels off
        pictures[:, WAYS:, 0, 0, :2] = 1
        self.labels = np.stack([np.random.default_rng(b).permutation(WAYS) for b in range(BATCH)], -1)
        self.pictures = pictures
        folded = fold(network, self.params, STEPS)
        x = network.signal(pictures.flatten(0, 1))
        self.body, _ = rounded(folded, calibrate(folded, x)[0], "body")
        self.given = chip_input(self.body, folded, x)[0].reshape(-1, BATCH, WAYS + QUERIES)
        played = play(self.body, self.given.reshape(len(self.given), -1), timed=False)
        self.features = played.spikes["lif3"][-STEPS:].reshape(STEPS, 24, BATCH, WAYS + QUERIES)
        weight, total = self.float_weights()
        self.taught = taught(self.rule, Seen(float(np.abs(weight).max()), total), STEPS, WAYS, 1)
        self.bundle = attached(self.body, self.taught, WAYS, WAYS, QUERIES)
        rows = self.given.transpose(2, 0, 1)[:, None].repeat(STEPS, 1)
        self.input = shown(self.bundle, self.taught, rows[:WAYS], self.labels, rows[WAYS:])

    def float_weights(self) -> tuple[np.ndarray, float]:
        """What the float rule makes of the chip's features, (batch, ways, features), and its largest sum."""
        z = self.features.astype(np.float64)
        support, weights = z[..., :WAYS], []
        for b in range(BATCH):
            if isinstance(self.rule, Prototype):
                weights.append(np.stack([support[:, :, b, self.labels[:, b] == k].sum((0, 2)) for k in range(WAYS)]))
                continue
            seen = torch.from_numpy(support[:, :, b].transpose(0, 2, 1).copy())
            readout = Stack((24,), averaged_last(self.network).layers[-2:], True)
            if isinstance(self.rule, EProp):
                weights.append(descended(self.rule, seen.numpy(), self.labels[:, b]))
                continue
            slow = self.rule.slow(readout, {}, torch.Generator())
            weights.append(self.rule.adapt(readout, slow, Data(seen, torch.from_numpy(self.labels[:, b]))).fast["readout.weight"].numpy())
        every = np.stack(weights)
        return every, float(np.abs(np.einsum("bkf,tfbq->tbkq", every, z).cumsum(0)).max())


def descended(rule: EProp, z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """e-prop of a readout whose answer is a sigmoid that is 1 / ways at rest, each error meeting the spikes one step later."""
    w = np.zeros((WAYS, z.shape[2]))
    for _ in range(rule.steps):
        for k in range(z.shape[1]):
            late = np.zeros(WAYS)
            for t in range(len(z)):
                moved = rule.rate * WAYS / len(z) * np.outer(late, z[t, k])
                y = 1 / (1 + (WAYS - 1) * np.exp(-(w @ z[t, k])))
                late = (np.arange(WAYS) == labels[k]) - y
                w = w + moved
    return w


@pytest.fixture(params=RULES)
def case(request: pytest.FixtureRequest, generator: torch.Generator) -> Case:
    return Case(request.param, generator)


def slot(case: Case, number: int, name: str) -> slice:
    """When a population sees a slot."""
    onset = next(one.onset for one in case.bundle.network.populations if one.name == name)
    return slice(onset + number * STEPS, onset + (number + 1) * STEPS)


def test_every_picture_makes_the_spikes_that_it_makes_alone(case: Case) -> None:
    found = learn(case.bundle, case.input)
    assert case.features.sum() > 50
    for k in range(WAYS):
        at = k * (1 + case.taught.blank)
        np.testing.assert_array_equal(found.spikes["lif3"][slot(case, at, "lif3")], case.features[..., k])
        for name in ("lif1", "lif2", "lif3"):  # whose biases alone would make them fire
            dark = slot(case, at, name).stop
            assert not found.spikes[name][dark : dark + case.taught.blank * STEPS].any()
            assert not found.spikes[name][1 : slot(case, 0, name).start].any()
    first = case.taught.slots(WAYS, 0)
    for k in range(QUERIES):
        np.testing.assert_array_equal(found.spikes["lif3"][slot(case, first + k, "lif3")], case.features[..., WAYS + k])
    assert len(found.spikes["lif3"]) == case.bundle.network.steps


def test_only_a_teacher_makes_the_answer_spike(case: Case) -> None:
    found = learn(case.bundle, case.input)
    expected = np.zeros_like(found.spikes["out"])
    if case.taught.period:
        for k in range(WAYS):
            expected[slot(case, k * (1 + case.taught.blank), "lif3"), case.labels[k], np.arange(BATCH)] = 1
    np.testing.assert_array_equal(found.spikes["out"], expected)


def test_weights_are_those_of_the_float_rule(case: Case) -> None:
    found = learn(case.bundle, case.input).weights["readout"]
    wanted = case.float_weights()[0] * case.taught.scale
    assert np.abs(wanted).max() > 100
    if isinstance(case.rule, Prototype):
        np.testing.assert_array_equal(found, wanted)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98
    assert np.abs(found - wanted).mean() < 0.06 * np.abs(wanted).max()


def test_an_answer_is_the_nearest_class(case: Case) -> None:
    found = learn(case.bundle, case.input, record=False)
    told = answers(case.bundle, case.taught, found.read["out"], found.weights["readout"], QUERIES)
    z, w = case.features[..., WAYS:].sum(0).astype(float), found.weights["readout"].astype(float)
    score = np.einsum("bkf,fbq->qkb", w, z)
    if isinstance(case.rule, Prototype):
        c = w / case.taught.scale
        score = 2 * np.einsum("bkf,fbq->qkb", c, z) - np.square(c).sum(-1).T
    if case.taught.modulation and case.taught.decay < 4095:
        pytest.skip("a filtered answer weighs early spikes more; the potentials are compared with Lava's")
    np.testing.assert_array_equal(told, score.argmax(1))


@pytest.mark.slow
def test_lava_learns_the_same() -> None:
    if lava.interpreter() is None:
        pytest.skip("no Lava environment: `neurometa lava install` makes one; no readout was compared with Lava's")
    cases = {name: Case(name, torch.Generator().manual_seed(i)) for i, name in enumerate(RULES)}
    played = lava.learn([(case.bundle, case.input, {}) for case in cases.values()])
    for (name, case), theirs in zip(cases.items(), played, strict=True):
        ours = learn(case.bundle, case.input)
        assert np.abs(ours.weights["readout"]).max() > 50, name
        for what in Learned._fields:
            for key, values in getattr(ours, what).items():
                np.testing.assert_array_equal(getattr(theirs, what)[key], values, err_msg=f"{name}: {what} of {key}")


def test_four_lines_are_close_to_a_sigmoid() -> None:
    x = np.arange(-8 * FINE, 8 * FINE + 1)
    found = _sigmoid(x) / FINE
    assert np.abs(found - 1 / (1 + np.exp(-x / FINE))).max() < 0.0195
    assert (np.diff(found) >= -5 / FINE).all()  # two of the lines meet a little beside each other
    np.testing.assert_allclose(found + found[::-1], 1, atol=2 / FINE)


@pytest.mark.parametrize(
    ("rule", "steps", "says"),
    [
        (STDP(3, teacher=Teacher(LIF())), 4, "stdp.teacher = 'current'"),
        (STDP(3, gains="feature"), 4, "stdp.gains = 'feature'"),
        (RewardModulated(3), 4, "p_j is normalised over all neurons"),
        (Hebbian(3), 4, "plasticity hebbian does not fit"),
        (EProp(fast=("*",), examples="single"), 4, "eprop.fast"),
        (SOEL(3, signal_delay=2), 4, "soel.signal_delay = 2"),
        (EProp(fast=("readout.*",), examples="single", signal_delay=3), 4, "eprop.signal_delay = 3"),
        (Prototype(3), 300, "300 steps of 1 examples of a class do not fit a weight"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule, steps: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        taught(rule, Seen(0.5, 4.0), steps, 3, 1)


def test_a_readout_that_learnt_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="weights are all 0"):
        taught(STDP(3), Seen(0.0, 0.0), 4, 3, 1)


COUNTED = Taught(Learning("2*x0*y0"), None, 2.0, 0, 4095, STEPS, 1, 1, 0, 1)
UNFIT = {
    "network.delay = 0": lambda: mlp_network((1, 6, 6), (12, 10), neuron=LIF(), steps=STEPS, delay=1),
    "not recurrent": lambda: mlp_network((1, 6, 6), (12, 10), neuron=LIF(), steps=STEPS, recurrent=True),
    "features = 'spikes'": lambda: conv_network((1, 6, 6), (4, 4), (1, 1), (1, 1), normalise=False, neuron=LIF(), steps=STEPS),
}


@pytest.mark.parametrize("says", UNFIT)
def test_a_body_whose_spikes_would_not_do_is_refused(says: str, generator: torch.Generator) -> None:
    network = UNFIT[says]()
    params = network.init(generator)
    folded = fold(network, params, STEPS)
    x = network.signal((torch.rand(4, 1, 6, 6, generator=generator) < 0.4).double())
    bundle, _ = rounded(folded, calibrate(folded, x)[0], "body")
    with pytest.raises(UserError, match=says):
        attached(bundle, COUNTED, WAYS, WAYS, QUERIES)
