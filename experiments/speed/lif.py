"""Time windows of leaky integrate-and-fire layers, ours against the libraries that people use.

    python -m experiments.speed.lif [--quick] [--json]

100 time steps of random input spikes, forward alone and forward with the gradient of all weights. All contestants take turns within each
round; medians over rounds, ratios of medians; a first run of each warms up. Before anything is timed, everyone must emit the same spikes
in float64 where they mean the same neuron. --quick times forward and backward together, on one thread and over fewer rounds, and leaves
the plain loop out; without it there are two threads too, and the peak memory of each (see `memory`).
`loop` is the plain Python loop, `products` the bare matrix products: the physical limit of dense arithmetic.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import torch

from experiments.speed.libraries import OTHER_SPIKES, PEERS, everyone, present
from experiments.speed.machine import processor
from experiments.speed.maml import times
from experiments.speed.memory import TELLS, peak_mb
from experiments.speed.windows import CASES, Case, Contestant

MODES: dict[str, Callable[[Contestant], None]] = {"forward": Contestant.forward, "forward+backward": Contestant.both}


def contestants(case: Case, dtype: torch.dtype) -> dict[str, Contestant]:
    """Everyone on the same input and weights, ours first."""
    x, params = case.inputs(dtype), case.params(dtype)
    return {name: build(case, x, params) for name, build in everyone().items()}


def spikes(contestant: Contestant) -> torch.Tensor | None:
    """The last layer's, without derivatives."""
    with torch.no_grad():
        return contestant.run()[1]


def disagreement(case: Case) -> dict[str, float]:
    """Share of the last layer's spikes that another has otherwise than we, in float64 on a few examples; refuses a silent network."""
    found = {name: spikes(one) for name, one in contestants(case._replace(batch=min(case.batch, 4)), torch.float64).items()}
    ours = found.pop("neurometa")
    if ours is None or not 0.01 < float(ours.mean()) < 0.5:
        raise SystemExit(f"{case.name}: the last layer is silent or saturated, so that there is nothing to compare")
    comparable = {name: z for name, z in found.items() if z is not None and (name, case.recurrent) not in OTHER_SPIKES}
    return {name: float((z != ours).double().mean()) for name, z in comparable.items()}


def seconds(case: Case, rounds: int, modes: tuple[str, ...], without: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Median seconds by mode and contestant. With 8 examples a run is over in milliseconds: twice the rounds, five runs at a turn."""
    rounds, runs = (2 * rounds, 5) if case.batch <= 8 else (rounds, 1)
    built = {name: one for name, one in contestants(case, torch.float32).items() if name not in without}
    for one in built.values():
        one.both()  # a first time, thrown away
    return {mode: times({name: partial(MODES[mode], one) for name, one in built.items()}, rounds, runs) for mode in modes}


def ratios(of: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Their time / our time, forward and backward together."""
    rows = {case: modes["forward+backward"] for case, modes in of.items()}
    return {
        case: {peer: round(value / row["neurometa"], 2) for peer, value in row.items() if peer != "neurometa"} for case, row in rows.items()
    }


def measure(cases: tuple[Case, ...], rounds: int, quick: bool) -> dict:
    """Everything, as one JSON object."""
    differences = {case.name: disagreement(case) for case in cases}
    if any(share > 0 for row in differences.values() for share in row.values()):
        raise SystemExit(f"the contestants do not emit the same spikes, so that times compare different things: {differences}")
    modes, without = (("forward+backward",), ("loop",)) if quick else (tuple(MODES), ())
    spent = {}
    for threads in (1,) if quick else (1, 2):
        torch.set_num_threads(threads)
        spent[threads] = {case.name: seconds(case, rounds, modes, without) for case in cases}
    torch.set_num_threads(1)
    libraries = [name for name in PEERS if name in present()]
    return {
        "ratios": ratios(spent[1]),
        "seconds": spent,
        "peak_mb": {} if quick or not TELLS else {case.name: {name: peak_mb(case, name) for name in everyone()} for case in cases},
        "rounds": rounds,
        "machine": {"processor": processor(), **{name: version(name) for name in ("torch", "numba", *libraries)}},
        "date": datetime.now(UTC).date().isoformat(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(CASES, 4 if asked.quick else 7, asked.quick)
    if asked.json:
        json.dump(result, sys.stdout)
        sys.stdout.write("\n")
        return
    for count, cases in result["seconds"].items():
        for case, modes in cases.items():
            for mode, row in modes.items():
                ours = row["neurometa"]
                told = ", ".join(f"{name} {1e3 * value:.1f} ({value / ours:.1f}x)" for name, value in row.items() if name != "neurometa")
                print(f"{case}, {mode}, {count} thread{'s' * (count > 1)}: {1e3 * ours:.2f} ms; {told}")
    for case, row in result["peak_mb"].items():
        print(f"{case}, peak memory: " + ", ".join(f"{name} {value:.0f} MB" for name, value in row.items()))


if __name__ == "__main__":
    main()
