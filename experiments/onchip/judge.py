"""Judge the learner on the chip: it sees five characters that nobody trained on, learns, and is asked.

    python -m experiments.onchip.judge --episodes 1000 --out emulator.json
    python -m experiments.onchip.judge --episodes 50 --against lava --out lava.json

Characters are those on which the published network is judged, which neither it nor the features saw. With `--against lava` the
features' spikes and all that the learner does are compared with Lava, spike for spike and weight for weight.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from experiments.onchip.features import BODY
from experiments.onchip.learner import LEARNERS, Kind, learner
from neurometa.experiment import build, folder
from neurometa.export import bundle as bundles
from neurometa.export import emulator, lava
from neurometa.export.bundle import Bundle
from neurometa.export.learning import Learned, learn
from neurometa.export.loihi.onchip import answers, taught
from neurometa.tasks.base import ImageClasses

FEATURES = Path(__file__).parent / "features"
WAYS, TOGETHER = 5, 50
"""Classes of an episode; pictures and episodes that are played at once."""


class Drawn(NamedTuple):
    """Episodes by number of picture: `support` (episodes, ways), `query` (episodes, queries), classes of the queries, and the pictures."""

    support: np.ndarray
    query: np.ndarray
    asked: np.ndarray
    pictures: np.ndarray


def some(episodes: Drawn, cut: slice) -> Drawn:
    """A few of the episodes, of the same pictures."""
    return Drawn(episodes.support[cut], episodes.query[cut], episodes.asked[cut], episodes.pictures)


def drawn(task: ImageClasses, episodes: int, seed: int) -> Drawn:
    """Draw episodes; a picture that comes twice is kept once."""
    found = task.sample(torch.Generator().manual_seed(seed), episodes)
    count = found.support.x.shape[1]
    every = torch.cat([found.support.x, found.query.x], 1).flatten(2).numpy().astype(np.uint8)
    pictures, number = np.unique(np.packbits(every, -1).reshape(-1, every.shape[-1] // 8), axis=0, return_inverse=True)
    number = number.reshape(episodes, -1)
    ordered = np.argsort(found.support.y.numpy(), 1)  # class k is shown k-th
    support = np.take_along_axis(number[:, :count], ordered, 1)
    return Drawn(support, number[:, count:], found.query.y.numpy(), np.unpackbits(pictures, -1))


def features(bundle: Bundle, pictures: np.ndarray, say: Callable[[int], None]) -> np.ndarray:
    """Spikes of the features while a picture is shown, (pictures, steps, features)."""
    last, found = bundle.network.populations[-1], []
    for start in range(0, len(pictures), TOGETHER):
        part = np.ascontiguousarray(pictures[start : start + TOGETHER].T)
        found.append(emulator.play(bundle, part, timed=False).spikes[last.name][last.onset :].transpose(2, 0, 1))
        say(start)
    return np.concatenate(found)


def shown(sent: np.ndarray, episodes: Drawn, kind: Kind) -> np.ndarray:
    """What the learner's input is."""
    support, query = (sent[part].transpose(2, 3, 1, 0) for part in (episodes.support, episodes.query))
    labels = np.repeat(np.arange(WAYS)[:, None], len(episodes.support), 1)
    return taught(support, query, labels, WAYS, kind.shown)


def accuracy(out: np.ndarray, episodes: Drawn, kind: Kind) -> np.ndarray:
    """Share of right answers of each episode."""
    return (answers(out, kind.shown, episodes.query.shape[1]).T == episodes.asked).mean(1)


def differing(found: Learned, expected: Learned) -> dict[str, int]:
    """How many spikes, potentials, weights and tags are not the same."""
    return {
        what: sum(int((values != getattr(expected, what)[name]).sum()) for name, values in getattr(found, what).items())
        for what in Learned._fields
    }


def told(rates: np.ndarray) -> dict[str, float]:
    """Mean and half-width of its 95 % interval, in percent."""
    return {"mean": 100 * float(rates.mean()), "ci95": 196 * float(rates.std(ddof=1)) / len(rates) ** 0.5}


