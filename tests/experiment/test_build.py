from pathlib import Path

import pytest
import torch

from neurometa.baselines.relu import ReLU
from neurometa.core import encode
from neurometa.core.neuron import LIF
from neurometa.errors import UserError
from neurometa.experiment import build, session
from neurometa.experiment.build import Question
from neurometa.experiment.progress import Silent
from neurometa.plasticity import bptt

BPTT = {"plasticity.kind": "bptt"}
CONV = {"network": {"kind": "conv", "channels": [4, 4], "strides": [2, 2], "pools": [1, 1]}}


def refused(experiment, *words):
    with pytest.raises(UserError) as caught:
        session.start(experiment, Path("/nowhere"), None, Silent())
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("estimator", ["first-order", "reptile"])
@pytest.mark.parametrize("rates", ["learnt", "per-parameter"])
def test_an_estimator_that_gives_learnt_rates_no_gradient_is_refused(experiment, estimator, rates):
    changes = {**BPTT, "plasticity.rates": rates, "estimator.kind": estimator}
    refused(experiment(changes), f"estimator {estimator}", "choose estimator unrolled")


@pytest.mark.parametrize("rule", ["prototype", "frozen"])
def test_reptile_without_moving_weights_is_refused(experiment, rule):
    refused(experiment({"plasticity.kind": rule, "estimator.kind": "reptile"}), "reptile", rule, "choose estimator unrolled")


def test_a_rule_without_exact_graph_is_refused_where_the_estimator_needs_one(experiment, monkeypatch):
    monkeypatch.setattr(bptt.BPTT, "exact_graph", False)
    refused(experiment(BPTT), "estimator unrolled", "plasticity bptt", "choose estimator first-order, reptile or evolution")
    for estimator in ("first-order", "reptile"):
        assert build.trainer(experiment({**BPTT, "estimator.kind": estimator}), None).step().step == 1


def test_fast_patterns_that_match_nothing_list_the_names(experiment):
    refused(experiment({**BPTT, "plasticity.fast": ["readuot.*"]}), "'readuot.*'", "readout.weight", "linear1.weight")
    refused(experiment({**BPTT, "plasticity.fast": ["readout.*", "x"]}), "'x'")
    refused(experiment({**BPTT, "plasticity.fast": []}), "choose plasticity frozen")


@pytest.mark.parametrize("rule", ["bptt", "frozen"])
def test_an_evaluation_with_other_ways_than_a_fixed_head_is_refused(experiment, rule):
    refused(experiment({"plasticity.kind": rule, "evaluation.ways": 5}), "5 ways given", "3 ways it is trained on")


def test_patterns_of_what_is_trained_must_match_something(experiment):
    refused(experiment({"training.trains": ["prototipe.*"]}), "'prototipe.*'", "prototype.log_scale")
    moved = build.trainer(experiment({"training.trains": ["prototype.*"]}), None)
    assert set(moved.slow) == {"prototype.log_scale"}


def test_a_hebbian_learner_takes_any_ways_unless_each_synapse_has_a_coefficient(experiment):
    hebbian = {"plasticity.kind": "hebbian", "evaluation.ways": 5}
    assert build.unseen(experiment(hebbian), build.question(experiment(hebbian)), None).ways == 5
    refused(experiment({**hebbian, "plasticity.coefficients": "synapse"}), "5 ways given", "3 ways it is trained on")
    refused(experiment({**hebbian, "plasticity.head": "own"}), "5 ways given")
    refused(experiment({**hebbian, "plasticity.trace": 0.5}), "plasticity.gated = true")


@pytest.mark.parametrize("rule", ["stdp", "soel", "reward"])
def test_local_rules_refuse_what_they_cannot_do(experiment, rule):
    local = {"plasticity.kind": rule}
    sines = {"task": {"kind": "sinusoid"}, "encoding": {"kind": "population"}}
    refused(experiment({**local, **sines}), f"plasticity {rule}", "choose bptt or hebbian")
    if rule == "reward":
        refused(experiment({**local, "training.redeal": True}), "choose redeal false")
        return
    refused(experiment({**local, "network.features": "current"}), "choose features 'spikes'")
    refused(experiment({**local, "network.normalise_features": True}), "choose normalise_features false")
    refused(experiment({**local, "network.neuron": {"kind": "relu"}}), "choose neuron lif")


