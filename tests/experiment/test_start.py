"""Meta-training that begins with the weights of a learner trained before."""

import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, session, start
from neurometa.experiment.progress import Silent


def test_training_begins_with_the_weights_and_statistics_of_the_learner(experiment, finished):
    trained = checkpoint.read(finished.checkpoint).parameters()
    begun = build.trainer(experiment({"training.start": str(finished.path)}), None).parameters()
    anew = build.trainer(experiment(), None).parameters()
    for name in ("linear1.weight", "norm1.gain", "norm1.mean"):
        assert torch.equal(begun[name], trained[name])
    assert not torch.equal(begun["linear1.weight"], anew["linear1.weight"])
    assert float(begun["prototype.log_scale"]) == float(anew["prototype.log_scale"]), "constants of a rule stay behind"


def test_another_rule_goes_on_from_there_and_its_readout_is_drawn(experiment, finished):
    changes = {"training.start": str(finished.path), "plasticity.kind": "bptt", "training.steps": 2}
    begun = build.trainer(experiment(changes), None)
    assert begun.parameters()["readout.weight"].shape == (3, 12)
    assert begun.step().step == 1


def test_a_run_that_began_elsewhere_resumes_and_is_evaluated(experiment, finished, tmp_path):
    run, summary = session.start(experiment({"training.start": str(finished.path), "training.steps": 5}), tmp_path, None, Silent())
    assert run.experiment.training.start == str(finished.path)
    assert summary["accuracy"]["mean"] > 0


def test_dense_layers_that_convolutions_have_in_addition_are_drawn(experiment, tmp_path):
    conv = {"network": {"kind": "conv", "channels": [4, 6], "strides": [2, 2], "pools": [1, 1]}, "training.steps": 1}
    run, _ = session.start(experiment(conv), tmp_path, None, Silent())
    trained = checkpoint.read(run.checkpoint).parameters()
    wider = {**conv, "network": {**conv["network"], "features": "spikes", "hidden": [5]}, "training.start": str(run.path)}
    begun = build.trainer(experiment(wider), None).parameters()
    assert torch.equal(begun["conv2.weight"], trained["conv2.weight"])
    assert begun["linear3.weight"].shape[0] == 5


def test_what_they_normalise_is_measured_anew_and_their_learnt_constants_are_drawn(experiment, tmp_path):
    learnt = {"kind": "lif", "decay": {"kind": "learnt", "start": 0.5}}
    shape = {"kind": "conv", "channels": [4, 6], "strides": [2, 2], "pools": [1, 1]}
    net = {**shape, "features": "spikes", "normalise_features": True, "neuron": learnt}
    run, _ = session.start(experiment({"network": net, "training.steps": 1}), tmp_path, None, Silent())
    assert "features.mean" in checkpoint.read(run.checkpoint).parameters()
    wider = {"network": {**net, "hidden": [5]}, "training.start": str(run.path)}
    made = experiment(wider)
    begun = start.parameters(made, build.learner(made, 3).network)
    assert "features.mean" not in begun
    assert "norm1.mean" in begun
    assert not any(name.startswith("lif3.") for name in begun)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"network.widths": [13]}, "linear1.weight"), ({"network.widths": [12, 5]}, "no such weight"), ({}, "not a folder")],
)
def test_a_learner_of_another_network_and_a_missing_folder_are_refused(experiment, finished, tmp_path, changes, words):
    where = str(finished.path) if changes else str(tmp_path / "nowhere")
    with pytest.raises(UserError) as caught:
        build.trainer(experiment({"training.start": where, **changes}), None)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
