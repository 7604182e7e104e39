"""Every learner under experiments/trained is as good as its summary says, on other episodes than those it was judged on."""

import json
import math
from pathlib import Path

import pytest

from neurometa.experiment import build, evaluation, folder
from neurometa.experiment.progress import Silent

TRAINED = sorted(path.parent for path in (Path(__file__).parents[2] / "experiments" / "trained").glob("*/config.toml"))
EPISODES, FEWER = 300, 100
"""How many; fewer for a learner whose every weight moves, which embeds no picture twice."""


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.name)
def test_a_published_learner_keeps_its_word(path: Path, request: pytest.FixtureRequest) -> None:
    recorded = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    run = folder.open_run(path)
    data = request.getfixturevalue("real") if recorded["task"]["kind"] == "omniglot" else None
    asked = build.question(run.experiment)
    seed = run.experiment.evaluation.seed + 1
    measured = evaluation.ask(run, asked, EPISODES if recorded["zeroed_hidden"] is None else FEWER, seed, data, Silent())
    allowed = math.hypot(measured["accuracy"]["ci95"], recorded["accuracy"]["ci95"])
    assert abs(measured["accuracy"]["mean"] - recorded["accuracy"]["mean"]) < allowed
    chance = 100 / asked.ways
    assert measured["accuracy"]["mean"] > chance + 0.3 * (100 - chance), "hardly better than guessing"
    assert measured["parameters"] == recorded["parameters"]


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.name)
def test_a_published_learner_is_small_and_says_how_to_make_it_again(path: Path) -> None:
    assert (path / "checkpoint.safetensors").stat().st_size <= 1_000_000
    assert f"neurometa run experiments/trained/{path.name}/config.toml" in (path / "README.md").read_text(encoding="utf-8")
