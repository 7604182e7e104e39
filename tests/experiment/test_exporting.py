"""`neurometa export`: a learner from a run to a bundle, judged before and after, with every spike compared."""

import json
from pathlib import Path

import pytest

from neurometa.cli import _exit_code
from neurometa.errors import UserError
from neurometa.experiment import exporting, folder
from neurometa.experiment.progress import Silent
from neurometa.export import lava
from neurometa.export.bundle import read

TRAINED = Path(__file__).parents[2] / "experiments" / "trained"


@pytest.fixture
def prototype() -> folder.Run:
    return folder.open_run(TRAINED / "omniglot-prototype")


def test_the_published_prototype_learner_keeps_its_accuracy_on_integers(prototype, real: Path, tmp_path: Path) -> None:
    asked = exporting.Asked(tmp_path / "out", "emulator", 12, 3)
    answer = exporting.to_loihi(prototype, asked, real, Silent())
    verify = answer["verify"]
    assert verify["equal"]
    assert verify["accuracy_float"] > 93
    assert abs(verify["lost"]["mean"]) <= 1 + verify["lost"]["ci95"]
    assert answer["resources"]["fits"]
    assert answer["resources"]["synapses"] > 20_000_000
    assert [one["layer"] for one in answer["rounding"]] == ["lif1", "lif2", "lif3", "conv4-sum"]
    assert read(tmp_path / "out").network.steps == answer["steps"] == 8
    json.dumps(answer, allow_nan=False)


@pytest.mark.slow
@pytest.mark.skipif(lava.interpreter() is None, reason="no Lava environment: `neurometa lava install` makes one")
def test_the_published_prototype_learner_spikes_in_lava_as_in_the_emulator(prototype, real: Path, tmp_path: Path) -> None:
    answer = exporting.to_loihi(prototype, exporting.Asked(tmp_path / "out", "lava", 2, 3), real, Silent())
    assert answer["verify"]["equal"]
    assert answer["verify"]["compared"]["differing"] == 0
    assert answer["verify"]["compared"]["samples"] == 60
    assert answer["verify"]["compared"]["spikes"] > 100_000


def test_a_learner_whose_every_weight_moves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="readout alone adapts"):
        exporting.to_loihi(folder.open_run(TRAINED / "omniglot-maml"), exporting.Asked(tmp_path / "out"), None, Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--to", "truenorth"], "expected loihi"),
        (["--to", "loihi", "--verify", "belief"], "expected emulator or lava"),
        (["--to", "loihi", "--chip", "abacus"], "chip abacus is not known"),
        (["--to", "loihi", "--input", "smoke"], "expected auto, spikes or bias"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = str(TRAINED / "omniglot-prototype")
    assert _exit_code(["export", run, "--out", str(tmp_path / "out"), *flags]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
