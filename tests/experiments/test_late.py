"""What a late learning signal costs is judged on the same episodes, by the learner's own rule with nothing but its delay replaced."""

import json
import sys
from pathlib import Path

import pytest

from experiments import late
from neurometa.experiment import folder

TRAINED = Path(__file__).resolve().parents[2] / "experiments" / "trained"


def test_only_the_delay_is_replaced() -> None:
    run = folder.open_run(TRAINED / "delayed-cue-eprop-alif")
    later = late.late(run, 3)
    assert (late.trained(run), late.trained(later)) == (0, 3)
    assert late.late(later, 0) == run
    with pytest.raises(SystemExit, match="learns by prototype, expected eprop"):
        late.late(folder.open_run(TRAINED / "omniglot-prototype"), 3)


def test_a_learner_is_compared_with_itself_under_its_own_delay(monkeypatch, capsys) -> None:
    asked = [str(TRAINED / "delayed-cue-eprop-alif"), "--delays", "0", "1000", "--ways", "2", "--shots", "2", "--episodes", "8"]
    monkeypatch.setattr(sys, "argv", ["late", *asked])
    late.main()
    own, never = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert own["difference"] == {"mean": 0.0, "ci95": 0.0}
    assert own["accuracy"]["mean"] > 80
    assert never["accuracy"]["mean"] < 80, "a signal that never arrives teaches nothing"
    assert never["difference"]["mean"] == pytest.approx(never["accuracy"]["mean"] - own["accuracy"]["mean"])
