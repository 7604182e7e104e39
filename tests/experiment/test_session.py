"""Training sessions: what they leave behind, and that whatever ends one, the run goes on bit for bit."""

import json
import os
import random
import resource
import signal
import time

import numpy as np
import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, folder, load, session
from neurometa.experiment.progress import Silent
from neurometa.meta.trainer import Trainer


def metrics(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_a_finished_run_holds_everything(finished):
    names = {file.name for file in finished.path.iterdir()}
    assert names == {"config.toml", "environment.json", "metrics.jsonl", "checkpoint.safetensors", "summary.json", "episode.npz"} | {
        "evaluations",
        "done",
    }
    assert [file.name for file in (finished.path / "evaluations").iterdir()] == ["unseen-3w1s-1.json"]


def test_the_checkpoint_of_a_finished_run_is_of_its_last_step(finished):
    saved = checkpoint.read(finished.checkpoint)
    assert {name.split("/")[0] for name in saved.tensors} == {"slow", "buffer", "optimiser", "generator"}
    assert saved.step == 40
    assert saved.digest == load.digest(finished.experiment)


def test_metrics_have_a_line_every_ten_steps_and_at_every_checkpoint(finished):
    lines = metrics(finished)
    assert [line["step"] for line in lines] == [7, 10, 14, 20, 21, 28, 30, 35, 40]
    assert all(set(line) == {"step", "loss", "accuracy", "elapsed_s", "cpu_s"} for line in lines)
    assert all(0 <= line["accuracy"] <= 100 for line in lines)
    assert [line["elapsed_s"] for line in lines] == sorted(line["elapsed_s"] for line in lines)


def test_the_environment_names_what_the_run_was_made_with(finished):
    environment = json.loads((finished.path / "environment.json").read_text())
    assert environment["format"] == checkpoint.FORMAT
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == 1
    assert {"neurometa", "commit", "python", "device", "kernel", "platform"} <= set(environment)


def test_the_summary_follows_the_schema(finished):
    summary = json.loads(finished.summary.read_text())
    assert summary["schema"] == 1
    assert summary["experiment"] == "tiny"
    assert summary["episodes"] == 20
    assert set(summary["accuracy"]) == set(summary["before_adaptation"]) == {"mean", "ci95"}
    assert summary["training"]["steps"] == 40
    assert summary["training"]["wall_s"] > 0
    assert summary["training"]["cpu_s"] > 0
    assert summary["network"] == build.describe(finished.experiment)
    assert summary["spikes_per_inference"] > 0, "a silent network proves nothing"


def test_the_episode_is_kept_without_pickle(finished):
    with np.load(finished.episode, allow_pickle=False) as arrays:
        assert arrays["support_x"].shape == (3, 1, 14, 14)
        assert arrays["predicted"].shape == arrays["query_y"].shape == (6,)
        assert arrays["layers"].dtype.kind == "U"


def test_a_run_that_ended_tells_its_summary_again(finished):
    before = {file: file.stat().st_mtime_ns for file in finished.path.rglob("*")}
    assert session.resume(finished, None, Silent()) == json.loads(finished.summary.read_text())
    assert before == {file: file.stat().st_mtime_ns for file in finished.path.rglob("*")}


def stopped_after(steps, experiment, tmp_path, monkeypatch):
    """A run whose user pressed Ctrl-C in the middle of a step."""
    step = Trainer.step

    def interrupted(self):
        if self.at + 1 == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(session.Stopped) as caught:
            session.start(experiment(), tmp_path, None, Silent())
    return folder.open_run(tmp_path), str(caught.value)


@pytest.mark.parametrize("steps", [1, 10, 23, 40])
def test_a_stopped_run_goes_on_bit_for_bit(experiment, finished, tmp_path, monkeypatch, steps):
    run, message = stopped_after(steps, experiment, tmp_path, monkeypatch)
    assert message == f"stopped after step {steps} of 40; go on with `neurometa run {run.path}`"
    assert checkpoint.read(run.checkpoint).step == steps
    assert not run.done.exists()
    session.resume(run, None, Silent())
    assert run.checkpoint.read_bytes() == finished.checkpoint.read_bytes()
    assert json.loads(run.summary.read_text())["accuracy"] == json.loads(finished.summary.read_text())["accuracy"]


def test_config_and_environment_never_change(experiment, tmp_path, monkeypatch):
    run, _ = stopped_after(12, experiment, tmp_path, monkeypatch)
    before = [(run.path / name).read_bytes() for name in ("config.toml", "environment.json")]
    session.resume(run, None, Silent())
    assert [(run.path / name).read_bytes() for name in ("config.toml", "environment.json")] == before


def test_metrics_of_a_resumed_run_are_those_of_an_undisturbed_one_but_for_the_clock(experiment, finished, tmp_path, monkeypatch):
    run, _ = stopped_after(21, experiment, tmp_path, monkeypatch)
    with run.metrics.open("a") as file:
        file.write('{"step": 28, "loss": 9.0, "accuracy": 0.0, "elapsed_s": 1e9}\n{"step": 30, "lo')  # as a kill would leave it
    session.resume(run, None, Silent())
    learnt = [{key: line[key] for key in ("step", "loss", "accuracy")} for line in metrics(run)]
    assert learnt == [{key: line[key] for key in ("step", "loss", "accuracy")} for line in metrics(finished)]
    times = [line["elapsed_s"] for line in metrics(run)]
    assert times == sorted(times)


def test_a_config_that_was_edited_is_refused(experiment, tmp_path, monkeypatch):
    run, _ = stopped_after(12, experiment, tmp_path, monkeypatch)
    config = run.path / "config.toml"
    config.write_text(config.read_text().replace("seed = 0", "seed = 5"))
    with pytest.raises(UserError, match="was changed after the run began"):
        session.resume(folder.open_run(run.path), None, Silent())


def test_a_broken_checkpoint_is_refused_and_left_alone(experiment, tmp_path, monkeypatch):
    run, _ = stopped_after(12, experiment, tmp_path, monkeypatch)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-10])
    before = run.checkpoint.read_bytes(), run.metrics.read_bytes()
    with pytest.raises(UserError, match="is damaged"):
        session.resume(run, None, Silent())
    assert (run.checkpoint.read_bytes(), run.metrics.read_bytes()) == before