def test_bounds_of_stdp_lie_around_zero(experiment):
    for low, high in ((0.5, 1.0), (1.0, -1.0)):
        refused(experiment({"plasticity": {"kind": "stdp", "low": low, "high": high}}), f"plasticity.low = {low}")


@pytest.mark.parametrize("rule", [{"kind": "stdp"}, {"kind": "stdp", "teacher": "current", "bounds": "multiplicative"}, {"kind": "soel"}])
def test_rules_of_spike_times_learn_and_are_judged_as_everywhere_else(experiment, rule, tmp_path):
    _, summary = session.start(experiment({"plasticity": {**rule, "passes": 1}, "training.steps": 8}), tmp_path, None, Silent())
    assert summary["accuracy"]["mean"] > 40
    assert summary["before_adaptation"]["mean"] == pytest.approx(100 / 3)
    assert summary["spikes_per_inference"] > 0


def test_reward_explores_anew_in_every_episode_and_reproducibly(experiment, tmp_path):
    made = experiment({"plasticity": {"kind": "reward", "trials": 4}, "training.steps": 3})
    one, two = (session.start(made, tmp_path / name, None, Silent())[1] for name in "ab")
    assert one["accuracy"] == two["accuracy"]
    assert one["accuracy"]["mean"] > 100 / 3


@pytest.mark.data
def test_characters_pass_under_a_slit_and_are_judged_on_unseen_ones(experiment, real):
    scanned = {"task": {"kind": "omniglot-strokes", "ways": 3, "queries": 2, "width": 2, "stride": 2}, "encoding": {"kind": "raster"}}
    made = experiment({**scanned, "network.recurrent": True})
    assert build.describe(made).endswith("raster encoding of 14 steps")
    trainer = build.trainer(made, real)
    assert trainer.learner.network.shape == (56,)
    assert trainer.step().step == 1
    asked = build.question(made)
    assert build.unseen(made, asked, real).sample(torch.Generator(), 1).query.x.shape == (1, 6, 14, 56)
    with pytest.raises(UserError, match="showed it"):
        build.unseen(made, asked._replace(split="background-validation"), real)


def test_weights_on_a_grid_are_trained_so_and_refused_where_they_cannot_be(experiment):
    made = experiment({"network.bits": 3, "training.steps": 1})
    trainer = build.trainer(made, None)
    assert trainer.learner.network.bits == 3
    assert trainer.step().step == 1
    refused(experiment({"network.bits": 3, **BPTT, "plasticity.fast": ["*"]}), "network.bits = 3", "moves those weights in finer steps")
    refused(experiment({"network.bits": 3, "plasticity.kind": "eprop"}), "runs layer by layer")
    refused(experiment({"network.bits": 3, "training.segments": 2, "network.normalise": False}), "choose segments 1")
    refused(experiment({"network.bits": 3, "network.neuron": {"kind": "relu"}}), "evaluation.bits")
    refused(experiment({"network.bits": 3, "network.recurrent": True}), "recurrent weights are not rounded")


def test_a_scan_needs_time_and_its_own_encoding(experiment):
    scanned = {"task": {"kind": "omniglot-strokes"}, "encoding": {"kind": "raster"}}
    refused(experiment({**scanned, "encoding": {"kind": "rate"}}), "encoding raster goes with tasks delayed-cue and omniglot-strokes")
    refused(experiment({**scanned, "network": {"kind": "conv"}}), "choose network mlp")
    refused(experiment({**scanned, "network.neuron": {"kind": "relu"}}), "choose neuron lif")
    refused(experiment({**scanned, "task.width": 29}), "expected at most 28")


ZERO = {**BPTT, "plasticity.head": "zero"}


def test_a_readout_that_starts_from_zero_takes_any_ways(experiment):
    unwritten = experiment({**ZERO, "plasticity.fast": ["readout.*"]})
    assert build.unseen(unwritten, Question(7, 1, 1), None).ways == 7
    learner = build.learner(unwritten, 7)
    assert learner.plasticity.ways == 7
    assert not any(name.startswith("readout") for name in learner.init(torch.Generator()))


@pytest.mark.parametrize("fast", [["linear1.*"], ["readout.weight"]])
def test_a_readout_of_zeros_that_does_not_move_is_refused(experiment, fast):
    refused(experiment({**ZERO, "plasticity.fast": fast}), "head = 'zero'", "readout.*", "head = 'own'")


