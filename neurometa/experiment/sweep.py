"""A grid of experiments, one run folder a point; started again, it goes on where it stood."""

import itertools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurometa.errors import UserError
from neurometa.experiment import folder, load, session
from neurometa.experiment.config import Experiment
from neurometa.experiment.folder import Run
from neurometa.experiment.override import Override, apply, scalar
from neurometa.experiment.progress import Watch


def axis(text: str) -> tuple[tuple[str, ...], list[Any]]:
    """Read `key=a,b,c`: a dotted field and its values, TOML or plain words, or whole tables: `plasticity={kind="bptt"},{kind="frozen"}`.

    Raises:
        UserError: no key, or no value.
    """
    key, equals, values = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path) or not values.strip():
        raise UserError(f"--grid {text} given, expected a field and its values, such as --grid encoding.steps=2,4,8")
    try:
        return path, tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        return path, [scalar(value.strip()) for value in values.split(",")]


def points(path: Path, grid: Sequence[str], overrides: Sequence[Override] = ()) -> list[Experiment]:
    """Every combination of the grid's values, in order; the last axis runs fastest.

    Args:
        path: the experiment.
        grid: axes as `axis` reads them.
        overrides: flags that hold for every point.
    Raises:
        UserError: a field that is not there, a value that it does not take, or one field twice.
    """
    load.read(path, list(overrides))  # a mistake in the file itself is reported as such
    mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    axes = [axis(text) for text in grid]
    names = [".".join(key) for key, _ in axes]
    if len(set(names)) < len(names) or not axes:
        raise UserError(f"--grid {' --grid '.join(grid) or '(none)'} given, expected at least one, and each field once")
    found = []
    for values in itertools.product(*(values for _, values in axes)):
        edited, flags = mapping, list(overrides)
        for (key, _), value in zip(axes, values, strict=True):
            if isinstance(value, dict) and len(key) == 1:
                edited = {**edited, key[0]: value}
            else:
                flags.append(Override(key, value))
        found.append(load.convert(apply(edited, flags), str(path)))
    return found


def run(experiments: Sequence[Experiment], parent: Path, data: Path | None, watch: Watch) -> list[tuple[Run, dict[str, Any]]]:
    """Train every point: one that has ended only tells its summary, one that was stopped goes on.

    Raises:
        Stopped: after Ctrl-C; the same command goes on.
    """
    found = []
    for i, experiment in enumerate(experiments, 1):
        watch.say(f"point {i} of {len(experiments)}")
        before = sorted(parent.glob(f"{experiment.name}-*-{load.digest(experiment)}")) if parent.is_dir() else []
        if before:
            made = folder.open_run(before[0])
            found.append((made, session.resume(made, data, watch)))
        else:
            found.append(session.start(experiment, parent, data, watch))
    return found
