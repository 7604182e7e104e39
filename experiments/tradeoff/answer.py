"""What one more point of accuracy costs on each device, from the points alone: `python -m experiments.tradeoff.answer` prints tables.

Along a device's front, from one learner to the next better one, energy rises by so much a point of accuracy. Learning one class is a
share of learning a support set, of as many classes as the task has ways.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from neurometa.report import points
from neurometa.report.estimates import energy
from neurometa.report.points import Point

HERE = Path(__file__).parent
TASK = "omniglot, 5-way 1-shot"
WAYS = 5
PHASES = {"inference": ("one query", 1), "adaptation": ("one new class", WAYS)}


def rows(found: list[Point], phase: str) -> Iterator[str]:
    """One line a device and side: the front's learners, and what a point costs between the first and the last of them."""
    sides = sorted({(p.spiking, p.device) for p in found if (p.task, p.phase) == (TASK, phase)}, key=lambda side: (not side[0], side[1]))
    for spiking, device in sides:
        front = points.front([p for p in found if (p.task, p.phase, p.spiking, p.device) == (TASK, phase, spiking, device)])
        share, first, last = PHASES[phase][1], front[0], front[-1]
        ends = [f"{p.accuracy:.2f} % for {_written(p, share)} ({p.run})" for p in front]
        slope = _slope(first, last, share) if len(front) > 1 else "-"
        yield f"| {'spiking' if spiking else 'conventional'} | {device} | {ends[0]} | {ends[-1] if len(front) > 1 else '-'} | {slope} |"


def steps(found: list[Point], spiking: bool, device: str, phase: str) -> Iterator[str]:
    """Along the front of one device, learner by learner: accuracy, energy, and what the last points cost."""
    front = points.front([p for p in found if (p.task, p.phase, p.spiking, p.device) == (TASK, phase, spiking, device)])
    share = PHASES[phase][1]
    costs = ["", *(_slope(before, after, share) for before, after in itertools.pairwise(front))]
    for after, cost in zip(front, costs, strict=True):
        yield f"| {after.run} | {after.accuracy:.2f} ± {after.ci95:.2f} | {_written(after, share)} | {_ends(after, share)} | {cost} |"


def _slope(before: Point, after: Point, share: int) -> str:
    """Energy of one more point of accuracy."""
    return energy((after.energy.value - before.energy.value) / share / (after.accuracy - before.accuracy))


def _written(point: Point, share: int) -> str:
    return f"{'≥ ' if point.bound else ''}{energy(point.energy.value / share)}"


def _ends(point: Point, share: int) -> str:
    low, high = (energy(end / share) for end in (point.energy.low, point.energy.high))
    return f"{low} to {'open' if point.bound else high}"


def main() -> None:
    """Print the tables."""
    found = points.read(sorted((HERE / "points").iterdir()))
    for phase, (what, _) in PHASES.items():
        sys.stdout.write(f"\n{phase}: {what}\n" + "\n".join(rows(found, phase)) + "\n")
        for spiking, device in ((True, "loihi1"), (False, "cortex-m apollo"), (False, "digital45 int8"), (False, "jetson-tx1")):
            sys.stdout.write(f"\n{phase}, {device}\n" + "\n".join(steps(found, spiking, device, phase)) + "\n")


if __name__ == "__main__":
    main()