def test_reptile_with_nothing_slow_that_moves_is_refused(experiment):
    nothing = {**ZERO, "plasticity.fast": ["readout.*"], "estimator.kind": "reptile"}
    refused(experiment(nothing), "reptile", "head = 'zero'", "head = 'own'")


def test_prototypes_take_any_ways(experiment):
    assert build.unseen(experiment(), Question(7, 1, 1), None).ways == 7


@pytest.mark.parametrize("where", ["task", "evaluation"])
def test_more_ways_than_classes_are_refused_before_training(experiment, where):
    refused(experiment({f"{where}.ways": 100_000}), "100000 ways given", "the number of classes")


def test_more_examples_than_drawings_are_refused(experiment):
    refused(experiment({"task.shots": 1000}), "1000 shots")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**CONV, "network.strides": [2]}, ["channels, strides and pools", "2, 1 and 2"]),
        ({**CONV, "network.pools": [100, 100]}, ["fewer or smaller pools and strides"]),
        ({"network.widths": []}, ["no layer"]),
        ({"network.neuron": {"kind": "relu"}, "encoding.kind": "rate"}, ["choose encoding direct"]),
        ({"network.neuron": {"kind": "relu"}, "network.readout": "membrane"}, ["choose readout rate"]),
        ({"encoding": {"kind": "tau-latency", "steps": 4, "first": 4}}, ["encoding.first = 4 with encoding.steps = 4", "earlier"]),
        ({"training.learning_rate": 1e38}, ["at most 1e30"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"evaluation.seed": 2**70}, ["evaluation.seed"]),
        ({"evaluation.episodes": 1}, ["at least 2"]),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(experiment, changes, words):
    refused(experiment(changes), *words)


@pytest.mark.parametrize(
    ("trained", "asked"),
    [("vinyals", "background-evaluation"), ("background-evaluation", "background-validation"), ("vinyals", "background-validation")],
)
def test_a_split_that_shows_characters_of_the_training_is_refused(experiment, trained, asked):
    learnt = experiment({"task": {"kind": "omniglot", "split": trained}})
    with pytest.raises(UserError, match=rf"split {asked} given.*showed it \d+ of those characters"):
        build.unseen(learnt, Question(3, 1, 5, asked), None)


def test_glyphs_have_no_other_split(experiment):
    with pytest.raises(UserError, match="glyphs has one split"):
        build.unseen(experiment(), Question(3, 1, 1, "vinyals"), None)
    with pytest.raises(UserError, match="no alphabets"):
        build.unseen(experiment(), Question(3, 1, 1, None, True), None)


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency", "tau-latency", "delta"])
@pytest.mark.parametrize("features", ["current", "spikes"])
@pytest.mark.parametrize("network", [{}, CONV])
def test_every_network_takes_a_step_with_every_encoding(experiment, encoding, features, network):
    shown = {"kind": encoding} | ({} if encoding == "delta" else {"steps": 3})
    changes = {**network, "encoding": shown, "network.features": features, "network.readout": "membrane"}
    progress = build.trainer(experiment(changes), None).step()
    assert progress.step == 1
    assert 0 <= progress.accuracy <= 1


@pytest.mark.parametrize(
    ("rule", "estimator"),
    [
        *(
            (rule, estimator)
            for rule in ("prototype", "frozen", "bptt", "hebbian", "stdp", "reward", "soel")
            for estimator in ("unrolled", "first-order")
        ),
        ("bptt", "reptile"),
    ],
)
def test_every_pair_that_is_not_refused_changes_slow_weights(experiment, rule, estimator):
    changes = {"plasticity.kind": rule, "estimator.kind": estimator, **({"plasticity.steps": 2} if rule == "bptt" else {})}
    trainer = build.trainer(experiment(changes), None)
    before = {name: value.clone() for name, value in trainer.parameters().items()}
    trainer.step()
    assert any(not torch.equal(value, before[name]) for name, value in trainer.parameters().items() if name in before)


