"""Evaluate a learner on unseen classes and write down what came out, in the schema of summary.json."""

import io
import math
import shlex
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from neurometa.errors import UserError
from neurometa.experiment import atomic, build, checkpoint, folder, precision
from neurometa.experiment.build import Question
from neurometa.experiment.folder import Run
from neurometa.experiment.progress import Watch
from neurometa.meta.evaluate import Evaluated, evaluate, portrait
from neurometa.types import Params, TaskFamily

SCHEMA = 1
"""Version of summary.json and of the evaluations."""


def ask(run: Run, asked: Question, episodes: int, seed: int, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Evaluate the learner of a run and keep the answer under evaluations/, see `keep` (a published learner is only read).

    Args:
        run: a run with a checkpoint, or a published learner.
        asked: ways, shots, queries and split.
        episodes: number of episodes, at least 2.
        seed: of the episodes.
        data: where the task's files lie.
        watch: told what happens.
    Returns:
        The summary, as written.
    """
    saved = checkpoint.read(run.checkpoint)
    torch.set_num_threads(build.threads(run.experiment))
    task = build.unseen(run.experiment, asked, data)
    try:
        summary = {**answer(run, saved.parameters(), task, asked, episodes, seed, watch, data), "step": saved.step}
    finally:
        watch.close()
    if not run.published:
        keep(run.evaluation(name(run, asked, seed)), summary, watch)
    return summary


def keep(path: Path, summary: dict[str, Any], watch: Watch) -> None:
    """Write an evaluation, unless the file holds one of the same learner over more episodes."""
    before = folder.read_json(path) if path.exists() else {}
    if before.get("step", summary["step"]) == summary["step"] and before.get("episodes", 0) > summary["episodes"]:
        watch.say(f"this evaluation of {summary['episodes']} episodes is not kept: {path} holds one of {before['episodes']}")
        return
    folder.write_json(path, summary)


def answer(
    run: Run, params: Params, task: TaskFamily, asked: Question, episodes: int, seed: int, watch: Watch, data: Path | None = None
) -> dict[str, Any]:
    """Evaluate parameters on the task that was asked for; nothing is written."""
    if episodes < 2:
        raise UserError(f"{episodes} episodes given, expected at least 2: one episode has no interval")
    if not 0 <= seed < 2**63:
        raise UserError(f"seed {seed} given, expected a whole number from 0 to 2**63 - 1")
    learner = precision.rounded(run.experiment, build.learner(run.experiment, asked.ways), params, data, asked.ways)
    began = time.perf_counter()
    measured = evaluate(learner, params, task, episodes, torch.Generator().manual_seed(seed), watch.judged)
    return summarise(run, asked, measured, seed, time.perf_counter() - began)


def summarise(run: Run, asked: Question, measured: Evaluated, seed: int, wall_s: float) -> dict[str, Any]:
    """Put measures into the schema of summary.json; accuracies and rates in percent."""
    episodes = len(measured.after)
    split = _split(run, asked)
    described = {"kind": msgspec.to_builtins(run.experiment.task)["kind"], "split": split}
    ways = [] if build.regression(run.experiment.task) else ["--ways", asked.ways]
    flags = [*ways, "--shots", asked.shots, "--queries", asked.queries, "--episodes", episodes, "--seed", seed]
    if asked.split:
        flags += ["--split", asked.split]
    if asked.within_alphabet:
        flags += ["--within-alphabet"]
    kind, stated = ("mse", spread) if build.regression(run.experiment.task) else ("accuracy", percent)
    bits = run.experiment.evaluation.bits
    return {
        "schema": SCHEMA,
        "experiment": run.experiment.name,
        "task": {**described, "ways": asked.ways, "shots": asked.shots, "queries": asked.queries},
        "episodes": episodes,
        kind: stated(measured.after),
        "before_adaptation": stated(measured.before),
        "zeroed_hidden": None if measured.zeroed is None else stated(measured.zeroed),
        "parameters": measured.parameters,
        "spikes_per_inference": measured.spikes_per_inference,
        "rates": {layer: 100.0 * rate for layer, rate in measured.rates.items()},
        "seed": seed,
        "split": split,
        "queries": asked.queries,
        **({} if bits == 32 else {"bits": bits}),
        **({} if run.experiment.evaluation.cells == "exact" else {"cells": run.experiment.evaluation.cells}),
        "wall_s": wall_s,
        "command": shlex.join(["neurometa", "evaluate", str(run.path), *map(str, flags)]),
    }


def percent(accuracies: Tensor) -> dict[str, float]:
    """Mean over episodes and half-width of its 95 % interval, 1.96 * standard deviation / sqrt(episodes), both in points."""
    return spread(100.0 * accuracies.double())


def spread(values: Tensor) -> dict[str, float]:
    """Mean over episodes and half-width of its 95 % interval, 1.96 * standard deviation / sqrt(episodes)."""
    values = values.double()
    return {"mean": values.mean().item(), "ci95": 1.96 * values.std().item() / math.sqrt(len(values))}


def name(run: Run, asked: Question, seed: int) -> str:
    """Name of the file under evaluations/, such as `background-evaluation-20w1s-1`."""
    return f"{_split(run, asked)}-{asked.ways}w{asked.shots}s-{seed}"


def draw(run: Run, params: Params, task: TaskFamily) -> None:
    """Keep one episode of the experiment's own evaluation as episode.npz, for the report to draw."""
    generator = torch.Generator().manual_seed(run.experiment.evaluation.seed)
    arrays = portrait(build.learner(run.experiment, task.ways), params, task, generator)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic.replace(run.episode, buffer.getvalue())


def _split(run: Run, asked: Question) -> str:
    split = asked.split or getattr(run.experiment.task, "split", "unseen")
    return f"{split}-within-alphabet" if asked.within_alphabet else split
