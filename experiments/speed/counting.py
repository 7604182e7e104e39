"""Time an evaluation whose every run is counted against the same evaluation without.

    python -m experiments.speed.counting [--json]

Published learners, 40 episodes each, one after another as `estimate` takes them: adapt to the support set, answer the queries. One thread,
both in turn within a round and the other one first in the next, after a first run of both whose answers must be the same to the bit; CPU
time, medians over 15 rounds. The process keeps the memory that it frees, for both (`allocator.keep_memory`).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.core.allocator import keep_memory
from neurometa.energy import workload
from neurometa.experiment import build, checkpoint, folder

LEARNERS = ("omniglot-prototype", "omniglot-prototype-relu", "omniglot-maml", "omniglot-anil")
EPISODES, ROUNDS = 40, 15


def contestants(name: str) -> dict[str, Callable[[], Tensor]]:
    """The evaluation of a published learner with counting and without, each giving all answers."""
    run = folder.open_run(Path(__file__).parents[1] / "trained" / name)
    params, question = checkpoint.read(run.checkpoint).parameters(), build.question(run.experiment)
    task, learner = build.unseen(run.experiment, question, None), build.learner(run.experiment, question.ways)
    rule, network = learner.plasticity, learner.network

    def counted() -> Tensor:
        return workload.measure(learner, params, task, EPISODES, torch.Generator().manual_seed(1)).outputs

    def episode(generator: torch.Generator) -> Tensor:
        support, query = tree_map(lambda x: x[0], learner.encode(task.sample(generator, 1), generator))
        known: dict[str, Tensor] = {}
        if rule.readout_only:
            body, head = network.split()  # type: ignore[attr-defined]
            record = body.run(params, body.signal(support.x))
            known = record.statistics
            adapted = rule.adapt(head, {**params, **known}, support._replace(x=record.output), support.noise or None)
        else:
            adapted = rule.adapt(network, params, support, support.noise or None)
        return network.run({**params, **known, **adapted.statistics, **adapted.fast}, network.signal(query.x)).output  # type: ignore[attr-defined]

    @torch.no_grad()
    def plain() -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.cat([episode(generator) for _ in range(EPISODES)])

    return {"counted": counted, "plain": plain}


def measure(name: str) -> dict[str, float]:
    """Milliseconds an episode, and their ratio."""
    both = contestants(name)
    if not torch.equal(*(run() for run in both.values())):
        raise SystemExit(f"{name}: counting changed an answer")
    spent: dict[str, list[float]] = {key: [] for key in both}
    for i in range(ROUNDS):
        for key in reversed(both) if i % 2 else both:
            began = time.process_time()
            both[key]()
            spent[key].append(time.process_time() - began)
    found = {key: 1000 * statistics.median(seconds) / EPISODES for key, seconds in spent.items()}
    return {**{f"{key}_ms": round(value, 2) for key, value in found.items()}, "ratio": round(found["counted"] / found["plain"], 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    found = {name: measure(name) for name in LEARNERS}
    if asked.json:
        print(json.dumps({"learners": found, "torch": torch.__version__, "date": datetime.now(UTC).date().isoformat()}))
        return
    for name, row in found.items():
        print(f"{name:26} {row['plain_ms']:7.2f} ms an episode, counted {row['counted_ms']:7.2f} ms: {row['ratio']:.3f}")


if __name__ == "__main__":
    main()
