"""Judge and count every point of points.toml: `python -m experiments.tradeoff.judge`. What is there already is left alone.

Each point becomes a folder under points/ with config.toml, summary.json (1,000 episodes of unseen classes) and estimate.json, which is all
that `neurometa plot tradeoff experiments/tradeoff/points/*` reads.
"""

import itertools
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from neurometa.energy.estimate import Settings
from neurometa.experiment import build, checkpoint, estimation, evaluation, folder, load
from neurometa.experiment.folder import Run
from neurometa.experiment.override import Override
from neurometa.experiment.progress import Silent

HERE = Path(__file__).parent
LARGE = 64
"""The large batch of conventional boards."""


def points(asked: dict[str, Any]) -> Iterator[tuple[Run, str, list[str]]]:
    """Every learner with its fields changed, the name of the point, and the chips to be asked."""
    for grid in asked["grid"]:
        run = folder.open_run(HERE.parent / grid["learner"])
        chips = grid.get("chips", asked["chips"])
        for values in itertools.product(*grid["fields"].values()):
            changes = dict(zip(grid["fields"], values, strict=True))
            name = "-".join([grid["name"], *(f"{field.rpartition('.')[2]}{value}" for field, value in changes.items())])
            overrides = [Override(tuple(field.split(".")), value) for field, value in changes.items()]
            yield run._replace(experiment=load.changed(run.experiment, [*overrides, Override(("name",), name)], name)), name, chips


def judge(run: Run, name: str, chips: list[str], asked: dict[str, Any]) -> None:
    """Write one point."""
    out = HERE / "points" / name
    began, experiment = time.process_time(), run.experiment
    params, question = checkpoint.read(run.checkpoint).parameters(), build.question(experiment)
    torch.set_num_threads(1)
    task = build.unseen(experiment, question, None)
    summary = evaluation.answer(run, params, task, question, asked["episodes"], experiment.evaluation.seed, Silent())
    cards = estimation.cards(chips, None)
    boards = [card for card in cards if card.model == "board"]
    measured = estimation.count(run, asked["counted"], None, None, Silent())
    answer = estimation.priced(run, measured, cards, Settings())
    large = estimation.priced(run, measured, boards, Settings(batch=LARGE))
    answer["estimates"] += [one for one in large["estimates"] if one["phase"] == "inference"]
    accuracy = summary["accuracy"]
    answer["runs"][0] |= {"path": name, "accuracy": accuracy}
    out.mkdir(parents=True, exist_ok=True)
    text = load.dump(experiment)
    (out / "config.toml").write_text(text)
    command = "python -m experiments.tradeoff.judge"
    folder.write_json(out / "summary.json", {**summary, "command": command, "network": build.describe(experiment)})
    (out / "estimate.json").write_text(estimation.compact({"schema": estimation.SCHEMA, **answer}))
    sys.stdout.write(f"{name}: {accuracy['mean']:.2f} ± {accuracy['ci95']:.2f} %, {time.process_time() - began:.0f} CPU-s\n")
    sys.stdout.flush()


def main() -> None:
    """Judge what is not there yet."""
    asked = tomllib.loads((HERE / "points.toml").read_text())
    for run, name, chips in points(asked):
        if not (HERE / "points" / name / "estimate.json").exists():
            judge(run, name, chips, asked)


if __name__ == "__main__":
    main()
