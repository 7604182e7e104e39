"""What inference and adaptation do: counted over episodes, and counting changes nothing."""

import pytest
import torch

from neurometa.baselines.relu import ReLU
from neurometa.core.encode import Direct
from neurometa.core.layer import Linear, Norm
from neurometa.core.network import Stack, averaged_last, mlp_network
from neurometa.energy.counts import means
from neurometa.energy.workload import LEARNING, measure
from neurometa.errors import UserError
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.frozen import Frozen
from neurometa.plasticity.hebbian import Hebbian
from neurometa.plasticity.prototype import Prototype
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP
from neurometa.types import Adapted, Work
from tests.energy.nets import STEPS, conv
from tests.small import LIVELY, Switches

TASK = Switches()


def network(head=True, spiking=True):
    """conv 3x3 with 3 channels, neurons, pool, conv with 4 channels and stride 2, 4 features, readout."""
    layers = conv(LIVELY, side=4).layers
    if not spiking:
        layers = tuple((name, ReLU()) if name == "lif1" else (name, layer) for name, layer in layers)
    return Stack((1, 4, 4), (*layers[:-1], ("readout", Linear(2 if head else None))), False)


def done(rule, head=True, spiking=True, episodes=3):
    learner = Learner(network(head, spiking), rule, Direct(STEPS))
    params = learner.init(torch.Generator().manual_seed(2))
    params |= {"norm1.mean": torch.zeros(3), "norm1.var": torch.ones(3), "norm2.mean": torch.zeros(4), "norm2.var": torch.ones(4)}
    return learner, params, measure(learner, params, TASK, episodes, torch.Generator().manual_seed(5))


def plain(learner, params, episodes=3):
    """The same episodes without counting."""
    generator, outputs = torch.Generator().manual_seed(5), []
    for _ in range(episodes):
        episode = learner.encode(TASK.sample(generator, 1), generator)
        support, query = (type(data)(data.x[0], data.y[0]) for data in episode)
        with torch.no_grad():
            weights = {**params, **learner.adapt(params, support).fast}
            outputs.append(learner.network.run(weights, learner.network.signal(query.x)).output)
    return torch.cat(outputs)


RULES = {
    "prototype": (Prototype(2), False),
    "all weights": (BPTT(steps=2, rate=0.1), True),
    "readout": (BPTT(steps=2, rate=0.1, fast=("readout.*",)), True),
    "frozen": (Frozen(), True),
}


@pytest.mark.parametrize("name", [name for name in RULES if name != "readout"])
def test_counting_does_not_change_an_answer_by_a_bit(name):
    learner, params, found = done(*RULES[name])
    assert torch.equal(found.outputs, plain(learner, params))


def test_a_readout_trained_on_features_computed_once_answers_the_same():
    learner, params, found = done(*RULES["readout"])
    torch.testing.assert_close(found.outputs, plain(learner, params))


def test_a_frozen_learner_does_nothing_to_adapt():
    found = done(*RULES["frozen"])[2]
    assert found.adaptation.rule == "none"
    assert all(x == 0 for x in found.adaptation.total)
    assert found.adaptation.windows == 0
    assert found.inference.total.spikes > 0


def test_prototypes_show_each_example_once_and_write_the_readout():
    found = done(*RULES["prototype"])[2]
    work = means(found.adaptation.layers[LEARNING])
    assert (found.adaptation.rule, found.adaptation.windows, found.adaptation.runs) == ("closed-form", 2, 1)
    assert work.weight_writes == 2 * 4 + 2
    assert work.host_operations == 2 * 4 + 2 * 2 * 4
    assert found.adaptation.total.backward_macs == found.adaptation.total.synaptic_updates == 0
    dense = means(found.adaptation.layers["conv1"]).dense_macs
    assert dense == 2 * means(found.inference.layers["conv1"]).dense_macs
    assert found.adaptation.total.synaptic_events > 0


