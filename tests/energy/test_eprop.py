"""e-prop is counted as a chip has to do it: by hand on a small network, and counting changes nothing."""

import pytest
import torch

from neurometa.chips.read import shipped
from neurometa.core.encode import Direct
from neurometa.core.network import mlp_network
from neurometa.core.neuron import ALIF, LIF
from neurometa.energy import eprop
from neurometa.energy.counts import means
from neurometa.energy.estimate import estimate
from neurometa.energy.workload import LEARNING, measure
from neurometa.errors import UserError
from neurometa.meta.learner import Learner
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.step_size import Columns
from tests.energy.nets import STEPS
from tests.small import Switches

TASK = Switches()
PIXELS, HIDDEN, WAYS, SHOWN = 16, 8, 2, 2
RULE, NEURON = EProp(steps=2, rate=0.1), LIF(0.6, 0.4)


def learner(rule=RULE, neuron=NEURON, **network):
    net = mlp_network((1, 4, 4), (HIDDEN,), neuron=neuron, steps=STEPS, outputs=WAYS, **network)
    made = Learner(net, rule, Direct(STEPS))
    return made, made.init(torch.Generator().manual_seed(3))


def counted(*args, **kwargs):
    made, params = learner(*args, **kwargs)
    found = measure(made, params, TASK, 3, torch.Generator().manual_seed(1))
    assert found.adaptation.total.spikes > 0, "a silent network proves nothing"
    return found.adaptation, means(found.adaptation.layers[LEARNING])


def test_every_plastic_synapse_is_visited_at_every_step():
    """16 x 8 and 8 x 2 synapses and 8 + 2 biases; 2 passes of 2 examples of 5 steps."""
    phase, work = counted()
    steps, synapses = 2 * SHOWN * STEPS, PIXELS * HIDDEN + HIDDEN * WAYS
    assert (phase.rule, phase.windows, phase.runs) == ("local", 2 * SHOWN, 2)
    assert work.synaptic_updates == steps * (synapses + HIDDEN + WAYS)
    assert work.learning_signals == steps * HIDDEN * WAYS
    assert work.trace_updates == steps * (PIXELS * HIDDEN + HIDDEN + HIDDEN)  # exact: by synapse; before the readout and behind: by neuron


def test_traces_are_one_a_neuron_where_the_eligibility_factorises():
    work = counted(EProp(steps=2, rate=0.1, trace="plain"))[1]
    assert work.trace_updates == 2 * SHOWN * STEPS * (PIXELS + HIDDEN + HIDDEN)
    free = LIF(0.6, 0.4, hard_reset=False, reset_gradient=False)
    assert counted(EProp(steps=2, rate=0.1), free)[1].trace_updates == work.trace_updates


def test_a_leaking_readout_filters_the_eligibility_of_each_synapse():
    plain = counted(EProp(trace="plain"))[1]
    leaking = counted(EProp(trace="plain"), readout_decay=0.8)[1]
    assert leaking.trace_updates - plain.trace_updates == SHOWN * STEPS * PIXELS * HIDDEN


def test_an_adapting_threshold_takes_a_trace_at_each_synapse():
    adapting = ALIF(0.6, 0.4, hard_reset=False, reset_gradient=False)
    assert counted(EProp(), adapting)[1].trace_updates == SHOWN * STEPS * (PIXELS * HIDDEN + 2 * HIDDEN)
    assert counted(EProp(trace="membrane"), adapting)[1].trace_updates == SHOWN * STEPS * (PIXELS + 2 * HIDDEN)


def test_what_does_not_learn_is_not_visited():
    work = counted(EProp(fast=("readout.*",)))[1]
    assert work.synaptic_updates == SHOWN * STEPS * (HIDDEN + 1) * WAYS
    assert (work.learning_signals, work.trace_updates) == (0, SHOWN * STEPS * HIDDEN)


@pytest.mark.parametrize(("trace", "traces"), [("exact", 6 * HIDDEN + 2 * HIDDEN), ("plain", 6 + 2 * HIDDEN)])
def test_of_some_inputs_only_their_synapses_are_visited_and_traced(trace, traces):
    some = EProp(fast=("linear1.weight", "readout.*"), columns=(Columns("linear1.weight", 0, 6),), trace=trace)
    work = counted(some)[1]
    assert work.synaptic_updates == pytest.approx(SHOWN * STEPS * (6 * HIDDEN + (HIDDEN + 1) * WAYS))
    assert work.trace_updates == pytest.approx(SHOWN * STEPS * traces)


def test_recurrent_synapses_are_visited_like_all_others():
    without, within = counted(EProp())[1], counted(EProp(), recurrent=True)[1]
    assert within.synaptic_updates - without.synaptic_updates == SHOWN * STEPS * HIDDEN * HIDDEN


@pytest.mark.parametrize("rule", [EProp(steps=3, rate=0.1), EProp(steps=2, rate=0.1, examples="single"), EProp(feedback="random"),
                                  EProp(steps=3, rate=0.1, ways=WAYS)])  # fmt: skip
def test_counting_pass_by_pass_moves_the_same_weights_to_the_bit(rule):
    made, params = learner(rule)
    support = made.encode(TASK.sample(torch.Generator().manual_seed(5), 1), torch.Generator()).support
    support = support._replace(x=support.x[0], y=support.y[0])
    seen = []
    with torch.no_grad():
        expected = rule.adapt(made.network, params, support)
        found = eprop.adapted(rule, made.network, params, support, lambda weights, examples: seen.append(len(examples.y)))
    assert all(torch.equal(found.fast[name], value) for name, value in expected.fast.items())
    assert any(not torch.equal(params[name], value) for name, value in found.fast.items()), "nothing moved"
    assert seen == ([1] * 4 if rule.examples == "single" else [SHOWN] * rule.steps)
    assert [float(x) for x in found.work] == [float(x) for x in expected.work]


def test_learning_signals_from_a_network_of_their_own_are_refused():
    made, params = learner(EProp(feedback="generator"))
    with pytest.raises(UserError, match="feedback generator given, whose own network is not counted"):
        measure(made, params, TASK, 1, torch.Generator())


def test_a_chip_pays_for_the_synapses_visited_and_names_what_has_no_price():
    phase, work = counted()
    found = estimate(shipped()["loihi1-davies2018"], phase)
    assert found.parts["synaptic_update"].to("pJ")["value"] == pytest.approx(120 * work.synaptic_updates)
    assert any("trace updates" in sentence for sentence in found.left_out)
    assert any("learning signals" in sentence for sentence in found.left_out)
    assert found.lower_bound


def test_a_board_multiplies_once_for_each_visit_trace_and_signal():
    phase, work = counted()
    whole = phase.total
    found = estimate(shipped()["cortex-m-apollo"], phase).parts["mac"].to("pJ")["value"]
    one = found / (whole.dense_macs + work.synaptic_updates + work.trace_updates + work.learning_signals)
    assert one == pytest.approx(20 * 1.73, rel=0.01)
