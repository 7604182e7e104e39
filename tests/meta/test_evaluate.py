"""Judging a learner: what is measured, with whose statistics, and that embedding pictures once changes nothing."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from neurometa.core.encode import Direct, Encoder, Latency, Rate
from neurometa.core.network import conv_network, mlp_network
from neurometa.errors import UserError
from neurometa.meta import evaluate as module
from neurometa.meta.adapt import outcomes
from neurometa.meta.evaluate import evaluate, portrait
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.frozen import Frozen
from neurometa.plasticity.prototype import Prototype
from neurometa.tasks.base import ImageClasses
from neurometa.types import Data, Episode, Params
from tests.small import LIVELY, OneByOne

WAYS, QUERIES = 3, 2


@pytest.fixture(autouse=True)
def _single() -> None:
    """Image tasks show float32."""
    torch.set_default_dtype(torch.float32)


def pictures(shots: int = 1) -> ImageClasses:
    """Nine noisy classes of six drawings each."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(0, 2, (9, 1, 8, 8), generator=generator)
    noise = torch.rand(9, 6, 8, 8, generator=generator) < 0.2
    return ImageClasses((kind ^ noise).to(torch.uint8) * 255, WAYS, shots, QUERIES, threshold=0.5)


def learner(rule: object, encoder: Encoder, *, build: str = "conv") -> Learner:
    outputs = None if isinstance(rule, Prototype) else WAYS
    if build == "conv":
        network = conv_network((1, 8, 8), (4, 6), (1, 1), (2, 2), neuron=LIVELY, steps=4, features="spikes", outputs=outputs)
    else:
        network = mlp_network((1, 8, 8), (20, 16), normalise=True, neuron=LIVELY, steps=4, outputs=outputs)
    return Learner(network, rule, encoder)


def parameters(judged: Learner) -> Params:
    generator = torch.Generator().manual_seed(0)
    slow = judged.init(generator)
    shown = judged.encode(pictures(4).sample(generator, 1), generator).support
    return slow | judged.network.run(slow, judged.network.signal(shown.x[0])).statistics