def judged(kind: Kind, bundle: Bundle, sent: np.ndarray, episodes: Drawn) -> tuple[np.ndarray, dict[str, Any]]:
    """Accuracy of each episode in the emulator, and what the learner did."""
    rates, spiked, errors = [], [], []
    for start in range(0, len(episodes.support), TOGETHER):
        part = some(episodes, slice(start, start + TOGETHER))
        found = learn(bundle, shown(sent, part, kind))
        rates.append(accuracy(found.spikes["out"], part, kind))
        spiked.append(float(found.spikes["hidden"].mean()))
        passes = found.spikes["error"].reshape(-1, kind.shown.period * WAYS, 2 * WAYS, len(part.support))[: kind.shown.passes]
        errors.append(passes.sum((1, 2)).mean(1))
    return np.concatenate(rates), {"hidden_rate": np.mean(spiked), "errors_by_pass": np.mean(errors, 0).round(1).tolist()}


def refereed(kind: Kind, bundle: Bundle, sent: np.ndarray, episodes: Drawn, timeout_s: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Accuracy of each episode in Lava, and how it differs from the emulator."""
    given = shown(sent, episodes, kind)
    got, expected = lava.learn([(bundle, given, {})], timeout_s)[0], learn(bundle, given)
    first = {one.name: bundle.arrays[one.weight] for one in bundle.network.synapses}
    moved = {name: int((weights != first[name]).sum()) for name, weights in got.weights.items()}
    counted = {
        "spikes": sum(int(x.sum()) for x in got.spikes.values()),
        "weights": sum(w.size for w in got.weights.values()),
        "moved": moved,
    }
    return accuracy(got.spikes["out"], episodes, kind), {"differing": differing(got, expected), **counted}


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description="Judge the learner on the chip.")
    parser.add_argument("--kind", default="copy", choices=LEARNERS)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="episode to begin with")
    parser.add_argument("--count", type=int, default=None, help="how many of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queries", type=int, default=5, help="of each class, at most 5, the first of those that were drawn")
    parser.add_argument("--against", default="emulator", choices=["emulator", "lava"])
    parser.add_argument("--cache", type=Path, default=None, help=".npy of the features' spikes, read if it is there")
    parser.add_argument("--timeout-s", type=float, default=600)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    began, kind = time.process_time(), LEARNERS[asked.kind]
    run = folder.open_run(Path(BODY))
    episodes = drawn(build.unseen(run.experiment, build.question(run.experiment), None), asked.episodes, asked.seed)  # type: ignore[arg-type]
    kept = np.concatenate([np.arange(5 * k, 5 * k + asked.queries) for k in range(WAYS)])
    episodes = episodes._replace(query=episodes.query[:, kept], asked=episodes.asked[:, kept])
    cut = slice(asked.first, None if asked.count is None else asked.first + asked.count)
    episodes = some(episodes, cut)
    sent = cached(asked.cache, episodes.pictures)
    bundle = learner(kind, kind.shown.passes * WAYS + episodes.query.shape[1])
    if asked.against == "lava":
        rates, about = refereed(kind, bundle, sent, episodes, asked.timeout_s)
    else:
        rates, about = judged(kind, bundle, sent, episodes)
    asking = {"kind": asked.kind, "against": asked.against, "episodes": len(rates), "of": asked.episodes, "first": asked.first}
    asking |= {"seed": asked.seed, "queries": asked.queries, "steps": bundle.network.steps}
    each = [round(100 * float(rate), 2) for rate in rates]
    answer = {**asking, "accuracy": told(rates), **about, "cpu_s": time.process_time() - began, "each": each}
    asked.out.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in answer.items() if key != "each"}))


def cached(path: Path | None, pictures: np.ndarray) -> np.ndarray:
    """Spikes of the features of all pictures."""
    if path is not None and path.exists():
        return np.unpackbits(np.load(path), axis=-1)
    found = features(bundles.read(FEATURES), pictures, lambda at: print(at, file=sys.stderr) if at % 1000 == 0 else None)
    if path is not None:
        np.save(path, np.packbits(found, axis=-1))
    return found


if __name__ == "__main__":
    main()