def test_one_line_of_toml_makes_the_network_conventional(experiment):
    spiking, conventional = (build.learner(experiment(changes), 3) for changes in ({}, {"network.neuron": {"kind": "relu"}}))
    units = [[getattr(layer, "neuron", layer) for _, layer in learner.network.layers] for learner in (spiking, conventional)]
    assert any(isinstance(unit, LIF) for unit in units[0])
    assert not any(isinstance(unit, LIF) for unit in units[1])
    assert any(isinstance(unit, ReLU) for unit in units[1])


def test_neuron_constants_reach_the_network(experiment):
    neuron = {"kind": "lif", "decay": 0.9, "threshold": 0.7, "reset": "subtract", "surrogate": {"kind": "arctan", "slope": 2.0}}
    learner = build.learner(experiment({"network.neuron": neuron}), 3)
    built = next(layer.neuron for _, layer in learner.network.layers if hasattr(layer, "neuron"))
    assert (built.decay, built.threshold, built.hard_reset) == (0.9, 0.7, False)
    assert (built.surrogate.kind, built.surrogate.slope) == ("arctan", 2.0)


GAMMA = {"kind": "gamma", "tau": 4.0, "learnt": True}
NEURONS = [
    {"kind": "if"},
    {"kind": "lif", "decay": GAMMA, "threshold": {"kind": "learnt", "start": 0.5, "each": "layer"}},
    {"kind": "current-lif", "current_decay": {"kind": "log-normal", "tau": 3.0}},
    {"kind": "alif", "rho": {"kind": "tau", "tau": 50.0}, "beta": {"kind": "learnt", "start": 0.2}},
    {"kind": "refractory-lif", "decay": {"kind": "uniform", "low": 2.0, "high": 9.0}},
    {"kind": "sigma-delta"},
]


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda neuron: neuron["kind"])
@pytest.mark.parametrize("rule", ["prototype", "bptt"])
def test_every_neuron_takes_a_step_and_only_learnt_constants_move(experiment, neuron, rule):
    trainer = build.trainer(experiment({"network.neuron": neuron, "plasticity.kind": rule}), None)
    before = {name: value.clone() for name, value in trainer.parameters().items()}
    trainer.step()
    for name, value in trainer.parameters().items():
        constant = name.partition(".")[2].partition("_")[2]
        table = neuron.get(constant)
        if isinstance(table, dict):
            assert torch.equal(value, before[name]) == (table["kind"] != "learnt" and not table.get("learnt", False)), name
    parameters = [name for name in before if name.split(".")[-1].startswith(("log_", "logit_")) and "1." in name]
    assert len(parameters) == sum(isinstance(table, dict) for table in neuron.values())


@pytest.mark.parametrize(
    ("neuron", "word"),
    [
        ({"kind": "if"}, "no membrane that leaks"),
        ({"kind": "sigma-delta"}, "choose readout rate"),
        ({"kind": "lif", "decay": GAMMA}, "not one number"),
    ],
)
def test_a_membrane_readout_needs_one_decay(experiment, neuron, word):
    refused(experiment({"network.neuron": neuron, "network.readout": "membrane"}), word)


def test_a_uniform_distribution_needs_its_bounds_in_order(experiment):
    neuron = {"kind": "lif", "decay": {"kind": "uniform", "low": 5.0, "high": 2.0}}
    refused(experiment({"network.neuron": neuron}), "network.neuron.decay with low = 5.0 and high = 2.0")


def test_a_description_names_layers_unit_and_time(experiment):
    assert build.describe(experiment()) == "mlp 12, lif, direct encoding of 4 steps"
    assert build.describe(experiment({"encoding": {"kind": "delta"}})) == "mlp 12, lif, delta encoding of 14 steps", "one a column"
    assert build.describe(experiment({**CONV, "network.neuron": {"kind": "relu"}})) == "conv 4-4, relu"


def test_encoding_options_reach_the_encoder(experiment):
    latency = {"kind": "tau-latency", "steps": 9, "tau": 3.0, "threshold": 0.2, "first": 2, "linear": True, "normalise": True, "clip": True}
    delta = {"kind": "delta", "threshold": 0.3, "off": True, "padding": True}
    rate = {"kind": "rate", "steps": 7, "gain": 0.5, "offset": 0.1}
    found = [build.learner(experiment({"encoding": encoding}), 3).encoder for encoding in (latency, delta, rate)]
    assert found == [encode.TauLatency(9, 3.0, 0.2, 2, True, True, True), encode.Delta(0.3, True, True), encode.Rate(7, 0.5, 0.1)]
