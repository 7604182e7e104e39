"""Export the learner of a run to Loihi's integers, prove what was exported, and write down what came out."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from neurometa.core.layer import Spiking
from neurometa.core.network import READOUT, Stack
from neurometa.core.segments import Segmented
from neurometa.errors import UserError
from neurometa.experiment import atomic, build, checkpoint, estimation, evaluation, folder, onchip
from neurometa.experiment.folder import Run
from neurometa.experiment.onchip import OnChip
from neurometa.experiment.pairs import FULL
from neurometa.experiment.progress import Watch
from neurometa.export import bundle as bundles
from neurometa.export import emulator, lava, nir
from neurometa.export.bundle import Bundle
from neurometa.export.loihi import Chip, Folded, Rounded, calibrate, chip_input, emulated, fold, resources, rounded
from neurometa.meta.adapt import outcomes
from neurometa.meta.evaluate import evaluate
from neurometa.meta.learner import Learner
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP
from neurometa.types import Params, Signal, TaskFamily

SCHEMA = 1
"""Version of export.json."""

CALIBRATION = 200
"""Pictures of training classes that choose the scales."""


TOGETHER = 100
"""Pictures that Lava plays in one run: many, because every run is compiled anew; few enough for the memory."""


class Asked(NamedTuple):
    """What to do.

    Attributes:
        out: folder to write.
        verify: "emulator", "lava", or None for neither.
        episodes: on which it is verified; None for 100 in the emulator and 20 in Lava.
        seed: of the episodes; None for that of the experiment's evaluation.
        chip: card against whose limits resources are checked.
        given: "auto", "spikes" or "bias": how the input reaches the chip.
        hard_reset: take a subtractive reset for a hard one.
        timeout_s: for each run of Lava, which plays up to 100 pictures.
        bits: of a weight; None for those that the learner was trained with, or 8.
        dt: length of a time step in seconds, for the float network beside the bundle, model.nir.
        learning: where the readout learns: "host", or "chip" by the rule as sums of products.
    """

    out: Path
    verify: str | None = None
    episodes: int | None = None
    seed: int | None = None
    chip: str = "loihi1-davies2018"
    given: str = "auto"
    hard_reset: bool = False
    timeout_s: float = 600
    bits: int | None = None
    dt: float = 1e-4
    learning: str = "host"


class Exported(NamedTuple):
    """A learner as a bundle, with what it was made of; `onchip` where its readout learns there, `bundle` then being the network below."""

    learner: Learner
    params: Params
    folded: Folded
    bundle: Bundle
    rounding: list[Rounded]
    onchip: OnChip | None = None

    @property
    def written(self) -> Bundle:
        """What is written."""
        return self.onchip.bundle if self.onchip else self.bundle


def to_loihi(run: Run, asked: Asked, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Export a learner, write the bundle and its float network, verify it where that was asked for, and keep export.json in the run folder.

    Returns:
        The content of export.json.
    Raises:
        UserError: the learner cannot be exported or verified; the message says what to choose.
    """
    if asked.episodes is not None and asked.episodes < 2:
        raise UserError(f"{asked.episodes} episodes given, expected at least 2: one episode has no interval")
    if asked.given not in ("auto", "spikes", "bias"):
        raise UserError(f"--input {asked.given} given, expected auto, spikes or bias")
    if asked.bits is not None and not 2 <= asked.bits <= 8:
        raise UserError(f"--bits {asked.bits} given, expected 2 to 8")
    if asked.learning not in ("host", "chip"):
        raise UserError(f"--learning {asked.learning} given, expected host or chip")
    if asked.verify == "lava":
        lava.needed()
    card = estimation.cards([asked.chip], None)[0]
    made = exported(run, asked, data)
    bundles.write(asked.out, made.written)
    adaptive = any(one.adapts for one in made.written.network.populations)
    graph = None if adaptive else to_nir(run, asked.out, asked.dt)["out"]  # which has no node for such neurons
    answer: dict[str, Any] = {
        "schema": SCHEMA,
        "run": run.experiment.name,
        "to": "loihi",
        "out": str(asked.out),
        "nir": graph,
        "bits": made.bundle.network.synapses[-1].bits,
        "steps": made.bundle.network.steps,
        "input": made.bundle.network.input.kind,
        "learning": _learning(made),
        "verify": None,
        "resources": resources(made.written, card),
        "rounding": [one._asdict() for one in made.rounding],
    }
    if asked.verify:
        try:
            answer["verify"], arrays = _verified(run, made, bundles.read(asked.out), asked, data, watch)
        finally:
            watch.close()
        if not run.published:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
            atomic.replace(run.path / "export.npz", buffer.getvalue())
    if not run.published:
        folder.write_json(run.path / "export.json", answer)
    return answer


