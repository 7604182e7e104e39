"""e-prop over long windows: ours against backpropagation through time and against the rule as it is defined.

    python -m experiments.speed.eprop [--quick] [--json]

One layer of N neurons behind N inputs, batch 8, a readout of ten classes that filters by .8, cross-entropy at every step: the gradient of
all weights, once. Contestants take turns within each round; medians over rounds, ratios of medians; a first run of each warms up.

    neurometa    the rule, the whole window at once
    chunked      the same in chunks of 100 steps, whose memory does not grow with the window
    bptt         our own fused backpropagation through time
    bptt-loop    the same as a Python loop under autograd
    naive        the definition: a trace at every synapse of every example, step by step; timed over 100 steps and scaled up

Before anything is timed, all must give the same gradient in float64: in one feed-forward layer e-prop is backpropagation.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from experiments.speed.machine import processor
from experiments.speed.maml import times
from experiments.speed.memory import TELLS
from experiments.speed.traces import BUILD, CASES, Case, peak_mb
from neurometa.core.allocator import keep_memory

SHORT = 100
"""Steps over which the naive rule is timed."""

OFTEN = 6
"""How many more rounds ours and fused backpropagation get, whose ratio is asked to a few percent."""


def disagreement(case: Case) -> float:
    """Largest relative difference of anyone's gradient from ours, in float64 on a small case; refuses a silent network."""
    small = case._replace(steps=40, n=24)
    found = {name: build(small, torch.float64)() for name, build in BUILD.items()}
    ours, scale = found["neurometa"], float(found["neurometa"].abs().max())
    if scale == 0:
        raise SystemExit(f"{case.name}: the gradient is zero, so that there is nothing to compare")
    return max(float((other - ours).abs().max()) / scale for other in found.values())


def seconds(case: Case, rounds: int, without: tuple[str, ...] = ()) -> dict[str, float]:
    """Median seconds of each contestant."""
    built: dict[str, Callable[[], object]] = {}
    for name, build in BUILD.items():
        if name not in without and name != "naive":
            built[name] = build(case, torch.float32)
            built[name]()  # a first time, thrown away
    found = times(built, rounds)
    if case.n <= 512:  # the two that lie close, and are soon done: often enough to tell them apart
        found |= times({name: built[name] for name in ("neurometa", "bptt")}, OFTEN * rounds)
    short = case._replace(steps=min(SHORT, case.steps))
    naive = BUILD["naive"](short, torch.float32)
    few = 1 if case.n > 512 or rounds < 10 else 3
    found["naive"] = times({"naive": naive}, few)["naive"] * case.steps / short.steps
    return found


def memory() -> dict[str, dict[str, float]]:
    """Peak megabytes of a window of 500 and one of 8,000 steps, and their ratio."""
    case = CASES[0]
    lengths = (500, 8000)
    peaks = {name: [peak_mb(case._replace(steps=t), name) for t in lengths] for name in ("chunked", "bptt")}
    return {name: {"T500": a, "T8000": b, "ratio": round(b / a, 2)} for name, (a, b) in peaks.items()}


def measure(rounds: int) -> dict:
    """Everything, as one JSON object."""
    apart = {case.name: disagreement(case) for case in CASES}
    if max(apart.values()) > 1e-10:
        raise SystemExit(f"the contestants do not give the same gradient, so that times compare different things: {apart}")
    spent = {case.name: seconds(case, max(3, rounds // 2) if case.n > 512 else rounds) for case in CASES}
    return {
        "ratios": {
            case: {peer: round(value / row["neurometa"], 2) for peer, value in row.items() if peer != "neurometa"}
            for case, row in spent.items()
        },
        "seconds": spent,
        "peak_mb": memory() if TELLS else {},
        "rounds": rounds,
        "machine": {"processor": processor(), "torch": version("torch"), "numba": version("numba")},
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    result = measure(5 if asked.quick else 21)
    if asked.json:
        json.dump(result, sys.stdout)
        sys.stdout.write("\n")
        return
    for case, row in result["seconds"].items():
        ours = row["neurometa"]
        told = ", ".join(f"{name} {1e3 * value:.0f} ({value / ours:.2f}x)" for name, value in row.items() if name != "neurometa")
        print(f"{case}: {1e3 * ours:.0f} ms; {told}")
    for name, row in result["peak_mb"].items():
        print(f"{name}, peak memory: {row['T500']:.0f} MB at T=500, {row['T8000']:.0f} MB at T=8000, {row['ratio']}x")


if __name__ == "__main__":
    main()
