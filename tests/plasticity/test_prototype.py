"""Prototypes are the nearest class mean."""

import numpy as np
import pytest
import torch

from neurometa.core.network import READOUT, conv_network, mlp_network
from neurometa.plasticity.prototype import SCALE, Prototype, class_means
from neurometa.types import Data
from tests import oracles
from tests.small import LIVELY, Switches

WAYS = 4


def problem() -> tuple:  # type: ignore[type-arg]
    generator = torch.Generator().manual_seed(0)
    network = mlp_network((1, 4, 4), (12, 9), neuron=LIVELY, steps=6)
    rule = Prototype(WAYS)
    params = network.init(generator)
    episode = Switches(WAYS, 3, 5).sample(generator, 1)
    support, query = (Data(data.x[0], data.y[0]) for data in episode)
    return network, rule, {**params, **rule.slow(network, params, generator)}, support, query


def test_logits_are_squared_distances_to_the_class_means_but_for_one_number_a_query() -> None:
    network, rule, slow, support, query = problem()
    adapted = rule.adapt(network, slow, support)
    logits = network.run({**slow, **adapted.fast}, network.signal(query.x)).output.numpy()
    known, asked = (network.run(slow, network.signal(data.x)) for data in (support, query))
    assert all(0.01 < float(z.mean()) < 0.99 for z in known.z.values())
    centres = oracles.class_centres(known.output.numpy(), support.y.numpy(), WAYS)
    distances = oracles.squared_distances(asked.output.numpy(), centres)
    scale = float(slow[SCALE].exp())
    difference = logits + scale * distances
    np.testing.assert_allclose(difference, difference[:, :1].repeat(WAYS, 1), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(logits.argsort(1), (-distances).argsort(1))
    assert set(distances.argmin(1)) == set(range(WAYS)), "every class wins somewhere, or the ranking proves little"


def test_the_scale_starts_at_sharpness_over_features_and_does_not_change_the_winner() -> None:
    network, rule, slow, support, query = problem()
    assert float(slow[SCALE].exp()) == pytest.approx(rule.sharpness / network.features)
    outputs = []
    for factor in (1.0, 7.0):
        scaled = {**slow, SCALE: slow[SCALE] + np.log(factor)}
        fast = rule.adapt(network, scaled, support).fast
        outputs.append(network.run({**scaled, **fast}, network.signal(query.x)).output)
    assert torch.equal(outputs[0].argmax(1), outputs[1].argmax(1))
    torch.testing.assert_close(outputs[1], 7 * outputs[0], rtol=1e-12, atol=1e-13)


def test_class_means_do_not_depend_on_the_order_of_examples() -> None:
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(15, 3)), np.repeat(np.arange(5), 3)
    order = rng.permutation(15)
    expected = oracles.class_centres(features, y, 5)
    for rows in (np.arange(15), order):
        means = class_means(torch.tensor(features[rows]), torch.tensor(y[rows]), 5)
        np.testing.assert_allclose(means.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_classes_of_different_size_have_their_own_means_and_an_empty_one_is_zero() -> None:
    means = class_means(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [[2.0], [0.0], [8.0]]


def test_any_number_of_ways_can_be_written() -> None:
    network, _, slow, _, _ = problem()
    for ways in (2, 7):
        support = Switches(ways, 1, 1).sample(torch.Generator().manual_seed(1), 1).support
        fast = Prototype(ways).adapt(network, slow, Data(support.x[0], support.y[0])).fast
        assert {name: tuple(value.shape) for name, value in fast.items()} == {
            f"{READOUT}.weight": (ways, network.features),
            f"{READOUT}.bias": (ways,),
        }


def test_its_work_is_the_weights_it_writes_and_infinite_features_are_noticed() -> None:
    network, rule, slow, support, _ = problem()
    adapted = rule.adapt(network, slow, support)
    assert float(adapted.work.synaptic_updates) == WAYS * (network.features + 1)
    assert bool(adapted.finite)
    conventional = conv_network((1, 4, 4), (3,), (1,), (1,), normalise=False, neuron=LIVELY, steps=2)
    broken = {name: value * torch.inf for name, value in conventional.init(torch.Generator()).items()} | {SCALE: torch.tensor(0.0)}
    assert not bool(rule.adapt(conventional, broken, support).finite)


def test_statistics_are_the_supports() -> None:
    network = mlp_network((1, 4, 4), (12, 9), normalise=True, neuron=LIVELY, steps=6)
    _, rule, _, support, _ = problem()
    slow = network.init(torch.Generator().manual_seed(0)) | {SCALE: torch.tensor(0.0)}
    measured = network.run(slow, network.signal(support.x)).statistics
    adapted = rule.adapt(network, slow, support)
    assert measured.keys() == adapted.statistics.keys() != set()
    assert all(torch.equal(adapted.statistics[name], value) for name, value in measured.items())
    assert rule.adapt(network, {**slow, **measured}, support).statistics == {}
