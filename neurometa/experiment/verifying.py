"""Prove what was exported: the float learner and the chip's on the same episodes, and with Lava every spike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurometa.experiment import build, evaluation, onchip
from neurometa.experiment.folder import Run
from neurometa.experiment.progress import Watch
from neurometa.experiment.rounding import Asked, Exported, stack
from neurometa.export import emulator, lava
from neurometa.export.bundle import Bundle
from neurometa.export.loihi import Chip, chip_input, emulated
from neurometa.meta.adapt import outcomes
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.types import Params, TaskFamily

TOGETHER = 100
"""Pictures that Lava plays in one run: many, because every run is compiled anew; few enough for the memory."""


def verified(
    run: Run, made: Exported, written: Bundle, asked: Asked, data: Path | None, watch: Watch
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Judge the float learner and what was written on the same episodes; with Lava, compare every spike on the way."""
    question = build.question(run.experiment)
    task = build.unseen(run.experiment, question, data)
    seed = run.experiment.evaluation.seed if asked.seed is None else asked.seed
    episodes = asked.episodes or (100 if asked.verify == "emulator" else 20)
    watch.say(f"judging the float learner and the exported one on {episodes} episodes of unseen classes")
    if made.onchip:
        here = made.onchip._replace(bundle=written)
        found = onchip.judged(made.learner, made.params, here, task, episodes, seed, str(asked.verify), asked.timeout_s, watch.judged)
        before, after, compared = found
    else:
        before, after, compared = _read_out(made, written, asked, task, episodes, seed, watch)
    equal, arrays = _overlaid(made, written, task, seed)
    lost = evaluation.percent(before - after)
    told = {
        "against": asked.verify,
        "equal": equal if asked.verify == "emulator" else compared["differing"] == 0,
        "episodes": episodes,
        "seed": seed,
        "ways": question.ways,
        "shots": question.shots,
        "accuracy_float": evaluation.percent(before)["mean"],
        "accuracy_integer": evaluation.percent(after)["mean"],
        "ci95_float": evaluation.percent(before)["ci95"],
        "ci95_integer": evaluation.percent(after)["ci95"],
        "lost": lost,
    }
    if asked.verify == "lava":
        told |= {"accuracy_lava": told["accuracy_integer"], "compared": compared}
    return told, arrays


def _read_out(
    made: Exported, written: Bundle, asked: Asked, task: TaskFamily, episodes: int, seed: int, watch: Watch
) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Accuracy of each episode, below a readout of the host, of the float network and of the chip's; what Lava was compared in."""
    compared = {"samples": 0, "spikes": 0, "differing": 0}
    answer = emulated if asked.verify == "emulator" else _referee(compared, asked.timeout_s)

    def judged(learner: Learner, tick: Callable[[int, int], None] | None) -> Tensor:
        if asked.verify == "lava":
            return _few(learner, made.params, task, episodes, torch.Generator().manual_seed(seed))
        return evaluate(learner, made.params, task, episodes, torch.Generator().manual_seed(seed), tick).after

    before = judged(made.learner, None)
    return before, judged(made.learner._replace(network=Chip(written, made.folded, answer)), watch.judged), compared


@torch.no_grad()
def _few(learner: Learner, params: Params, task: TaskFamily, episodes: int, generator: torch.Generator) -> Tensor:
    """Accuracy of each of a few episodes, all played together; nothing is shown to the network but their pictures."""
    learner = learner._replace(redeal=False)
    return outcomes(learner, Learner.adapt, params, learner.encode(task.sample(generator, episodes), generator)).accuracy


def _referee(compared: dict[str, int], timeout_s: float) -> Callable[[Bundle, np.ndarray, bool], np.ndarray]:
    """Let Lava and the emulator play everything, and count where they differ; Lava's answer is the one that is used."""

    def answer(bundle: Bundle, given: np.ndarray, timed: bool) -> np.ndarray:
        read, parts = bundle.network.readout, [given[..., start : start + TOGETHER] for start in range(0, given.shape[-1], TOGETHER)]
        onset = next(one.onset for one in bundle.network.populations if one.name == read.population)
        played = lava.run([lava.Job(bundle, part) for part in parts], timeout_s * len(parts))
        for part, got in zip(parts, played, strict=True):
            expected = emulator.play(bundle, part, timed=timed)
            for name, spikes in expected.spikes.items():
                compared["differing"] += int((spikes != got.spikes[name]).sum())
                compared["differing"] += int((expected.potential[name] != got.potential[name]).sum())
                compared["spikes"] += int(spikes.sum())
            compared["samples"] += part.shape[-1]
        if read.read == "potential":
            return np.concatenate([got.potential[read.population] for got in played], -1)
        return np.concatenate([got.spikes[read.population][onset:].sum(0, dtype=np.int32) for got in played], -1)

    return answer


def _overlaid(made: Exported, written: Bundle, task: TaskFamily, seed: int) -> tuple[bool, dict[str, np.ndarray]]:
    """Whether the bundle from disk is the one in memory, and spikes of one query in the float network and on the chip."""
    generator = torch.Generator().manual_seed(seed)
    query = made.learner.encode(task.sample(generator, 1), generator).query
    network = onchip.body(made.learner) if made.onchip else stack(made.learner, made.params)
    network = network._replace(layers=network.split()[0].layers)
    x = network.signal(query.x[0])
    record = network.run(made.params, x)
    given, timed = chip_input(made.bundle, made.folded, x)
    played = emulator.play(made.bundle, given, timed=timed)
    arrays: dict[str, np.ndarray] = {}
    for stage in made.folded.stages:
        if stage.layer:
            rows = played.spikes[stage.name][stage.onset : stage.onset + made.folded.steps, :, 0]
            arrays[f"chip/{stage.layer}"] = rows
            arrays[f"float/{stage.layer}"] = record.z[stage.layer][: len(rows), 0].flatten(1).to(torch.uint8).numpy()
    arrays["layers"] = np.array([stage.layer for stage in made.folded.stages if stage.layer], dtype=str)
    return _same(written, made.written), arrays


def _same(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are the same, to the last integer."""
    equal = one.arrays.keys() == other.arrays.keys() and all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    return one.network == other.network and equal