def test_an_experiment_that_cannot_work_leaves_no_folder(experiment, tmp_path):
    with pytest.raises(UserError):
        session.start(experiment({"task.ways": 10**6}), tmp_path / "runs", None, Silent())
    assert not (tmp_path / "runs").exists()


def broken_task(at):
    """Make the pictures of outer step `at` not finite."""
    step = Trainer.step

    def poisoned(self):
        if self.at + 1 == at:
            sample = type(self.task).sample

            class Poisoned:
                ways, shape = self.task.ways, self.task.shape

                def sample(_, generator, count, task=self.task):
                    episode = sample(task, generator, count)
                    return episode._replace(query=episode.query._replace(x=episode.query.x * float("nan")))

            self.task = Poisoned()
        return step(self)

    return poisoned


def test_a_loss_that_is_not_finite_stops_with_its_step_and_the_last_good_checkpoint(experiment, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", broken_task(24))
        with pytest.raises(UserError) as caught:
            session.start(experiment(), tmp_path, None, Silent())
    run = folder.open_run(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "step 24" in message
    assert f"the last good checkpoint, of step 21, is {run.checkpoint}" in message
    assert checkpoint.read(run.checkpoint).step == 21
    assert all(bool(torch.isfinite(tensor).all()) for tensor in checkpoint.read(run.checkpoint).tensors.values())
    session.resume(run, None, Silent())
    assert run.checkpoint.read_bytes() == finished.checkpoint.read_bytes()


def test_an_absurd_learning_rate_never_writes_what_is_not_finite(experiment, tmp_path):
    with pytest.raises(UserError, match=r"lower training\.learning_rate"):
        session.start(experiment({"training.learning_rate": 1e30, "training.checkpoint_every": 1}), tmp_path, None, Silent())
    run = folder.open_run(tmp_path)
    if run.checkpoint.exists():
        assert all(bool(torch.isfinite(tensor).all()) for tensor in checkpoint.read(run.checkpoint).tensors.values())


def ended(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


@pytest.mark.slow
def test_killed_at_a_random_step_a_run_ends_with_the_same_bytes(neurometa, tiny, tmp_path, experiment):
    steps = {"training.steps": 100}
    undisturbed, _ = session.start(experiment(steps), tmp_path / "undisturbed", None, Silent())
    process = neurometa("run", tiny, "--training.steps", "100", "--out", "killed")
    when = random.Random()
    at = 0
    for _ in range(2):
        kill_after(process, tmp_path / "killed", at + when.randrange(30))
        run = folder.open_run(tmp_path / "killed")
        assert not run.done.exists(), "killed too late to prove anything"
        at = checkpoint.read(run.checkpoint).step if run.checkpoint.exists() else 0
        process = neurometa("run", run.path)
    code, _, errors = ended(process)
    assert code == 0, errors
    assert f"going on after step {at} of 100" in errors
    assert run.checkpoint.read_bytes() == undisturbed.checkpoint.read_bytes()
    assert [line["step"] for line in metrics(run)] == [line["step"] for line in metrics(undisturbed)]


def kill_after(process, parent, step):
    """SIGKILL the process as soon as its metrics pass `step`."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        lines = [line for path in parent.glob("*/metrics.jsonl") for line in path.read_text().splitlines()]
        if lines and lines[-1].endswith("}") and json.loads(lines[-1])["step"] > step:
            break
        time.sleep(0.01)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_printed_command_resumes(neurometa, tiny, tmp_path):
    process = neurometa("run", tiny, "--training.steps", "100000", "--out", "runs")
    while not list((tmp_path / "runs").glob("*/checkpoint.safetensors")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, output, errors = ended(process)
    run = folder.open_run(tmp_path / "runs")
    assert code == 130
    assert output == ""
    last = errors.splitlines()[-1]
    assert last.startswith("neurometa: stopped after step ")
    assert last.endswith(f"go on with `neurometa run {run.path.relative_to(tmp_path)}`")


@pytest.mark.slow
def test_a_full_disk_while_checkpointing_loses_nothing(neurometa, tiny, tmp_path, experiment, finished, monkeypatch):
    run, _ = stopped_after(16, experiment, tmp_path / "runs", monkeypatch)
    before = run.checkpoint.read_bytes()
    full = len(before) // 2

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, full))

    code, output, errors = ended(neurometa("run", run.path, "--json", preexec_fn=no_space))
    assert code == 2
    assert output == ""
    last = errors.splitlines()[-1]
    assert "checkpoint.safetensors cannot be written" in last
    assert "free space" in last
    assert "the last good checkpoint, of step 16" in last
    assert run.checkpoint.read_bytes() == before
    assert [file.name for file in run.path.iterdir() if file.name.endswith(".part")] == []
    code, output, _ = ended(neurometa("run", run.path, "--json"))
    assert code == 0
    assert json.loads(output)["run"] == str(run.path)
    assert run.checkpoint.read_bytes() == finished.checkpoint.read_bytes()
