"""`network.arithmetic = "integer"`: a learner is trained in a chip's integers, exported without a loss, and refused where it cannot be."""

from pathlib import Path

import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, exporting, session
from neurometa.experiment.progress import Silent
from neurometa.export.loihi import Chip

WHOLE = {"network.arithmetic": "integer", "network.bits": 3}


LEARNS = {
    **WHOLE, "network.widths": [48, 32], "network.features": "current", "task.ways": 5, "evaluation.ways": 5, "evaluation.episodes": 100,
    "training.tasks": 4, "training.learning_rate": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("outer", ["unrolled", "first-order"])
def test_a_learner_in_integers_learns_and_its_export_sees_the_same_features(experiment, outer: str, tmp_path: Path) -> None:
    made = experiment({**LEARNS, "estimator": {"kind": outer}, "training.steps": 100})
    run, summary = session.start(made, tmp_path, None, Silent())
    assert summary["accuracy"]["mean"] > 70  # 56 % before the training
    assert summary["spikes_per_inference"] > 10
    exported = exporting.exported(run, exporting.Asked(tmp_path / "out"), None)
    assert exported.bundle.network.synapses[0].bits == 3
    task = build.unseen(made, build.question(made), None)
    pictures = task.sample(torch.Generator().manual_seed(1), 10).query.x.flatten(0, 1)
    body, chip = exported.learner.network.split()[0], Chip(exported.bundle, exported.folded).split()[0]
    assert body.integers
    features = body.run(exported.params, body.signal(pictures)).output
    assert len(features.unique(dim=0)) > 10
    assert torch.equal(features, chip.run(exported.params, body.signal(pictures)).output)


def test_an_export_with_bias_currents_of_a_learner_in_integers_is_refused(experiment, tmp_path: Path) -> None:
    run, _ = session.start(experiment({**WHOLE, "training.steps": 1}), tmp_path, None, Silent())
    with pytest.raises(UserError, match="--input bias given, but this learner was trained in integers"):
        exporting.exported(run, exporting.Asked(tmp_path / "out", given="bias"), None)


CONV = {"kind": "conv", "channels": [4, 4], "strides": [1, 1], "pools": [2, 1], "bits": 3, "arithmetic": "integer"}
REFUSED = {
    "network.bits = 32": {"network.bits": 32},
    "choose prototype or bptt": {"plasticity": {"kind": "soel"}},
    "choose evaluation.bits 32": {"evaluation.bits": 8},
    "choose task.binary = true": {"task.binary": False},
    "choose off = false": {"encoding": {"kind": "delta", "off": True}},
    "choose neuron lif or if": {"network.neuron": {"kind": "current-lif"}},
    "choose network.neuron.reset = 'hard'": {"network.neuron": {"kind": "lif", "reset": "subtract"}},
    "neuron.decay is not one number": {"network.neuron": {"kind": "lif", "decay": {"kind": "learnt", "start": 0.5}}},
    "choose network.readout = 'rate'": {"network.readout": "membrane"},
    "choose last 0": {"network.last": 2},
    "moves those weights in finer steps": {"plasticity": {"kind": "bptt", "fast": ["*"]}},
    "recurrent weights are not rounded": {"network.recurrent": True},
    "runs layer by layer": {"plasticity.kind": "eprop"},
    "choose segments 1": {"training.segments": 2, "network.normalise": False},
    "evaluation.bits": {"network.neuron": {"kind": "relu"}},
    "choose network.pooling = 'average' or 'sum'": {"network": {**CONV, "pooling": "max"}},
    "choose pool_before_neuron = false": {"network": {**CONV, "pool_before_neuron": True}},
    "a last pool of 1": {"network": {**CONV, "pools": [2, 2]}},
    "with network.hidden": {"network": {**CONV, "hidden": [5]}},
    "choose training.kernel auto": {"training.kernel": "reference"},
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_integers_cannot_do_is_refused_by_name(experiment, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build.learner(experiment({**WHOLE, **REFUSED[words]}), 3)


def test_what_is_built_steps(experiment) -> None:
    for network in (CONV, {**CONV, "features": "spikes", "pools": [2, 2]}, {**CONV, "features": "spikes", "hidden": [6]}):
        trainer = build.trainer(experiment({"network": network, "training.steps": 2}), None)
        before = {name: value.clone() for name, value in trainer.slow.items()}
        trainer.step()
        assert any(not torch.equal(before[name], value) for name, value in trainer.slow.items() if name.startswith("conv1"))


def test_the_readout_descends_through_spikes_of_integers(experiment) -> None:
    rule = {"kind": "bptt", "fast": ["readout.*"], "steps": 3, "rate": 0.5}
    trainer = build.trainer(experiment({**WHOLE, "plasticity": rule, "training.steps": 2}), None)
    assert trainer.step().step == 1
