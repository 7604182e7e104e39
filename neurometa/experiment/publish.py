"""Publish a trained learner: the small folder under experiments/trained that serves wherever a run does."""

import shutil
from pathlib import Path

from neurometa.errors import UserError
from neurometa.experiment import atomic, checkpoint, folder, load
from neurometa.experiment.folder import Run

LIMIT_BYTES = 1_000_000
"""The largest checkpoint that may be published: learners are part of the repository."""


def publish(run: Run, out: Path) -> Path:
    """Write config.toml, checkpoint.safetensors (parameters only), summary.json, evaluations/ and README.md into `out`.

    Raises:
        UserError: the run has not ended, the learner is too large, or `out` holds something else.
    """
    if not run.summary.exists():
        raise UserError(f"{run.path} has no summary yet: finish it with `neurometa run {run.path}`")
    saved = checkpoint.read(run.checkpoint).only_parameters()
    content = checkpoint.encode(saved)
    if len(content) > LIMIT_BYTES:
        raise UserError(f"{run.path} has {len(content):,} bytes of parameters, expected at most {LIMIT_BYTES:,}: publish a smaller network")
    if (out / "environment.json").exists():
        raise UserError(f"{out} is a run folder, which never changes: choose another one with --out")
    summary = folder.read_json(run.summary)
    out.mkdir(parents=True, exist_ok=True)
    atomic.replace(out / "checkpoint.safetensors", content)
    atomic.replace(out / "config.toml", load.dump(run.experiment).encode())
    folder.write_json(out / "summary.json", summary)
    if (run.path / "evaluations").is_dir():
        shutil.copytree(run.path / "evaluations", out / "evaluations", dirs_exist_ok=True)
    atomic.replace(out / "README.md", _readme(run, summary, out).encode())
    return out


def _readme(run: Run, summary: dict, out: Path) -> str:
    """What the learner is and the commands that make it and judge it again."""
    task, accuracy, training = summary["task"], summary["accuracy"], summary.get("training", {})
    data = " Omniglot is looked for in $NEUROMETA_DATA." if task["kind"] == "omniglot" else ""
    return f"""# {run.experiment.name}

{summary.get("network", "")}: {accuracy["mean"]:.2f} ± {accuracy["ci95"]:.2f} % on {summary["episodes"]} episodes of unseen classes
({task["kind"]}, {summary["split"]}, {task["ways"]}-way {task["shots"]}-shot) after {training.get("steps")} outer steps
({training.get("cpu_s", 0.0) / 60.0:.0f} CPU-minutes).{data}

Train it again:

    neurometa run {out / "config.toml"}

Judge it again:

    neurometa evaluate {out} --ways {task["ways"]} --shots {task["shots"]} --queries {task["queries"]} --episodes {summary["episodes"]}
"""
