"""The measured numbers of a run, gathered from summary.json and evaluations/ into one shape."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from neurometa.report import words
from neurometa.report.read import Reading


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % interval, both in percent."""

    mean: float
    ci95: float

    def __str__(self) -> str:
        """Write `97.3 ± 0.2 %`."""
        return f"{self.mean:.1f} ± {self.ci95:.{2 if 0 < self.ci95 < 0.095 else 1}f} %"


class Evaluated(NamedTuple):
    """One evaluation; None where a file does not tell. `guess`: `before` is chance by definition, for want of a readout."""

    split: str
    ways: int | None
    shots: int | None
    episodes: int | None
    seed: int | None
    after: Interval
    before: Interval | None
    guess: bool
    zeroed: Interval | None
    command: str | None
    main: bool

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing, in percent."""
        return 100 / self.ways if self.ways else None

    @property
    def task(self) -> str:
        """Such as `5-way 1-shot`."""
        return f"{self.ways or '?'}-way {self.shots or '?'}-shot"


def interval(found: Any) -> Interval | None:
    """Read `{"mean": ..., "ci95": ...}`."""
    if not isinstance(found, dict) or not isinstance(found.get("mean"), int | float):
        return None
    return Interval(float(found["mean"]), float(found.get("ci95") or 0.0))


def evaluations(run: Reading) -> list[Evaluated]:
    """Every evaluation of a run: the summary's first, then each file of evaluations/ that is not the same one again."""
    found: list[Evaluated] = []
    for source, main in [(run.summary, True), *((other, False) for other in run.evaluations)]:
        after = interval((source or {}).get("accuracy"))
        if source is None or after is None:
            continue
        one = _evaluated(run, source, after, main)
        if not any(one[1:6] == other[1:6] and (one.split == other.split or not other.main) for other in found):
            found.append(one)
    return found


def main(run: Reading) -> Evaluated | None:
    """The evaluation that the experiment names, else the first there is."""
    return next(iter(evaluations(run)), None)


def comparable(runs: Sequence[Reading]) -> bool:
    """Whether every run was judged on the same kind of problem."""
    kinds = {(words.part(run, "task", "kind"), one.split, one.ways, one.shots) if (one := main(run)) else None for run in runs}
    return len(kinds) == 1 and None not in kinds


def _evaluated(run: Reading, source: dict[str, Any], after: Interval, main: bool) -> Evaluated:
    task = source.get("task") if isinstance(source.get("task"), dict) else {}

    def told(key: str) -> Any:
        return source.get(key, (task or {}).get(key, words.part(run, "evaluation", key) if main else None))

    return Evaluated(
        split=str(told("split") or "unseen"),
        ways=told("ways"),
        shots=told("shots"),
        episodes=told("episodes"),
        seed=told("seed"),
        after=after,
        before=interval(source.get("before_adaptation")),
        guess=words.written(run),
        zeroed=interval(source.get("zeroed_hidden")),
        command=source.get("command"),
        main=main,
    )


def rates(run: Reading) -> tuple[dict[str, float], str]:
    """Mean firing rate of each layer in percent, and what they were measured on; empty where nothing tells."""
    for source in (run.summary or {}, *run.evaluations):
        found = source.get("rates")
        if isinstance(found, dict) and found:
            return {layer(name): float(rate) for name, rate in found.items()}, "the queries of five of its problems"
    arrays = run.episode or {}
    if not {"rates", "layers"} <= arrays.keys():
        return {}, ""
    pairs = zip(arrays["layers"].ravel(), arrays["rates"].ravel(), strict=False)
    return {layer(str(name)): float(rate) for name, rate in pairs}, "the episode drawn above"


def raster(run: Reading) -> dict[str, Any]:
    """Spikes of one query by layer, (time, neurons); empty for a network that does not spike."""
    found = {key.removeprefix("raster/"): value for key, value in (run.episode or {}).items() if key.startswith("raster/")}
    return {layer(name): spikes.reshape(len(spikes), -1) for name, spikes in found.items() if spikes.ndim >= 2 and spikes.size}


def layer(name: str) -> str:
    """Call the neurons `lif2` or `alif2` layer 2, after the convolution or dense layer that feeds them; other names stay."""
    return re.sub(r"^(lif|if|currentlif|alif|refractorylif|sigmadelta)(\d+)$", r"layer \2", name)


def trained_s(run: Reading, clock: str) -> float | None:
    """Seconds of meta-training by `wall_s` or `cpu_s`; of an unfinished run, the wall time so far."""
    told = ((run.summary or {}).get("training") or {}).get(clock)
    if told is None and clock == "wall_s" and run.metrics.height:
        told = run.metrics["elapsed_s"].max()
    return float(told) if isinstance(told, int | float) else None
