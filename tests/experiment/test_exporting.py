"""`neurometa export`: a learner from a run to a bundle, judged before and after, with every spike compared."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from neurometa.cli import _exit_code
from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, config, exporting, folder
from neurometa.experiment.progress import Silent
from neurometa.export import lava
from neurometa.export.bundle import read
from neurometa.export.emulator import play
from neurometa.export.loihi import chip_input
from neurometa.export.nir import from_nir

TRAINED = Path(__file__).parents[2] / "experiments" / "trained"


@pytest.fixture
def prototype() -> folder.Run:
    return folder.open_run(TRAINED / "omniglot-prototype")


def test_the_published_prototype_learner_keeps_its_accuracy_on_integers(prototype, real: Path, tmp_path: Path) -> None:
    asked = exporting.Asked(tmp_path / "out", "emulator", 6, 3)
    answer = exporting.to_loihi(prototype, asked, real, Silent())
    verify = answer["verify"]
    assert verify["equal"]
    assert verify["accuracy_float"] > 93
    assert abs(verify["lost"]["mean"]) <= 1 + verify["lost"]["ci95"]
    assert answer["resources"]["fits"]
    assert answer["resources"]["synapses"] > 20_000_000
    assert [one["layer"] for one in answer["rounding"]] == ["lif1", "lif2", "lif3", "conv4-sum"]
    assert read(tmp_path / "out").network.steps == answer["steps"] == 8
    assert answer["bits"] == 8
    assert from_nir(tmp_path / "out" / "model.nir")[0].shape == (1, 28, 28)
    json.dumps(answer, allow_nan=False)


@pytest.mark.slow
@pytest.mark.skipif(lava.interpreter() is None, reason="no Lava environment: `neurometa lava install` makes one")
def test_the_published_prototype_learner_spikes_in_lava_as_in_the_emulator(prototype, real: Path, tmp_path: Path) -> None:
    made = exporting.exported(prototype, exporting.Asked(tmp_path), real)
    task = build.unseen(prototype.experiment, build.question(prototype.experiment), real)
    pictures = task.sample(torch.Generator().manual_seed(4), 1).support.x[0]
    given, timed = chip_input(made.bundle, made.folded, made.learner.network.signal(pictures))
    expected, found = play(made.bundle, given, timed=timed), lava.run([lava.Job(made.bundle, given)])[0]
    assert sum(int(spikes.sum()) for spikes in expected.spikes.values()) > 10_000
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes)
        np.testing.assert_array_equal(found.potential[name], expected.potential[name])


@pytest.mark.thorough
@pytest.mark.skipif(lava.interpreter() is None, reason="no Lava environment: `neurometa lava install` makes one")
def test_every_spike_of_twenty_episodes_is_that_of_lava(prototype, real: Path, tmp_path: Path) -> None:
    answer = exporting.to_loihi(prototype, exporting.Asked(tmp_path / "out", "lava", 20, 3), real, Silent())
    assert answer["verify"]["equal"]
    assert answer["verify"]["compared"]["differing"] == 0
    assert answer["verify"]["compared"]["samples"] == 600
    assert answer["verify"]["compared"]["spikes"] > 100_000


def test_a_learner_of_adaptive_neurons_says_what_chip_it_takes(prototype, real: Path, tmp_path: Path) -> None:
    network = msgspec.structs.replace(prototype.experiment.network, neuron=config.ALIF())
    run = prototype._replace(experiment=msgspec.structs.replace(prototype.experiment, network=network))
    answer = exporting.to_loihi(run, exporting.Asked(tmp_path / "out", "emulator", 2, 3), real, Silent())
    assert answer["verify"]["equal"]
    assert answer["resources"]["programmed"] == ["alif1", "alif2", "alif3"]
    assert answer["nir"] is None
    assert not (tmp_path / "out" / "model.nir").exists()
    assert all(one["beta_max"] < 1 for one in answer["rounding"])


def test_a_learner_becomes_a_graph_that_runs_alike(prototype, tmp_path: Path) -> None:
    answer = exporting.to_nir(prototype, tmp_path, 1e-4)
    assert list(answer["nodes"].values()).count("LIF") == 3
    network, params = from_nir(tmp_path / "model.nir")
    learner = build.learner(prototype.experiment, 5)
    slow = checkpoint.read(prototype.checkpoint).parameters()
    x = (torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    expected, found = (net.run(own, net.signal(x)).output for net, own in ((learner.network, slow), (network, params)))
    assert float((found - expected).norm() / expected.norm()) < 0.02  # in single precision some spikes stand on the threshold


def test_a_learner_whose_every_weight_moves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="readout alone adapts"):
        exporting.to_loihi(folder.open_run(TRAINED / "omniglot-maml"), exporting.Asked(tmp_path / "out"), None, Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (config.STDP(), "plasticity stdp given, whose readout sees every time step"),
        (config.SOEL(), "give --learning chip"),
        (config.EProp(fast=("readout.*",), head="zero", examples="single"), "plasticity eprop given, whose readout sees every time step"),
    ],
)
def test_a_rule_that_sees_every_step_is_refused_by_name(rule, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        exporting.to_loihi(ruled(rule), exporting.Asked(tmp_path / "out"), None, Silent())


def ruled(rule) -> folder.Run:
    """The network of the comparison of rules under a rule whose constants are those of its configuration."""
    run = folder.open_run(TRAINED / "rules-prototype")
    return run._replace(experiment=msgspec.structs.replace(run.experiment, plasticity=rule))


def test_prototypes_learn_on_the_chip_as_on_the_host(real: Path, tmp_path: Path) -> None:
    asked = exporting.Asked(tmp_path / "out", "emulator", 6, 3, learning="chip")
    answer = exporting.to_loihi(folder.open_run(TRAINED / "rules-prototype"), asked, real, Silent())
    verify = answer["verify"]
    assert verify["equal"]
    assert verify["accuracy_float"] > 93
    assert abs(verify["lost"]["mean"]) <= 1 + verify["lost"]["ci95"]
    assert answer["learning"]["where"] == "chip"
    written = read(tmp_path / "out").network
    assert written.steps == answer["learning"]["steps"] == (5 + 25) * 4 + written.populations[-1].onset
    assert [one.name for one in written.synapses if one.learning] == ["readout"]
    assert answer["resources"]["layers"][-1]["layer"] == "out"
    json.dumps(answer, allow_nan=False)


@pytest.mark.slow
@pytest.mark.skipif(lava.interpreter() is None, reason="no Lava environment: `neurometa lava install` makes one")
def test_prototypes_learn_in_lava_as_in_the_emulator(real: Path, tmp_path: Path) -> None:
    asked = exporting.Asked(tmp_path / "out", "lava", 2, 3, learning="chip")
    verify = exporting.to_loihi(folder.open_run(TRAINED / "rules-prototype"), asked, real, Silent())["verify"]
    assert verify["equal"]
    assert verify["accuracy_lava"] > 85
    assert verify["compared"]["weights"] == 2 * 5 * 1152
    assert verify["compared"]["spikes"] > 100_000
    assert verify["compared"]["differing"] == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("omniglot-prototype", "features of a layer Norm given"),
        ("omniglot-hebbian", "plasticity hebbian does not fit the chip's readout"),
        ("omniglot-anil", "plasticity bptt does not fit the chip's readout"),
        ("omniglot-maml", "plasticity bptt does not fit the chip's readout"),
        ("delayed-cue-eprop-alif", "eprop.fast"),
    ],
)
def test_a_learner_that_cannot_learn_on_the_chip_is_refused_by_name(name: str, says: str, real: Path, tmp_path: Path) -> None:
    asked = exporting.Asked(tmp_path / "out", learning="chip")
    with pytest.raises(UserError, match=says):
        exporting.to_loihi(folder.open_run(TRAINED / name), asked, real, Silent())
    assert not (tmp_path / "out").exists()


def test_what_is_not_the_mean_over_the_window_is_refused(tmp_path: Path) -> None:
    run = folder.open_run(TRAINED / "rules-prototype")
    leaky = msgspec.structs.replace(run.experiment.network, readout="membrane")
    changed = run._replace(experiment=msgspec.structs.replace(run.experiment, network=leaky))
    for learning, says in (("chip", "a leaky readout given"), ("host", "is a leaky readout cannot be exported")):
        with pytest.raises(UserError, match=says):
            exporting.to_loihi(changed, exporting.Asked(tmp_path / "out", learning=learning), None, Silent())


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--to", "truenorth"], "expected loihi or nir"),
        (["--to", "nir", "--verify", "lava"], "a graph is not rounded"),
        (["--to", "nir", "--learning", "chip"], "a graph has no learning rules"),
        (["--to", "loihi", "--verify", "belief"], "expected emulator or lava"),
        (["--to", "loihi", "--chip", "abacus"], "chip abacus is not known"),
        (["--to", "loihi", "--input", "smoke"], "expected auto, spikes or bias"),
        (["--to", "loihi", "--bits", "9"], "--bits 9 given, expected 2 to 8"),
        (["--to", "loihi", "--learning", "school"], "--learning school given, expected host or chip"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = str(TRAINED / "omniglot-prototype")
    assert _exit_code(["export", run, "--out", str(tmp_path / "out"), *flags]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
