"""Estimate the energy and latency of learners on chips and write down what came out, in the schema of estimate.json."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from neurometa.chips import read
from neurometa.chips.card import Card
from neurometa.chips.quantity import hull
from neurometa.energy.counts import Counts, interval, means
from neurometa.energy.estimate import Estimate, Settings, estimate
from neurometa.energy.workload import Measured, Workload, measure
from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, folder
from neurometa.experiment.comparison import differences, ratios
from neurometa.experiment.folder import Run
from neurometa.experiment.progress import Watch

SCHEMA = 1
"""Version of estimate.json."""

BREAK_EVEN_RATE = 0.057
BREAK_EVEN = "5.7 % spikes a neuron and step at 5 steps (Yan et al., arXiv:2409.08290 v4)"
"""Above about this rate an equally precise quantised conventional network is published to cost less."""

_OF_A_SIDE = ("estimates", "unavailable", "spread")


def cards(names: list[str], user: Path | None) -> list[Card]:
    """The cards that were asked for, those of a user's folder before ours; all where none was named.

    Raises:
        UserError: no card and no chip has that name.
    """
    known = {**read.shipped(), **(read.folder(user) if user else {})}
    if not names:
        return list(known.values())
    found: dict[str, Card] = {}
    for name in names:
        matching = {card.name: card for card in known.values() if name in (card.name, card.chip)}
        if not matching:
            raise UserError(
                f"chip {name} is not known: expected one of {', '.join(sorted({card.chip for card in known.values()} | set(known)))}"
            )
        found |= matching
    return list(found.values())


def ask(
    runs: list[Run], chips: list[Card], settings: Settings, episodes: int, seed: int | None, data: Path | None, watch: Watch
) -> dict[str, Any]:
    """Count what the learners do, estimate both phases on every chip, and keep each run's answer as its estimate.json.

    Args:
        runs: one, or two to be compared.
        chips: on which.
        settings: how they are run.
        episodes: over how many to count.
        seed: of the episodes; default that of the experiment's evaluation.
        data: where the task's files lie.
        watch: told what happens.
    Returns:
        The content of estimate.json, of both runs where there are two; a published learner is only read.
    Raises:
        UserError: no chip can run any of them.
    """
    if episodes < 1:
        raise UserError(f"{episodes} episodes given, expected at least 1")
    answers = []
    for run in runs:
        measured = count(run, episodes, seed, data, watch)
        answer = priced(run, measured, chips, settings)
        if not run.published:
            folder.write_json(run.path / "estimate.json", {"schema": SCHEMA, **answer})
        answers.append(answer)
    numbered = [
        {**answer, **{key: [{**entry, "side": i} for entry in answer[key]] for key in _OF_A_SIDE}} for i, answer in enumerate(answers)
    ]
    whole = {"schema": SCHEMA, **{key: [entry for answer in numbered for entry in answer[key]] for key in answers[0]}}
    if not whole["estimates"]:
        raise UserError("; ".join(dict.fromkeys(entry["why"] for entry in whole["unavailable"])))
    compared = len(runs) == 2
    return {**whole, "differences": differences(whole) if compared else [], "ratios": ratios(whole) if compared else []}


def count(run: Run, episodes: int, seed: int | None, data: Path | None, watch: Watch) -> Measured:
    """Count what a learner does over episodes of its own evaluation; precision changes no count."""
    saved = checkpoint.read(run.checkpoint)
    torch.set_num_threads(build.threads(run.experiment))
    asked = build.question(run.experiment)
    task = build.unseen(run.experiment, asked, data)
    generator = torch.Generator().manual_seed(run.experiment.evaluation.seed if seed is None else seed)
    try:
        return measure(build.learner(run.experiment, asked.ways), saved.parameters(), task, episodes, generator, watch.judged)
    finally:
        watch.close()


def priced(run: Run, measured: Measured, chips: list[Card], settings: Settings) -> dict[str, Any]:
    """One run's part of estimate.json."""
    found, unavailable, spread = [], [], []
    for work in (measured.inference, measured.adaptation):
        by_chip: dict[str, list[Estimate]] = {}
        for card in chips:
            try:
                one = estimate(card, work, settings)
            except UserError as refused:
                which = {"side": 0, "run": run.experiment.name, "chip": card.chip, "profile": card.profile, "phase": work.phase}
                unavailable.append({**which, "why": str(refused)})
                continue
            found.append(_entry(run, one))
            by_chip.setdefault(card.chip, []).append(one)
        for chip, ones in by_chip.items():
            if len(ones) > 1 and work.rule != "none":
                energy = hull([one.energy for one in ones]).to("nJ")
                spread.append({"side": 0, "run": run.experiment.name, "chip": chip, "phase": work.phase, "energy_nj": energy})
    counts = {work.phase: _counts(work) for work in (measured.inference, measured.adaptation)}
    return {
        "estimates": found,
        "unavailable": unavailable,
        "spread": spread,
        "runs": [{"run": run.experiment.name, "path": str(run.path), "accuracy": _accuracy(run, measured), "counts": counts}],
    }


