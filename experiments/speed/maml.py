"""Time one outer step of MAML on spiking networks, ours against the same step written the obvious way.

    python -m experiments.speed.maml [--quick] [--json]

One outer step: 5-way 1-shot tasks (16; with --quick 4 of the convolutional network, and one round) with 5 queries a class and 5 inner
steps, one thread, all contestants in turn within each round after a first step with one task, medians over rounds. Before anything is
timed, everyone must find the same loss and outer gradient. With fewer tasks our ratios are lower: ours takes tasks together, the peers
one by one. The process keeps the memory that it frees, for everyone (`allocator.keep_memory`): without, the step whose readout alone
adapts spends half of its time on fresh pages.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import snntorch
import torch

from experiments.speed.cases import Case, conv, mlp
from experiments.speed.peers import PEERS, meta_gradient
from neurometa.core.allocator import keep_memory
from neurometa.meta.estimators import FirstOrder, Unrolled
from neurometa.types import Params

READOUT = ("readout.*",)
MODES = {"first-order": (FirstOrder(), ("*",)), "second-order": (Unrolled(), ("*",)), "readout": (Unrolled(), READOUT)}
"""Estimator and weights that adapt."""


def contestants(case: Case, mode: str, tasks: int, dtype: torch.dtype) -> dict[str, Callable[[], tuple[torch.Tensor, Params]]]:
    """Everyone's outer step as a function of nothing, ours first."""
    estimator, fast = MODES[mode]
    slow, episodes = case.params(dtype), case.episodes(tasks, dtype)

    def ours() -> tuple[torch.Tensor, Params]:
        measures, gradient = estimator(case.learner(fast), slow, episodes)
        return measures.loss, gradient

    theirs = {
        name: partial(meta_gradient, case, features, slow, episodes, second_order=mode != "first-order", readout_only=mode == "readout")
        for name, features in PEERS.items()
    }
    return {"neurometa": ours, **theirs}


def disagreement(case: Case, mode: str) -> float:
    """Largest difference between our outer gradient and a peer's, relative to the gradient's largest entry, in float64."""
    results = {name: step() for name, step in contestants(case, mode, 2, torch.float64).items()}
    loss, ours = results.pop("neurometa")
    worst = 0.0
    for peer_loss, theirs in results.values():
        worst = max(worst, abs(float(peer_loss - loss)) / float(loss))
        for name, value in theirs.items():
            worst = max(worst, float((value - ours[name]).abs().max() / ours[name].abs().max().clamp(min=1e-30)))
    return worst


def times(steps: dict[str, Callable[[], object]], rounds: int, runs: int = 1) -> dict[str, float]:
    """Median seconds of each contestant, all in turn within a round, each so many runs at a turn, of which the mean counts."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(runs):
                step()
            spent[name].append((time.perf_counter() - began) / runs)
    return {name: statistics.median(values) for name, values in spent.items()}


def measure(cases: list[tuple[Case, int]], rounds: int) -> dict:
    """Seconds and ratios (their time / our time) of every case and mode, with as many tasks as given beside each case.

    `all-weights` is our own second-order step.
    """
    seconds: dict[str, dict[str, float]] = {}
    differences: dict[str, float] = {}
    for case, tasks in cases:
        for mode in MODES:
            key = f"{case.name}/{mode}"
            differences[key] = disagreement(case, mode)
            for warm_up in contestants(case, mode, 1, torch.float32).values():
                warm_up()
            steps: dict[str, Callable[[], object]] = dict(contestants(case, mode, tasks, torch.float32))
            if mode == "readout":
                steps["all-weights"] = contestants(case, "second-order", tasks, torch.float32)["neurometa"]
            seconds[key] = times(steps, rounds)
    ratios = {
        key: {peer: round(value / row["neurometa"], 2) for peer, value in row.items() if peer != "neurometa"}
        for key, row in seconds.items()
    }
    machine = {
        "processor": platform.machine(),
        "torch": torch.__version__,
        "snntorch": snntorch.__version__,
        "threads": torch.get_num_threads(),
    }
    return {
        "ratios": ratios,
        "seconds": seconds,
        "largest_difference": differences,
        "tasks": {case.name: tasks for case, tasks in cases},
        "rounds": rounds,
        "machine": machine,
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer tasks and rounds: under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()  # for everyone, as the command line does for itself
    result = measure([(conv(), 4 if asked.quick else 16), (mlp(), 16)], 1 if asked.quick else 7)
    if asked.json:
        json.dump(result, sys.stdout)
        sys.stdout.write("\n")
        return
    for key, row in result["seconds"].items():
        against = ", ".join(f"{peer} {value:.2f} s ({value / row['neurometa']:.1f}x)" for peer, value in row.items() if peer != "neurometa")
        print(f"{key}: {row['neurometa']:.3f} s; {against}; largest difference {result['largest_difference'][key]:.0e}")


if __name__ == "__main__":
    main()