def to_nir(run: Run, out: Path, dt: float) -> dict[str, Any]:
    """Write a learner's slow network as a NIR graph, its plasticity in the metadata.

    Returns:
        What was written, as plain data.
    """
    saved, experiment = checkpoint.read(run.checkpoint), run.experiment
    learner, params = build.learner(experiment, build.question(experiment).ways), saved.parameters()
    network = learner.network.stack if isinstance(learner.network, Segmented) else learner.network
    if not isinstance(network, Stack):
        raise UserError(f"a network of kind {type(network).__name__} cannot be exported: expected a row of layers, such as mlp or conv")
    steps = next((layer.steps for _, layer in network.layers if isinstance(layer, Spiking)), 1)
    rule = {key: value for key, value in msgspec.to_builtins(experiment.plasticity).items() if value is not None}
    own = {
        name: value.tolist() for name, value in params.items() if name.split(".")[0] not in dict(network.layers) and value.numel() <= 1000
    }
    encoding = msgspec.to_builtins(experiment.encoding)
    graph = nir.to_nir(network, params, dt, steps, {"plasticity": rule, "plasticity_parameters": own, "encoding": encoding})
    nir.write_nir(out / "model.nir", graph)
    return {
        "schema": SCHEMA,
        "run": experiment.name,
        "to": "nir",
        "out": str(out / "model.nir"),
        "nodes": {name: type(node).__name__ for name, node in graph.nodes.items()},
        "dt_s": dt,
    }


def exported(run: Run, asked: Asked, data: Path | None) -> Exported:
    """Fold and round the learner of a run."""
    saved = checkpoint.read(run.checkpoint)
    torch.set_num_threads(build.threads(run.experiment))
    learner, params = build.learner(run.experiment, build.question(run.experiment).ways), saved.parameters()
    network = onchip.body(learner) if asked.learning == "chip" else _network(learner, params)
    x = calibration(run, learner, data)
    binary = bool(((x.values == 0) | (x.values == 1)).all())
    if asked.given == "spikes" and not binary:
        raise UserError("--input spikes given, but this learner's input is not 0 or 1: leave it out, or choose --input bias")
    kind = "bias" if asked.given == "bias" or not binary else "spikes"
    if kind == "bias" and x.timed:
        raise UserError("bias currents are constant, but this learner's input changes over time: choose --input spikes")
    folded = fold(network, params, _steps(network, x), kind, hard_reset=asked.hard_reset)
    if network.integers and kind == "bias":
        raise UserError("--input bias given, but this learner was trained in integers with spikes as input: leave it out")
    peaks = None if network.integers else calibrate(folded, x)[0]  # in training there is no calibration batch either
    trained = run.experiment.network.bits
    bundle, rounding = rounded(folded, peaks, run.experiment.name, asked.bits or (8 if trained == FULL else trained))
    made = Exported(learner, params, folded, bundle, rounding)
    return made if asked.learning == "host" else made._replace(onchip=onchip.made(run, learner, params, folded, bundle, data))


def _learning(made: Exported) -> dict[str, Any]:
    """Where the readout learns, and by what rule of the chip."""
    if made.onchip is None:
        return {"where": "host"}
    rule = made.onchip.rule
    about = {"dw": rule.learning.dw, "scale": rule.scale, "passes": rule.passes, "blank": rule.blank}
    return {"where": "chip", **about, "steps": made.onchip.bundle.network.steps}


def _network(learner: Learner, params: Params) -> Stack:
    network = learner.network.stack if isinstance(learner.network, Segmented) else learner.network
    if not isinstance(network, Stack):
        raise UserError(f"a network of kind {type(network).__name__} cannot be exported: expected a row of layers, such as mlp or conv")
    if isinstance(learner.plasticity, STDP | SOEL) or _only_readout(learner.plasticity):
        name = type(learner.plasticity).__name__.lower()
        raise UserError(
            f"plasticity {name} given, whose readout sees every time step, while the host's reads the mean of a window: give "
            "--learning chip, or export a learner of rule prototype, hebbian, reward or bptt on the readout"
        )
    if not learner.plasticity.readout_only and type(learner.plasticity).__name__ != "Frozen":
        raise UserError(
            f"plasticity {type(learner.plasticity).__name__.lower()} moves weights on the chip, which the exported network holds fixed: "
            "export a learner whose readout alone adapts, such as prototype, or bptt with fast = ['readout.*']"
        )
    return network


def _only_readout(rule: Plasticity) -> bool:
    """Whether this is e-prop of a readout."""
    return isinstance(rule, EProp) and all(name.startswith(f"{READOUT}.") for name in rule.fast)


def calibration(run: Run, learner: Learner, data: Path | None, count: int = CALIBRATION) -> Signal:
    """Pictures of training classes, encoded."""
    task = build.practice(run.experiment.task, data)
    generator = torch.Generator().manual_seed(run.experiment.seed)
    pictures: list[Tensor] = []
    while sum(map(len, pictures)) < count:
        pictures += [part.x[0] for part in task.sample(generator, 1)]
    x = learner.encoder.encode(torch.cat(pictures)[:count], generator)
    return learner.network.signal(x)  # type: ignore[attr-defined]


def _steps(network: Stack, x: Signal) -> int:
    if x.timed:
        return len(x.values)
    return next((layer.steps for _, layer in network.layers if hasattr(layer, "steps")), 1)  # type: ignore[attr-defined]


def _verified(
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
    network = onchip.body(made.learner) if made.onchip else _network(made.learner, made.params)
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
