"""What a run was made with: versions, machine, source. Written once, for whoever wants to repeat the run."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import neurometa
from neurometa.experiment import build, load
from neurometa.experiment.config import Experiment
from neurometa.experiment.machine import machine

_PACKAGES = ("torch", "numpy", "numba", "safetensors", "msgspec")


def environment(experiment: Experiment) -> dict[str, Any]:
    """Describe this process: the content of environment.json but for its format."""
    place = machine(experiment)
    return {
        "neurometa": neurometa.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "device": place.device,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": build.threads(experiment),
        "kernel": place.kernel,
        "kernel_missing": place.lacking,
        "config": load.digest(experiment),
    }


def commit() -> str | None:
    """Commit of neurometa's own source, with `-dirty` where files differ from it; None outside a git checkout."""
    source = Path(neurometa.__file__).resolve().parents[1]
    if not (source / ".git").exists():
        return None
    try:
        head = _git(source, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(source, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
