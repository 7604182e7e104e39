import json

import pytest

from neurometa.errors import UserError
from neurometa.experiment import folder, load
from neurometa.experiment.folder import Metrics


@pytest.fixture
def run(experiment, tmp_path):
    return folder.create(experiment(), tmp_path, {"neurometa": "0.1.0"})


def test_a_new_run_is_named_after_experiment_time_and_config(run, experiment):
    name, utc, digest = run.path.name.split("-")
    assert name == "tiny"
    assert utc.endswith("Z")
    assert digest == load.digest(experiment())
    assert sorted(file.name for file in run.path.iterdir()) == ["config.toml", "environment.json"]


def test_a_run_is_opened_as_it_was_made(run):
    assert folder.open_run(run.path) == run


def test_runs_of_one_config_in_one_second_get_folders_of_their_own(experiment, tmp_path):
    assert len({folder.create(experiment(), tmp_path, {}).path for _ in range(5)}) == 5


def test_a_folder_that_holds_one_run_stands_for_it(run, experiment, tmp_path):
    assert folder.open_run(tmp_path) == run
    folder.create(experiment({"seed": 1}), tmp_path, {})
    with pytest.raises(UserError, match="holds 2 runs, name one"):
        folder.open_run(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        folder.open_run(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        folder.open_run(tmp_path / "none")


def test_a_misspelt_folder_is_guessed(run):
    with pytest.raises(UserError, match=f"did you mean {run.path}"):
        folder.open_run(run.path.with_name(run.path.name[:-1]))


def test_a_run_of_another_format_is_refused_in_one_line(run):
    path = run.path / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 7, "neurometa": "9.9"}))
    (run.path / "config.toml").write_text("a_key_of_the_future = 1")  # its config need not be readable
    with pytest.raises(UserError, match=r"run format 7 \(neurometa 9\.9\), this neurometa reads format 1") as caught:
        folder.open_run(run.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_damaged_json_is_refused(run, content):
    (run.path / "environment.json").write_text(content)
    with pytest.raises(UserError, match="is damaged"):
        folder.open_run(run.path)


def test_a_place_that_cannot_hold_a_run_is_refused(experiment, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder with --out"):
        folder.create(experiment(), tmp_path / "file", {})


def lines(*steps):
    return "".join(json.dumps({"step": step, "elapsed_s": step / 10}) + "\n" for step in steps)


@pytest.mark.parametrize(
    ("before", "step", "after", "last"),
    [
        (lines(10, 20, 30), 20, lines(10, 20), 20),
        (lines(10, 20, 30), 25, lines(10, 20), 20),
        (lines(10, 20) + '{"step": 3', 30, lines(10, 20), 20),  # torn by a kill
        (lines(10) + lines(20)[:-1], 30, lines(10), 10),
        (lines(10), 5, "", None),
        ("", 5, "", None),
    ],
)
def test_metrics_are_cut_to_the_checkpoint(run, before, step, after, last):
    run.metrics.write_text(before)
    metrics = Metrics(run, step)
    assert metrics.last.get("step") == last
    assert run.metrics.read_text() == after
    metrics.write({"step": 99})
    assert run.metrics.read_text() == after + '{"step": 99}\n'  # flushed at once
    metrics.close()


def test_a_run_belongs_to_one_process(run):
    metrics = Metrics(run, 0)
    with pytest.raises(UserError, match="trained by another process"):
        Metrics(run, 0)
    metrics.close()
    Metrics(run, 0).close()
