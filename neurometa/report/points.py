"""Run folders as points of the energy-accuracy plane; fronts, and the least energy that reaches an accuracy."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from neurometa.errors import UserError
from neurometa.experiment.folder import find, read_json

PHASES = ("inference", "adaptation")
MEASURES = {"energy": "energy_nj", "latency": "latency_us"}
HELD = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8}
"""Bits of a card's numbers by its precision; spiking chips hold weights of about 8."""


class Ends(NamedTuple):
    """A number with its range."""

    low: float
    value: float
    high: float


class Point(NamedTuple):
    """One learner on one device in one phase.

    Attributes:
        run: name of the learner.
        task: such as "omniglot, 5-way 1-shot".
        spiking: whether its neurons spike.
        device: chip, its profile where that is a precision or another board, and a batch above 1.
        phase: "inference" (one query) or "adaptation" (one support set).
        accuracy, ci95: in percent, of the whole task after adaptation.
        energy: in nJ.
        latency: in us; None where no time is known.
        bound: whether `energy` leaves out something of weight; "peak" where it is a bound from peak numbers.
        fits: whether the accuracy was measured in numbers that the device can hold.
    """

    run: str
    task: str
    spiking: bool
    device: str
    phase: str
    accuracy: float
    ci95: float
    energy: Ends
    latency: Ends | None
    bound: str
    fits: bool


def read(folders: Sequence[Path]) -> list[Point]:
    """Points of runs that were evaluated and estimated; profiles of one chip that are opinions on the same numbers are joined.

    Raises:
        UserError: a folder is no run, or lacks its summary.json or estimate.json.
    """
    found = [point for folder in folders for point in _of_run(find(folder))]
    if not found:
        raise UserError("no run folder was given, expected at least one that `neurometa estimate RUN` was asked about")
    measured = {(p.spiking, p.device) for p in found if p.fits}
    return [p for p in found if p.fits or (p.spiking, p.device) not in measured]


def _of_run(folder: Path) -> list[Point]:
    if not (folder / "estimate.json").exists():
        raise UserError(
            f"{folder} has no estimate.json: run `neurometa estimate {folder}` first (of a published learner it writes none: train it)"
        )
    summary, answer = read_json(folder / "summary.json"), read_json(folder / "estimate.json")
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    task, bits = summary["task"], config.get("evaluation", {}).get("bits", 32)
    spiking = config.get("network", {}).get("neuron", {}).get("kind", "lif") != "relu"
    name = f"{task['kind']}, {task['ways']}-way {task['shots']}-shot"
    accuracy = summary.get("accuracy")
    if not accuracy:
        raise UserError(f"{folder} has no accuracy in its summary.json (a regression?): a trade-off takes classifications")
    groups: dict[tuple[str, str, int | None], list[dict[str, Any]]] = {}
    for one in answer["estimates"]:
        if one["energy_nj"]["value"] > 0:
            groups.setdefault((_device(one), one["phase"], one["batch"]), []).append(one)
    return [
        Point(
            config["name"], name, spiking, device, phase, accuracy["mean"], accuracy["ci95"], _hull(ones, "energy_nj"),
            _hull(ones, "latency_us") if all(one["latency_us"] for one in ones) else None,
            "peak" if ones[0]["model"] == "bound" else "yes" if any(one["lower_bound"] for one in ones) else "",
            bits <= HELD.get(ones[0]["precision"], 8),
        )
        for (device, phase, _), ones in groups.items()
    ]  # fmt: skip


def _device(one: dict[str, Any]) -> str:
    """Profiles of event chips are opinions on the same chip, all others are devices of their own."""
    name = one["chip"] if one["model"] == "event" else f"{one['chip']} {one['profile']}".strip()
    return f"{name}, batch {one['batch']}" if (one["batch"] or 1) > 1 and one["phase"] == "inference" else name


def _hull(ones: Sequence[dict[str, Any]], key: str) -> Ends:
    """Lowest low, geometric mean, highest high."""
    product = 1.0
    for one in ones:
        product *= one[key]["value"] ** (1 / len(ones))
    return Ends(min(one[key]["low"] for one in ones), product, max(one[key]["high"] for one in ones))


def contenders(points: Sequence[Point], spiking: bool, phase: str, task: str) -> list[Point]:
    """What one side may be represented by; where the choice favours anybody, it is not spikes.

    Of a spiking side, estimates in which nothing of weight is left out, where there are such; of a conventional one, all but bounds from
    peak numbers.
    """
    side = [p for p in points if (p.spiking, p.phase, p.task) == (spiking, phase, task) and p.bound != "peak"]
    whole = [p for p in side if not p.bound]
    return (whole or side) if spiking else side


def front(points: Sequence[Point], measure: str = "energy") -> list[Point]:
    """The Pareto front: points that no other reaches in accuracy for as little, cheapest first."""
    best: list[Point] = []
    for point in sorted((p for p in points if getattr(p, measure)), key=lambda p: (getattr(p, measure).value, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def least(points: Sequence[Point], accuracy: float) -> Point | None:
    """The cheapest point that reaches an accuracy; its mean, not the end of its interval."""
    reaching = [p for p in points if p.accuracy >= accuracy]
    return min(reaching, key=lambda p: p.energy.value, default=None)


def iso(points: Sequence[Point], levels: Sequence[float]) -> list[dict[str, Any]]:
    """The smallest energy of each side that reaches each accuracy; both tasks and phases apart."""
    found = []
    for task in dict.fromkeys(p.task for p in points):
        for phase in PHASES:
            sides = [contenders(points, spiking, phase, task) for spiking in (True, False)]
            for level in levels:
                a, b = (least(side, level) for side in sides)
                if a or b:
                    ratio = None
                    if a and b:
                        low, high = a.energy.low / b.energy.high, a.energy.high / b.energy.low
                        ratio = {"low": low, "value": a.energy.value / b.energy.value, "high": high}
                    entry = {"task": task, "phase": phase, "accuracy": level}
                    found.append({**entry, "spiking": _told(a), "conventional": _told(b), "ratio": ratio})
    return found


def _told(point: Point | None) -> dict[str, Any] | None:
    if point is None:
        return None
    ends = point.energy._asdict()
    return {"run": point.run, "device": point.device, "accuracy": point.accuracy, "energy_nj": ends, "lower_bound": bool(point.bound)}


def save(path: Path, value: Any) -> None:
    """Write the numbers behind a figure beside it."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
