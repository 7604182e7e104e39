"""Publish a trained learner: the small folder under experiments/trained that serves wherever a run does."""

import math
import shlex
from pathlib import Path
from typing import Any

from neurometa.errors import UserError
from neurometa.experiment import atomic, checkpoint, estimation, folder, load
from neurometa.experiment.folder import Run

LIMIT_BYTES = 1_000_000
"""The largest checkpoint that may be published: learners are part of the repository."""


def publish(run: Run, out: Path) -> Path:
    """Write config.toml, checkpoint.safetensors (parameters only), README.md and what a report draws into `out`, its estimate too.

    Raises:
        UserError: the run has not ended, the learner is too large, or `out` holds something else.
    """
    if run.published or not run.done.exists():
        raise UserError(f"{run.path} is not a run that has ended: finish it with `neurometa run {run.path}`")
    saved = checkpoint.read(run.checkpoint).only_parameters()
    content = checkpoint.encode(saved)
    if len(content) > LIMIT_BYTES:
        raise UserError(f"{run.path} has {len(content):,} bytes of parameters, expected at most {LIMIT_BYTES:,}: publish a smaller network")
    if out.exists() and ((out / "environment.json").exists() or not out.is_dir()):
        raise UserError(f"{out} is a run folder or a file, which is not overwritten: choose another folder with --out")
    summary = folder.read_json(run.summary)
    for old in [out / "estimate.json", *(out / "evaluations").glob("*.json")]:
        old.unlink(missing_ok=True)
    atomic.replace(out / "checkpoint.safetensors", content)
    atomic.replace(out / "config.toml", load.dump(run.experiment).encode())
    folder.write_json(out / "summary.json", _moved(summary, run.path, out))
    for found in sorted((run.path / "evaluations").glob("*.json")):
        folder.write_json(out / "evaluations" / found.name, _moved(folder.read_json(found), run.path, out))
    if (run.path / "estimate.json").exists():
        answer = folder.read_json(run.path / "estimate.json")
        moved = [{**one, "path": str(out)} for one in answer["runs"]]
        atomic.replace(out / "estimate.json", estimation.compact({**answer, "runs": moved}).encode())
    atomic.replace(out / "metrics.jsonl", _thinned(run.metrics.read_bytes()))
    atomic.replace(out / "episode.npz", run.episode.read_bytes())
    atomic.replace(out / "README.md", _readme(run, summary, out).encode())
    return out


def _moved(evaluation: dict[str, Any], before: Path, after: Path) -> dict[str, Any]:
    """The same evaluation with a command that reads the published folder."""
    return {**evaluation, "command": evaluation["command"].replace(shlex.quote(str(before)), shlex.quote(str(after)), 1)}


def _thinned(metrics: bytes, at_most: int = 200) -> bytes:
    """Evenly spaced lines of metrics.jsonl, the last one among them: the shape of the curve, in a few kilobytes."""
    lines = metrics.splitlines(keepends=True)
    return b"".join(lines[:: -max(1, math.ceil(len(lines) / at_most))][::-1])


def _readme(run: Run, summary: dict[str, Any], out: Path) -> str:
    """What the learner is and the commands that make it and judge it again."""
    task, training = summary["task"], summary.get("training", {})
    data = " Omniglot is looked for in $NEUROMETA_DATA." if task["kind"] == "omniglot" else ""
    start = run.experiment.training.start
    began = f", on top of those of {start}, with whose weights it began" if start else ""
    ways = f" --ways {task['ways']}" if "accuracy" in summary else ""
    return f"""# {run.experiment.name}

{summary.get("network", "")}: {_reached(summary)} after {training.get("steps")} outer steps
({training.get("cpu_s", 0.0) / 60.0:.0f} CPU-minutes{began}).{data}

Train it again:

    neurometa run {out / "config.toml"}

Judge it again:

    neurometa evaluate {out}{ways} --shots {task["shots"]} --queries {task["queries"]} --episodes {summary["episodes"]}
"""


def _reached(summary: dict[str, Any]) -> str:
    """How well it did, and at what."""
    task = summary["task"]
    if "mse" in summary:
        found, asked = summary["mse"], f"{task['kind']}, {task['shots']} examples"
        return f"squared error {found['mean']:.3f} ± {found['ci95']:.3f} on {summary['episodes']} new episodes\n({asked})"
    found, asked = summary["accuracy"], f"{task['kind']}, {summary['split']}, {task['ways']}-way {task['shots']}-shot"
    return f"{found['mean']:.2f} ± {found['ci95']:.2f} % on {summary['episodes']} episodes of unseen classes\n({asked})"