@pytest.mark.parametrize(
    ("rule", "times"), [(STDP(2), 1), (SOEL(2, passes=2), 2), (RewardModulated(2, trials=3), 3), (Hebbian(2), 1)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_local_rules_show_each_example_as_often_as_they_learn_from_it_and_report_what_they_did(rule, times):
    spiking = averaged_last(mlp_network((1, 4, 4), (8,), neuron=LIVELY, steps=STEPS))
    learner = Learner(spiking, rule, Direct(STEPS))
    found = measure(learner, learner.init(torch.Generator().manual_seed(0)), TASK, 3, torch.Generator().manual_seed(1))
    assert (found.adaptation.rule, found.adaptation.windows) == ("local", 2 * times)
    work = means(found.adaptation.layers[LEARNING])
    assert work.synaptic_updates > 0
    assert work.trace_updates > 0
    assert found.adaptation.total.dense_macs > 0
    assert work.optimiser_macs == 0
    assert found.adaptation.total.spikes > 0


def test_descent_on_all_weights_runs_forward_and_backward_at_every_step():
    _, params, found = done(*RULES["all weights"])
    layers = {name: means(counts) for name, counts in found.adaptation.layers.items()}
    once = {name: means(counts) for name, counts in found.inference.layers.items()}
    assert (found.adaptation.rule, found.adaptation.windows, found.adaptation.runs) == ("gradient", 4, 2)
    assert (found.adaptation.passes, found.adaptation.alone) == (4, 0)
    for name in ("conv1", "conv2", "readout"):
        assert layers[name].dense_macs == 4 * once[name].dense_macs
        assert layers[name].backward_macs == (1 if name == "conv1" else 2) * layers[name].dense_macs
    moved = sum(value.numel() for name, value in params.items() if not name.endswith((".mean", ".var")))
    assert layers[LEARNING].optimiser_macs == 2 * moved


def test_descent_on_the_readout_leaves_the_rest_to_one_forward_pass():
    found = done(*RULES["readout"])[2]
    layers = {name: means(counts) for name, counts in found.adaptation.layers.items()}
    assert layers["conv1"].dense_macs == 2 * means(found.inference.layers["conv1"]).dense_macs
    assert layers["conv1"].backward_macs == layers["conv2"].backward_macs == 0
    assert layers["readout"].host_macs == layers["readout"].backward_macs == 2 * 2 * 2 * 4  # steps, examples, classes, features
    assert layers[LEARNING].optimiser_macs == 2 * (2 * 4 + 2)
    assert (found.adaptation.windows, found.adaptation.runs) == (2, 1)
    assert (found.adaptation.passes, found.adaptation.alone) == (1, 4), "features once; the readout forward and backward in two steps"
    conventional = done(*RULES["readout"], spiking=False)[2].adaptation
    assert (conventional.passes, conventional.alone) == (5, 0)


def test_a_conventional_learner_has_no_events_in_either_phase():
    for rule, head in RULES.values():
        found = done(rule, head, spiking=False)[2]
        for phase in (found.inference, found.adaptation):
            assert not phase.spiking
            assert phase.total.synaptic_events == phase.total.host_macs == phase.total.spikes == 0
        assert found.inference.total.dense_macs > 0


class Visiting:
    """A rule of tomorrow: it runs the network once and reports the synapses that it visited."""

    exact_graph, readout_only = False, False

    def slow(self, network, params, generator):
        return {}

    def adapt(self, network, slow, support, noise=None):
        record = network.run(slow, network.signal(support.x))
        fast = {"readout.weight": slow["readout.weight"] + 0.1}
        return Adapted(fast, Work.of(synaptic_updates=60, trace_updates=40, learning_signals=6), torch.tensor(True), record.statistics)


def test_a_rule_that_is_not_known_here_is_counted_by_the_work_that_it_reports():
    found = done(Visiting())[2]
    work = means(found.adaptation.layers[LEARNING])
    assert (found.adaptation.rule, found.adaptation.windows) == ("local", 2)
    assert (work.synaptic_updates, work.trace_updates, work.learning_signals) == (60, 40, 6)
    assert found.adaptation.total.synaptic_events > 0


def test_a_network_that_is_no_row_of_layers_is_refused():
    learner = done(*RULES["prototype"])[0]._replace(network=object())
    with pytest.raises(UserError, match="a network of kind object cannot be counted"):
        measure(learner, {}, TASK, 1, torch.Generator())


def test_a_readout_from_zero_on_normalised_features_is_counted():
    layers = network(head=False).layers
    whole = Stack((1, 4, 4), (*layers[:-1], ("features", Norm()), layers[-1]), False)
    learner = Learner(whole, BPTT(steps=2, rate=0.1, fast=("readout.*",), ways=2), Direct(STEPS))
    params = learner.init(torch.Generator().manual_seed(2))
    for name, size in (("norm1", 3), ("norm2", 4), ("features", 4)):
        params |= {f"{name}.mean": torch.zeros(size), f"{name}.var": torch.ones(size)}
    found = measure(learner, params, TASK, 2, torch.Generator().manual_seed(5))
    layers = {name: means(counts) for name, counts in found.adaptation.layers.items()}
    assert layers["readout"].host_macs == layers["readout"].backward_macs == 2 * 2 * 2 * 4
    assert layers[LEARNING].optimiser_macs == 2 * (2 * 4 + 2)
    assert found.inference.total.synaptic_events > 0


@pytest.mark.parametrize("rule", [BPTT(steps=2, rate=0.1), Prototype(2)])
def test_what_an_episode_did_stands_at_its_place(rule):
    """Counts of one episode after another, each measured by itself, are those of all measured together."""
    learner, params, found = done(rule, head=not rule.readout_only)
    generator = torch.Generator().manual_seed(5)
    alone = [measure(learner, params, TASK, 1, generator).adaptation.layers for _ in range(3)]
    for name, counts in found.adaptation.layers.items():
        for field, whole in counts._asdict().items():
            assert torch.equal(whole, torch.cat([getattr(one[name], field) for one in alone])), (name, field)
    assert len(set(found.adaptation.layers["conv1"].synaptic_events.tolist())) > 1, "episodes alike prove nothing"
