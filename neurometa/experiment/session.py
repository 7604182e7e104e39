"""A training session: from a run folder, at whatever step it stands, to its summary. Stopped or killed, it goes on bit-identically."""

import contextlib
import math
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from neurometa.errors import NeurometaError, UserError
from neurometa.experiment import atomic, build, checkpoint, evaluation, folder
from neurometa.experiment.checkpoint import Checkpoint
from neurometa.experiment.config import Experiment
from neurometa.experiment.environment import environment
from neurometa.experiment.folder import Metrics, Run
from neurometa.experiment.progress import Watch
from neurometa.meta.trainer import Trainer
from neurometa.types import TaskFamily

EVERY = 10
"""Outer steps between two lines of metrics.jsonl; each line is the mean over the steps since the one before."""


class Stopped(NeurometaError):
    """The user asked to stop; the message says how to go on."""


def resume_command(run: Run, data: Path | None) -> str:
    """What to type to go on with `run`."""
    return shlex.join(["neurometa", "run", str(run.path), *(["--data", str(data)] if data else [])])


def start(experiment: Experiment, parent: Path, data: Path | None, watch: Watch) -> tuple[Run, dict[str, Any]]:
    """Make a run folder below `parent` and train in it to the end.

    Args:
        experiment: what to train; what cannot work is refused before there is a folder.
        parent: where the folder is made.
        data: where the task's files lie.
        watch: told what happens.
    Returns:
        The run and its summary.
    Raises:
        Stopped: after Ctrl-C or SIGTERM, with a checkpoint of the last full step.
        UserError: something that the user can mend; the last good checkpoint stays.
    """
    torch.set_num_threads(build.threads(experiment))
    trainer, unseen = _built(experiment, data)
    run = folder.create(experiment, parent, environment(experiment))
    watch.say(f"run folder: {run.path}")
    return run, _go(run, trainer, unseen, data, watch)


def resume(run: Run, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Go on with a run that was stopped or killed, from its checkpoint to the end; one that has ended only tells its summary.

    Args, Returns and Raises as for `start`.
    """
    if run.published:
        again = f"train anew with `neurometa run {run.path / 'config.toml'}`"
        raise UserError(f"{run.path} is a published learner, which holds no optimiser: {again}")
    if run.done.exists():
        return folder.read_json(run.summary)
    torch.set_num_threads(build.threads(run.experiment))
    trainer, unseen = _built(run.experiment, data)
    _restore(run, trainer)
    watch.say(f"run folder: {run.path}, going on after step {trainer.at} of {trainer.total}")
    return _go(run, trainer, unseen, data, watch)


def _built(experiment: Experiment, data: Path | None) -> tuple[Trainer, TaskFamily]:
    """The outer loop and the task of unseen classes: what cannot be evaluated is refused before it is trained."""
    return build.trainer(experiment, data), build.unseen(experiment, build.question(experiment), data)


def _go(run: Run, trainer: Trainer, unseen: TaskFamily, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Train until the last step, evaluate, and write summary.json, episode.npz and `done`."""
    try:
        with contextlib.closing(Metrics(run, trainer.at)) as metrics:
            spent = _train(run, trainer, metrics, data, watch)
        watch.say(f"evaluating on {run.experiment.evaluation.episodes} episodes of unseen classes")
        return _conclude(run, trainer, unseen, spent, watch, data)
    except KeyboardInterrupt:
        raise Stopped(f"stopped; go on with `{resume_command(run, data)}`") from None
    finally:
        watch.close()


def _restore(run: Run, trainer: Trainer) -> None:
    """Put the trainer where the checkpoint says; where there is none yet, it begins anew."""
    if not run.checkpoint.exists():
        return
    saved = checkpoint.read(run.checkpoint)
    if saved.digest != run.digest:
        config = run.path / "config.toml"
        raise UserError(f"{config} was changed after the run began: put it back, or start a new run with `neurometa run {config}`")
    trainer.restore(saved.tensors, saved.step)


def _train(run: Run, trainer: Trainer, metrics: Metrics, data: Path | None, watch: Watch) -> dict[str, float]:
    """Step until the end; return wall and processor seconds spent in all sessions."""
    began, cpu_began = time.perf_counter() - metrics.last.get("elapsed_s", 0.0), time.process_time() - metrics.last.get("cpu_s", 0.0)
    losses: list[float] = []
    accuracies: list[float] = []

    def spent() -> dict[str, float]:
        return {"elapsed_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_began}

    with _stop_at_step_end() as stop:
        while not trainer.done:
            try:
                progress = trainer.step()
            except UserError as error:
                raise UserError(f"{error}; {_last_good(run)}") from None
            losses.append(progress.loss)
            accuracies.append(100.0 * progress.accuracy)
            due = progress.step % run.experiment.training.checkpoint_every == 0 or trainer.done or bool(stop)
            if due or progress.step % EVERY == 0:
                mean = {"loss": sum(losses) / len(losses), "accuracy": sum(accuracies) / len(accuracies)}
                metrics.write({"step": progress.step, **{name: x for name, x in mean.items() if not math.isnan(x)}, **spent()})
                watch.at(progress.step, trainer.total, **mean)
                losses.clear()
                accuracies.clear()
            if due:
                _save(run, trainer, data)
            if stop:
                raise Stopped(f"stopped after step {trainer.at} of {trainer.total}; go on with `{resume_command(run, data)}`")
    return spent()


def _save(run: Run, trainer: Trainer, data: Path | None) -> None:
    try:
        checkpoint.write(run.checkpoint, Checkpoint(trainer.snapshot(), trainer.at, run.digest))
    except UserError as error:
        raise UserError(f"{error}; {_last_good(run)}; go on with `{resume_command(run, data)}`") from None


def _last_good(run: Run) -> str:
    """Name the checkpoint that an error leaves behind."""
    if not run.checkpoint.exists():
        return "no checkpoint was written yet"
    return f"the last good checkpoint, of step {checkpoint.read(run.checkpoint).step}, is {run.checkpoint}"


def _conclude(run: Run, trainer: Trainer, unseen: TaskFamily, spent: dict[str, float], watch: Watch, data: Path | None) -> dict[str, Any]:
    asked, seed = build.question(run.experiment), run.experiment.evaluation.seed
    params = trainer.parameters()
    summary = evaluation.answer(run, params, unseen, asked, run.experiment.evaluation.episodes, seed, watch, data)
    evaluation.keep(run.evaluation(evaluation.name(run, asked, seed)), {**summary, "step": trainer.at}, watch)
    evaluation.draw(run, params, unseen)
    training = {"steps": trainer.at, "wall_s": spent["elapsed_s"], "cpu_s": spent["cpu_s"]}
    summary = {**summary, "training": training, "network": build.describe(run.experiment)}
    folder.write_json(run.summary, summary)
    atomic.replace(run.done, b"")
    return summary


@contextlib.contextmanager
def _stop_at_step_end() -> Iterator[list[int]]:
    """Collect the first Ctrl-C or SIGTERM instead of tearing a step apart; the second one interrupts at once."""
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield caught  # Python delivers signals to the main thread only
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