def compact(answer: Any) -> str:
    """An answer on one line, with six digits of every number, which is more than any of them has: 23 kilobytes for 14 estimates."""
    return json.dumps(_short(answer), allow_nan=False) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list) else value


def _entry(run: Run, one: Estimate) -> dict[str, Any]:
    latency = None if one.latency is None else one.latency.to("us")
    basis = [f"{name}: {figure.value:g} {figure.unit}, {figure.kind}, {figure.source}" for name, figure in one.figures.items()]
    return {
        "side": 0,
        "run": run.experiment.name,
        "chip": one.card.chip,
        "profile": one.card.profile,
        "title": one.card.title,
        "model": one.card.model,
        "phase": one.phase,
        "energy_nj": one.energy.to("nJ"),
        "latency_us": latency,
        "parts": {name: part.to("nJ") for name, part in one.parts.items()},
        "basis": basis,
        "kinds": sorted({figure.kind for figure in one.figures.values()}),
        "includes_static": "static" in one.parts,
        "lower_bound": one.lower_bound,
        "left_out": list(one.left_out),
        "notes": list(one.notes),
        "timing": one.timing,
        "batch": one.settings.batch if one.timing == "batch" else None,
        "cores": one.cores or None,
        "chips": one.chips,
        "node": None if one.card.node is None else f"{one.card.node.value:g} nm",
        "precision": one.card.precision,
    }


def _accuracy(run: Run, measured: Measured) -> dict[str, float | None]:
    """That of the run's own evaluation; of the few counted episodes where there is none yet."""
    if run.summary.exists():
        found = folder.read_json(run.summary).get("accuracy")
        if found:
            return {"mean": found["mean"], "ci95": found["ci95"]}
    return {"mean": None if math.isnan(measured.accuracy) else 100 * measured.accuracy, "ci95": None}


def _counts(work: Workload) -> dict[str, Any]:
    """Counts of one sample, per layer and in total, mean and 95 % interval."""
    whole = Counts(*(sum(parts) for parts in zip(*work.layers.values(), strict=True)))
    neurons = sum(stage.neurons for stage in work.stages if stage.population)
    steps = work.steps * max(work.windows, 1)
    return {
        "samples": work.samples,
        "rule": work.rule,
        "windows": work.windows,
        "steps": work.steps,
        "weights": work.weights,
        "weight_bytes": 4 * work.weights,
        "state_bytes": 4 * sum(stage.neurons for stage in work.stages) if work.spiking else 0,
        "spike_rate": float(means(whole).spikes) / (neurons * steps) if work.spiking and neurons else None,
        "total": _said(whole),
        "layers": {name: _said(counts) for name, counts in work.layers.items()},
    }


def _said(counts: Counts) -> dict[str, dict[str, float | None]]:
    found = {}
    for name, x in counts._asdict().items():
        mean, ci95 = interval(x)
        if mean:
            found[name] = {"mean": mean, "ci95": None if ci95 != ci95 else ci95}
    return found
