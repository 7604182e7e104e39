"""STDP: closed forms of isolated pairs, sums over pairs and triplets, bounds, and a teacher that names a class."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.network import averaged_last, mlp_network
from neurometa.core.neuron import LIF
from neurometa.errors import UserError
from neurometa.plasticity.pairing import Pairing, paired, quiet
from neurometa.plasticity.stdp import STDP, Teacher
from neurometa.types import Data
from tests import oracles_rules
from tests.small import LIVELY, Switches

WIDE = {"low": -100.0, "high": 100.0}
RULE = Pairing(0.7, 0.4, tau_plus=3.0, tau_minus=5.0, tau_x=11.0, tau_y=13.0, **WIDE)


def run(rule: Pairing, pre: list[int], post: list[int], steps: int = 40, start: float = 0.0) -> float:
    state = quiet(torch.full((1, 1), start))
    for t in range(steps):
        state = paired(rule, state, *(torch.tensor([float(t in times)]) for times in (pre, post)))
    return float(state.weight)


@pytest.mark.parametrize("distance", [-7, -1, 0, 1, 2, 9])
@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("triplet", [0.0, 0.3])
def test_an_isolated_pair_changes_the_weight_by_the_closed_form(distance: int, nearest: bool, triplet: float) -> None:
    found = run(RULE._replace(nearest=nearest, a3_plus=triplet, a3_minus=triplet), [15], [15 + distance])
    expected = 0.7 * np.exp(-distance / 3) if distance >= 0 else -0.4 * np.exp(distance / 5)
    assert found == pytest.approx(expected, rel=1e-12)


def test_spikes_of_one_step_change_nothing_where_they_do_not_count_as_pre_before_post() -> None:
    apart = RULE._replace(coincident=False)
    assert run(apart, [15], [15]) == 0
    assert run(apart, [15], [16]) == run(RULE, [15], [16])


@pytest.mark.parametrize("nearest", [False, True])
def test_trains_are_the_sum_over_their_pairs(nearest: bool) -> None:
    rng = np.random.default_rng(1)
    pre, post = (sorted(rng.choice(40, 9, replace=False).tolist()) for _ in range(2))
    expected = oracles_rules.stdp_pairs(pre, post, 0.7, 0.4, 3.0, 5.0, nearest)
    assert run(RULE._replace(nearest=nearest), pre, post) == pytest.approx(expected, rel=1e-11)


def test_triplets_are_those_of_pfister_and_gerstner() -> None:
    rng = np.random.default_rng(2)
    pre, post = (sorted(rng.choice(40, 9, replace=False).tolist()) for _ in range(2))
    expected = oracles_rules.stdp_triplets(pre, post, (0.7, 0.4), (0.5, 0.2), {"plus": 3.0, "minus": 5.0, "x": 11.0, "y": 13.0})
    assert run(RULE._replace(a3_plus=0.5, a3_minus=0.2), pre, post) == pytest.approx(expected, rel=1e-11)


def test_additive_changes_stop_at_the_bounds_and_multiplicative_ones_shrink_towards_them() -> None:
    often = list(range(0, 40, 2))
    hard = RULE._replace(low=-1.0, high=1.0)
    assert run(hard, often, [t + 1 for t in often]) == 1.0
    soft = hard._replace(multiplicative=True)
    assert run(soft, [10], [12], start=0.4) == pytest.approx(0.4 + 0.7 * np.exp(-2 / 3) * 0.6, rel=1e-12)
    assert run(soft, [12], [10], start=0.4) == pytest.approx(0.4 - 0.4 * np.exp(-2 / 5) * 1.4, rel=1e-12)


@pytest.mark.parametrize("multiplicative", [False, True])
def test_weights_stay_within_their_bounds_however_strong_the_rule(multiplicative: bool) -> None:
    strong = RULE._replace(low=-1.0, high=1.0, multiplicative=multiplicative, tau_plus=10.0, gain=5.0)
    found = [run(strong, list(range(n)), list(range(n))) for n in range(1, 12)]
    assert max(found) == 1
    assert min(found) >= -1


def test_an_offset_depresses_synapses_that_were_silent_before_a_postsynaptic_spike() -> None:
    offset = RULE._replace(offset=0.25)
    assert run(offset, [], [10]) == pytest.approx(-0.7 * 0.25, rel=1e-12)
    assert run(offset, [10], [10]) == pytest.approx(0.7 * 0.75, rel=1e-12)


@pytest.mark.parametrize("soft", [False, True])
def test_a_gain_of_a_presynaptic_neuron_multiplies_its_changes_alone(soft: bool) -> None:
    rule, rng = RULE._replace(multiplicative=soft, a2_plus=0.01, a2_minus=0.02, offset=0.3), np.random.default_rng(3)
    trains = (rng.random((2, 40, 4)) < 0.3).astype(float)
    weights = []
    for gain in (torch.ones(4), torch.tensor([0.5, 1.0, 1.0, 1.0])):
        state = quiet(torch.zeros(4, 4, dtype=torch.float64))
        for pre, post in zip(*trains, strict=True):
            state = paired(rule._replace(gain=gain), state, torch.from_numpy(pre), torch.from_numpy(post))
        weights.append(state.weight)
    plain, less = weights
    assert torch.equal(less[:, 1:], plain[:, 1:])
    if soft:  # a change depends on the weight there
        assert (less[:, 0].abs() < plain[:, 0].abs()).all()
    else:
        assert torch.allclose(less[:, 0], 0.5 * plain[:, 0], rtol=1e-12)


def taught(teacher: Teacher, ways: int = 3, passes: int = 1) -> tuple[Tensor, Tensor, Data]:
    network = averaged_last(mlp_network((1, 4, 4), (30,), neuron=LIVELY, steps=6))
    rule = STDP(ways, Pairing(offset=0.3), teacher, passes)
    generator = torch.Generator().manual_seed(0)
    params = network.init(generator)
    slow = {**params, **rule.slow(network, params, generator)}
    support = Switches(ways, 1, 1).sample(generator, 1).support
    known = Data(support.x[0], support.y[0])
    z = network.run(slow, network.signal(known.x)).z["lif1"]
    assert 0.05 < float(z.mean()) < 0.95, "without spikes nothing is taught"
    adapted = rule.adapt(network, slow, known)
    assert bool(adapted.finite)
    weight = adapted.fast["readout.weight"]
    return weight, network.run({**slow, **adapted.fast}, network.signal(known.x)).output, known


@pytest.mark.parametrize("teacher", [Teacher(), Teacher(LIF(), 30.0), Teacher(period=3)])
def test_a_teacher_makes_an_example_known_by_its_label(teacher: Teacher) -> None:
    weight, output, known = taught(teacher)
    assert weight.shape == (3, 30)
    assert torch.equal(output.argmax(-1), known.y)


def test_set_spikes_pair_with_the_networks_own_spikes_as_the_sum_over_pairs_says() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (9,), neuron=LIVELY, steps=8))
    rule = STDP(2, RULE._replace(a2_plus=0.07, a2_minus=0.04), Teacher(period=3))
    generator = torch.Generator().manual_seed(0)
    params = network.init(generator)
    slow = {**params, **rule.slow(network, params, generator)}
    x = Switches(2, 1, 1).sample(generator, 1).support.x[0]
    z = network.run(slow, network.signal(x)).z["lif1"].numpy()
    assert z.sum() > 10
    weight = rule.adapt(network, slow, Data(x, torch.tensor([0, 1]))).fast["readout.weight"].numpy()
    for label in range(2):
        for i in range(9):
            times = np.flatnonzero(z[:, label, i]).tolist()
            assert weight[label, i] == pytest.approx(oracles_rules.stdp_pairs(times, [0, 3, 6], 0.07, 0.04, 3.0, 5.0, False), abs=1e-12)


def test_gains_begin_at_one_and_are_meta_learned() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (9,), neuron=LIVELY, steps=8))
    plain, rule = STDP(2, RULE), STDP(2, RULE, gains="feature")
    params = network.init(torch.Generator().manual_seed(0))
    slow = {**params, **rule.slow(network, params, torch.Generator())}
    assert slow["stdp.log_gain"].shape == (9,)
    support = Switches(2, 1, 1).sample(torch.Generator().manual_seed(0), 1).support
    shown = Data(support.x[0], support.y[0])

    def weight(gains: Tensor) -> Tensor:
        return rule.adapt(network, {**slow, "stdp.log_gain": gains}, shown).fast["readout.weight"]

    assert torch.equal(weight(slow["stdp.log_gain"]), plain.adapt(network, slow, shown).fast["readout.weight"])
    jacobian = torch.func.jacrev(weight)(slow["stdp.log_gain"])  # bounds are wide: w is linear in each gain
    assert torch.allclose(torch.einsum("jii->ji", jacobian), weight(slow["stdp.log_gain"]), atol=1e-6)
    assert float(jacobian.abs().sum()) > 0


def test_a_silent_network_and_one_that_averages_first_are_noticed() -> None:
    network = mlp_network((1, 4, 4), (9,), neuron=LIVELY, steps=4)
    params = network.init(torch.Generator())
    rule, support = STDP(2), Data(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    slow = {**params, **rule.slow(network, params, torch.Generator())}
    with pytest.raises(UserError, match="window"):
        rule.adapt(network, slow, support)
    assert not bool(rule.adapt(averaged_last(network), slow, support).finite)