RULES = {"prototype": Prototype(WAYS), "readout": BPTT(2, 0.5, fast=("readout.*",)), "all": BPTT(2, 0.5), "frozen": Frozen()}
ENCODERS = {"direct": Direct(4), "rate": Rate(4), "latency": Latency(4)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_accuracies_equal_those_of_a_loop_over_episodes_and_queries(rule: str, encoder: str) -> None:
    judged = learner(RULES[rule], ENCODERS[encoder])
    params = parameters(judged)
    measured = evaluate(judged, params, pictures(), 4, torch.Generator().manual_seed(3))
    assert measured.after.shape == measured.before.shape == (4,)
    generator = torch.Generator().manual_seed(3)
    episodes = judged.encode(pictures().sample(generator, 4), generator)
    for i in range(4):
        support, query = (Data(data.x[i], data.y[i]) for data in episodes)
        adapted = judged.adapt(params, support)
        one_by_one = [query.x[..., q : q + 1, :, :, :] for q in range(WAYS * QUERIES)]
        for weights, found in ((adapted.fast, measured.after[i]), ({}, measured.before[i])):
            if rule == "prototype" and not weights:
                assert float(found) == pytest.approx(1 / WAYS)
                continue
            output = torch.cat([judged.network.run({**params, **weights}, judged.network.signal(x)).output for x in one_by_one])
            assert float(found) == pytest.approx(float((output.argmax(1) == query.y).float().mean()), abs=1e-6)


@pytest.mark.parametrize("encoder", ["direct", "latency"])
@pytest.mark.parametrize("rule", ["prototype", "readout"])
def test_pictures_embedded_once_give_the_same_accuracies(rule: str, encoder: str) -> None:
    judged, task = learner(RULES[rule], ENCODERS[encoder]), pictures()
    params = parameters(judged)
    slow_way = judged._replace(plasticity=OneByOne(RULES[rule]))
    assert 40 * WAYS * (1 + QUERIES) > task.count, "too few episodes for embedding to pay"
    fast, slow = (evaluate(one, params, task, 40, torch.Generator().manual_seed(3)) for one in (judged, slow_way))
    assert torch.equal(fast.after, slow.after)
    assert torch.equal(fast.before, slow.before)
    assert (fast.spikes_per_inference, fast.rates, fast.parameters) == (slow.spikes_per_inference, slow.rates, slow.parameters)
    assert fast.after.std() > 0


def test_episodes_do_not_depend_on_how_many_are_judged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = learner(RULES["all"], Direct(4), build="mlp")
    params = parameters(judged)
    whole = evaluate(judged, params, pictures(), 4, torch.Generator().manual_seed(3))
    again = evaluate(judged, params, pictures(), 4, torch.Generator().manual_seed(3))
    assert torch.equal(whole.after, again.after), "the same seed, the same answer"
    monkeypatch.setattr(module, "EXAMPLES_AT_ONCE", 1)
    assert evaluate(judged, params, pictures(), 4, torch.Generator().manual_seed(3)).after.shape == (4,)


def test_only_rules_that_update_spiking_layers_are_judged_with_these_updates_zeroed() -> None:
    for rule, expected in (("prototype", False), ("readout", False), ("frozen", False), ("all", True)):
        judged = learner(RULES[rule], Direct(4))
        zeroed = evaluate(judged, parameters(judged), pictures(), 4, torch.Generator().manual_seed(3)).zeroed
        assert (zeroed is not None) == expected
        if zeroed is not None:
            assert zeroed.shape == (4,)


def test_zeroed_keeps_the_readouts_update_alone() -> None:
    judged = learner(RULES["all"], Direct(4))
    params = parameters(judged)
    measured = evaluate(judged, params, pictures(), 5, torch.Generator().manual_seed(3))
    episodes = pictures().sample(torch.Generator().manual_seed(3), 5)
    assert measured.zeroed is not None
    for i in range(5):
        support, query = (Data(data.x[i], data.y[i]) for data in episodes)
        fast = {name: value for name, value in judged.adapt(params, support).fast.items() if name.startswith("readout.")}
        output = judged.network.run({**params, **fast}, judged.network.signal(query.x)).output
        assert float(measured.zeroed[i]) == pytest.approx(float((output.argmax(1) == query.y).float().mean()), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_judging_changes_no_parameter(rule: str) -> None:
    judged = learner(RULES[rule], Direct(4))
    params = parameters(judged)
    before = {name: value.clone() for name, value in params.items()}
    evaluate(judged, params, pictures(), 3, torch.Generator())
    portrait(judged, params, pictures(), torch.Generator())
    assert params.keys() == before.keys()
    assert all(torch.equal(params[name], value) for name, value in before.items())


def test_spikes_and_rates_count_the_same_spikes() -> None:
    judged = learner(RULES["prototype"], Direct(4))
    params = parameters(judged)
    measured = evaluate(judged, params, pictures(), 3, torch.Generator())
    neurons = {"lif1": 4 * 8 * 8, "lif2": 6 * 4 * 4}
    assert measured.rates.keys() == neurons.keys()
    assert all(0.01 < rate < 0.9 for rate in measured.rates.values())
    assert measured.spikes_per_inference == pytest.approx(sum(4 * neurons[name] * rate for name, rate in measured.rates.items()), rel=1e-5)
    assert measured.parameters == sum(value.numel() for value in params.values())


@pytest.mark.parametrize("rule", RULES)
def test_the_portrait_shows_what_the_network_did(rule: str) -> None:
    judged = learner(RULES[rule], Direct(4))
    params = parameters(judged)
    drawn = portrait(judged, params, pictures(), torch.Generator().manual_seed(3))
    episode = pictures().sample(torch.Generator().manual_seed(3), 1)
    support, query = (Data(data.x[0], data.y[0]) for data in episode)
    np.testing.assert_array_equal(drawn["support_x"], support.x.numpy())
    np.testing.assert_array_equal(drawn["query_y"], query.y.numpy())
    weights = {**params, **judged.adapt(params, support).fast}
    record = judged.network.run(weights, judged.network.signal(query.x))
    np.testing.assert_array_equal(drawn["predicted"], record.output.argmax(1).numpy())
    assert drawn["layers"].tolist() == ["lif1", "lif2"]
    for name, rate in zip(drawn["layers"], drawn["rates"], strict=True):
        raster = drawn[f"raster/{name}"]
        assert raster.dtype == np.uint8
        np.testing.assert_array_equal(raster, record.z[name][:, 0].flatten(1).numpy())
        assert rate == pytest.approx(100 * float(record.z[name].mean()), rel=1e-5)
    if rule == "prototype":
        assert drawn["predicted_before"].tolist() == [0] * (WAYS * QUERIES)
    assert all(value.dtype != object for value in drawn.values()), "an object array needs a pickle"


def test_a_conventional_learner_has_no_spikes() -> None:
    from neurometa.baselines.relu import ReLU

    network = conv_network((1, 8, 8), (6,), (1,), (2,), neuron=ReLU(), steps=1, features="spikes")
    judged = Learner(network, Prototype(WAYS), Direct(1))
    measured = evaluate(judged, parameters(judged), pictures(), 3, torch.Generator())
    assert measured.spikes_per_inference == 0
    assert measured.rates == {}
    assert isinstance(pictures().sample(torch.Generator(), 1), Episode)


def test_an_adaptation_that_diverges_is_a_users_error() -> None:
    judged = learner(BPTT(3, 1e38), Direct(4))
    with pytest.raises(UserError, match=r"adaptation failed: rule bptt: fast weights of .* are not finite after step"):
        evaluate(judged, parameters(judged), pictures(), 3, torch.Generator())


@pytest.mark.parametrize("rule", ["prototype", "all"])
def test_progress_is_told_up_to_the_last_episode(rule: str) -> None:
    told: list[tuple[int, int]] = []
    judged = learner(RULES[rule], Direct(4))
    evaluate(judged, parameters(judged), pictures(), 60, torch.Generator(), lambda *now: told.append(now))
    assert told[-1] == (60, 60)
    assert told == sorted(set(told))


@pytest.mark.parametrize("encoder", ["direct", "latency"])
def test_without_running_statistics_each_evaluation_measures_supports_and_never_queries(encoder: str) -> None:
    judged = learner(RULES["prototype"], ENCODERS[encoder])
    params = {name: value for name, value in parameters(judged).items() if not name.endswith((".mean", ".var"))}

    class Blank(NamedTuple):
        """The same episodes with other queries."""

        ways: int = WAYS
        shape: tuple[int, ...] = (1, 8, 8)

        def sample(self, generator: torch.Generator, count: int) -> Episode:
            episodes = pictures().sample(generator, count)
            return episodes._replace(query=Data(episodes.query.x * 0, episodes.query.y))

    drawn = judged.encode(pictures().sample(torch.Generator().manual_seed(3), 30), torch.Generator())
    expected = outcomes(judged, Learner.adapt, params, drawn)
    assert expected.statistics
    assert 30 * drawn.query.y.shape[1] > pictures().count, "so many episodes that embedding would pay"
    assert torch.equal(evaluate(judged, params, pictures(), 30, torch.Generator().manual_seed(3)).after, expected.accuracy)
    blank = evaluate(judged, params, Blank(), 30, torch.Generator())
    assert torch.equal(blank.after, torch.full((30,), 1 / WAYS)), "all queries are alike, so one class is always right"
