import json
import math
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurometa.cli import _exit_code
from neurometa.errors import UserError
from neurometa.experiment import evaluation, folder
from neurometa.experiment.build import Question
from neurometa.experiment.progress import Silent, Words


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, to be written into."""
    shutil.copytree(finished.path, tmp_path / "run")
    return folder.open_run(tmp_path / "run")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_interval_is_that_of_the_textbook(accuracies):
    n = len(accuracies)
    mean = sum(accuracies) / n
    variance = sum((a - mean) ** 2 for a in accuracies) / (n - 1)
    given = evaluation.percent(torch.tensor(accuracies, dtype=torch.float64))
    assert given["mean"] == pytest.approx(100 * mean)
    assert given["ci95"] == pytest.approx(100 * 1.96 * math.sqrt(variance / n), abs=1e-9)


def test_the_same_question_gets_the_same_answer(run):
    first, second = (evaluation.ask(run, Question(3, 1, 2), 20, 1, None, Silent()) for _ in range(2))
    assert {**first, "wall_s": 0} == {**second, "wall_s": 0}
    kept = json.loads(run.evaluation("unseen-3w1s-1").read_text())
    assert kept == second


def test_an_evaluation_repeats_the_summary_of_the_run(run):
    summary = json.loads(run.summary.read_text())
    again = evaluation.ask(run, Question(3, 1, 2), 20, 1, None, Silent())
    assert again["accuracy"] == summary["accuracy"]
    assert again["rates"] == summary["rates"]


def test_other_questions_get_files_of_their_own(run):
    evaluation.ask(run, Question(5, 2, 2), 5, 7, None, Silent())
    assert run.evaluation("unseen-5w2s-7").exists()
    assert run.evaluation("unseen-3w1s-1").exists()


def test_of_two_evaluations_of_one_name_the_one_with_more_episodes_is_kept(run, capsys):
    path = run.evaluation("unseen-3w1s-1")
    for episodes, kept, told in ((21, 21, False), (6, 21, True), (21, 21, False), (22, 22, False)):
        before = path.read_bytes()
        answered = evaluation.ask(run, Question(3, 1, 2), episodes, 1, None, Words())
        assert answered["episodes"] == episodes
        assert json.loads(path.read_text())["episodes"] == kept
        said = capsys.readouterr().err
        assert said == (f"this evaluation of {episodes} episodes is not kept: {path} holds one of {kept}\n" if told else "")
        assert (path.read_bytes() == before) is told


def test_an_evaluation_of_an_earlier_step_makes_way(run):
    path = run.evaluation("unseen-3w1s-1")
    folder.write_json(path, {**folder.read_json(path), "step": 14, "episodes": 1000})
    assert evaluation.ask(run, Question(3, 1, 2), 6, 1, None, Silent()) == folder.read_json(path)


def test_an_evaluation_tells_how_far_it_is(run):
    places = []

    class Heard(Silent):
        def judged(self, episodes, total):
            places.append((episodes, total))

    evaluation.ask(run, Question(3, 1, 2), 120, 1, None, Heard())
    assert places == sorted(places)
    assert len(places) > 1
    assert places[-1] == (120, 120)


def test_the_command_in_an_evaluation_repeats_it(run, capsys):
    answered = evaluation.ask(run, Question(4, 1, 3), 6, 5, None, Silent())
    program, *arguments = answered["command"].split()
    assert program == "neurometa"
    assert _exit_code([*arguments, "--json"]) == 0
    repeated = json.loads(capsys.readouterr().out)
    assert {**repeated, "wall_s": 0} == {**answered, "wall_s": 0}


def test_rates_and_accuracies_are_percent(run):
    answered = evaluation.ask(run, Question(3, 1, 2), 20, 1, None, Silent())
    assert set(answered["rates"]) == {"lif1"}
    assert 0.5 < answered["rates"]["lif1"] < 100, "a silent network proves nothing"
    assert 100 / 3 - 20 < answered["accuracy"]["mean"] <= 100
    assert answered["before_adaptation"] == {"mean": pytest.approx(100 / 3), "ci95": pytest.approx(0)}
    assert answered["zeroed_hidden"] is None
    assert answered["parameters"] > 0


@pytest.mark.parametrize(
    ("asked", "episodes", "seed", "words"),
    [
        (Question(100_000, 1, 2), 5, 1, "100000 ways given"),
        (Question(3, 1000, 2), 5, 1, "1000 shots"),
        (Question(3, 1, 2), 1, 1, "at least 2"),
        (Question(3, 1, 2), 5, -1, "seed -1"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_and_nothing_is_written(run, asked, episodes, seed, words):
    before = sorted(run.path.rglob("*"))
    with pytest.raises(UserError, match=words) as caught:
        evaluation.ask(run, asked, episodes, seed, None, Silent())
    assert "\n" not in str(caught.value)
    assert sorted(run.path.rglob("*")) == before


def test_a_run_without_checkpoint_is_refused(run):
    run.checkpoint.unlink()
    with pytest.raises(UserError, match=r"checkpoint\.safetensors does not exist"):
        evaluation.ask(run, Question(3, 1, 2), 5, 1, None, Silent())
