"""What an experiment runs on: chosen, or refused with what to choose."""

import json
import os

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from neurometa.core.kernels import choice
from neurometa.errors import UserError
from neurometa.experiment import build, evaluation, folder, load, session
from neurometa.experiment.machine import machine
from neurometa.experiment.progress import Silent
from neurometa.meta import adapt
from neurometa.meta.learner import Learner
from neurometa.types import Episode

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
BPTT = {"plasticity": {"kind": "bptt", "steps": 2, "fast": ["*"]}, "evaluation.ways": 3}


@no_cuda
def test_without_a_gpu_auto_is_the_cpu_and_its_compiled_kernel(experiment):
    assert machine(experiment()) == ("cpu", "numba", None, None)
    assert machine(experiment({"training.kernel": "reference"})) == ("cpu", "reference", "reference", None)


@no_cuda
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("device", "cuda", "device cuda given, but torch .* finds no CUDA device: choose training.device auto or cpu"),
        ("precision", "bf16", "precision bf16 given for device cpu, expected a CUDA device: choose training.precision float32"),
        ("kernel", "triton", "kernel triton given, but there is no CUDA device .*; choose kernel auto"),
    ],
)
def test_what_is_not_there_is_refused_before_there_is_a_folder(experiment, tmp_path, monkeypatch, field, value, message):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    choice.missing.cache_clear()
    try:
        with pytest.raises(UserError, match=message):
            session.start(experiment({f"training.{field}": value}), tmp_path / "runs", None, Silent())
    finally:
        choice.missing.cache_clear()
    assert not (tmp_path / "runs").exists()


def test_small_networks_get_one_thread_and_large_ones_those_that_are_there(experiment, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    large = {"network": {"kind": "conv", "channels": [64, 64], "strides": [1, 1], "pools": [2, 2]}}
    assert build.threads(experiment()) == 1
    assert build.threads(experiment(large)) == 4
    assert build.threads(experiment({**large, "training.threads": 3})) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert build.threads(experiment(large)) == 2


def test_both_kernels_train_the_same_spikes(experiment):
    steps = [build.trainer(experiment({"training.kernel": kernel}), None).step() for kernel in ("numba", "reference")]
    assert steps[0].loss == pytest.approx(steps[1].loss, rel=1e-5)  # float32, sums in another order


def test_every_population_of_the_network_gets_the_kernel(experiment):
    learner = build.learner(experiment({"training.kernel": "reference"}), 3)
    assert [layer.kernel for name, layer in learner.network.layers if name.startswith("lif")] == ["reference"]


def test_evaluate_takes_another_kernel_than_the_training(finished):
    run = folder.open_run(finished.path)
    by_hand = [load.Override(("training", "kernel"), "reference")]
    other = run._replace(experiment=load.changed(run.experiment, by_hand, "evaluate"))
    asked = build.question(run.experiment)
    params = evaluation.checkpoint.read(run.checkpoint).parameters()
    answers = [
        evaluation.answer(r, params, build.unseen(r.experiment, asked, None), asked, 20, 1, Silent())["accuracy"] for r in (run, other)
    ]
    assert answers[0] == answers[1]
    assert build.learner(other.experiment, 3).network != build.learner(run.experiment, 3).network


def test_a_run_says_what_it_ran_on(finished):
    said = json.loads((finished.path / "environment.json").read_text())
    assert (said["device"], said["kernel"], said["kernel_missing"]) == ("cpu", "numba", None)


def test_a_run_of_an_older_neurometa_with_fewer_fields_goes_on(experiment, finished, tmp_path, monkeypatch):
    from tests.experiment.test_session import stopped_after

    with monkeypatch.context() as patch:
        patch.setattr(load, "dump", lambda experiment, dump=load.dump: dump(experiment).replace('kernel = "auto"\n', ""))
        run, _ = stopped_after(12, experiment, tmp_path, monkeypatch)
    assert load.digest(run.experiment) != run.digest, "the newer one knows a field more"
    session.resume(folder.open_run(run.path), None, Silent())
    assert folder.open_run(run.path).summary.exists()


def drawn(experiment, changes):
    """A learner, slow parameters and episodes."""
    learner = build.learner(experiment({**changes, "training.kernel": "reference"}), 3)
    task = build.unseen(experiment(changes), build.question(experiment(changes)), None)
    generator = torch.Generator().manual_seed(0)
    return learner, learner.init(generator), learner.encode(task.sample(generator, 2), generator)


@pytest.mark.parametrize("changes", [{}, BPTT], ids=["prototype", "bptt"])
def test_an_outer_gradient_stays_on_its_device(experiment, changes):
    learner, *given = drawn(experiment, changes)
    slow, episodes = tree_map(lambda x: x.to("meta"), given)  # no numbers, only shapes and the device
    measures, gradient = adapt.loss_gradient(learner, Learner.adapt, slow, Episode(*episodes), {})
    assert {x.device.type for x in tree_leaves((measures.loss, gradient))} == {"meta"}


def test_encoding_moves_every_tensor_once_and_draws_on_the_cpu(experiment):
    learner = build.learner(experiment(), 3)._replace(device="meta")
    task = build.unseen(experiment(), build.question(experiment()), None)
    generator = torch.Generator().manual_seed(0)
    drawn = learner.encode(task.sample(generator, 2), generator)
    assert {x.device.type for x in tree_leaves(drawn)} == {"meta"}
    assert {x.device.type for x in learner.init(generator).values()} == {"meta"}


PLAIN = {"network.normalise": False}


@pytest.mark.parametrize("changes", [PLAIN, {**PLAIN, **BPTT, "estimator.kind": "first-order"}], ids=["prototype", "bptt"])
def test_segments_change_memory_and_nothing_else(experiment, changes):
    steps = []
    for pieces in (1, 3):
        trainer = build.trainer(experiment({**changes, "training.segments": pieces}), None)
        trainer.step()
        steps.append((trainer.step().loss, *(value for _, value in sorted(trainer.snapshot().items()) if value.is_floating_point())))
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-5)  # float32, sums in another order, through Adam


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.segments": 2}, "training.segments = 2 given, but network.normalise measures"),
        ({**PLAIN, "training.segments": 5}, "training.segments = 5 given for a window of 4 steps: choose at most 4"),
        ({**PLAIN, **BPTT, "training.segments": 2}, "no second derivatives for estimator unrolled: choose first-order or reptile"),
        ({**PLAIN, "training.segments": 2, "network.neuron": {"kind": "relu"}}, "neuron relu has no time: choose segments 1"),
    ],
)
def test_what_segments_cannot_do_is_refused_with_what_to_choose(experiment, changes, message):
    with pytest.raises(UserError, match=message):
        build.learner(experiment(changes), 3)


def test_a_run_in_segments_is_judged_with_its_rates_and_drawn(experiment, tmp_path):
    run, summary = session.start(experiment({**PLAIN, "training.segments": 2, "training.steps": 3}), tmp_path, None, Silent())
    assert summary["spikes_per_inference"] > 0
    assert run.episode.exists()
