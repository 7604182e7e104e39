import itertools
import json
import shlex

import pytest

from neurometa.errors import UserError
from neurometa.experiment import checkpoint, evaluation, folder, load, publish, session
from neurometa.experiment.build import Question
from neurometa.experiment.progress import Silent


@pytest.fixture
def published(finished, tmp_path):
    return folder.open_run(publish.publish(finished, tmp_path / "trained" / "tiny"))


def test_a_published_learner_holds_only_its_parameters(published, finished):
    saved = checkpoint.read(published.checkpoint)
    assert {name.split("/")[0] for name in saved.tensors} == {"slow", "buffer"}
    assert published.checkpoint.stat().st_size < finished.checkpoint.stat().st_size
    assert published.experiment == finished.experiment


def test_a_published_learner_answers_as_the_run_does_and_is_never_written(published, finished):
    before = {file: file.read_bytes() for file in published.path.rglob("*") if file.is_file()}
    answered = evaluation.ask(published, Question(3, 1, 2), 20, 1, None, Silent())
    assert answered["accuracy"] == json.loads(finished.summary.read_text())["accuracy"]
    assert {file: file.read_bytes() for file in published.path.rglob("*") if file.is_file()} == before


def test_the_commands_of_its_evaluations_read_the_published_folder(published):
    for path in (published.summary, *(published.path / "evaluations").iterdir()):
        assert json.loads(path.read_text())["command"].startswith(f"neurometa evaluate {published.path} --ways")


def test_the_commands_in_its_readme_are_true(published):
    train, judge = (shlex.split(line) for line in (published.path / "README.md").read_text().splitlines() if line.startswith("    "))
    assert train[:2] == ["neurometa", "run"]
    assert load.read(published.path / "config.toml") == published.experiment
    assert judge[:3] == ["neurometa", "evaluate", str(published.path)]


def test_a_published_learner_cannot_be_resumed(published):
    with pytest.raises(UserError, match=r"train anew with `neurometa run .*config\.toml`"):
        session.resume(published, None, Silent())


def test_an_estimate_is_published_with_its_learner(finished, tmp_path):
    one = {"chip": "loihi1", "energy_nj": {"low": 1.0, "value": 1.23456789, "high": 2.0}}
    kept = finished.path / "estimate.json"
    folder.write_json(kept, {"schema": 1, "estimates": [one], "runs": [{"run": "tiny", "path": str(finished.path)}]})
    try:
        out = publish.publish(finished, tmp_path / "trained" / "tiny")
    finally:
        kept.unlink()
    found = json.loads((out / "estimate.json").read_text())
    assert found["runs"] == [{"run": "tiny", "path": str(out)}]
    assert found["estimates"][0]["energy_nj"]["value"] == 1.23457


def test_publishing_again_replaces_what_was_published(published, finished):
    before = {file: file.read_bytes() for file in published.path.rglob("*") if file.is_file()}
    for old in ("estimate.json", "evaluations/old-1.json"):
        (published.path / old).write_text("{}")
    publish.publish(finished, published.path)
    assert {file: file.read_bytes() for file in published.path.rglob("*") if file.is_file()} == before


def test_a_large_learner_an_unfinished_run_and_a_run_folder_as_target_are_refused(finished, experiment, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="choose another folder"):
        publish.publish(finished, finished.path)
    with pytest.raises(UserError, match="not a run that has ended"):
        publish.publish(folder.create(experiment(), tmp_path, {}), tmp_path / "out")
    monkeypatch.setattr(publish, "LIMIT_BYTES", 1000)
    with pytest.raises(UserError, match="expected at most 1,000"):
        publish.publish(finished, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1999])
def test_the_curve_is_thinned_evenly_and_keeps_its_end(count):
    lines = [f"{i}\n".encode() for i in range(count)]
    thin = publish._thinned(b"".join(lines)).splitlines(keepends=True)
    assert len(thin) <= 200
    assert thin[-1:] == lines[-1:]
    numbers = [int(line) for line in thin]
    assert len({after - before for before, after in itertools.pairwise(numbers)}) <= 1
