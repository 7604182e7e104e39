"""`make demo` from its first command to its report page, with a shorter training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = "--training.steps 60 --evaluation.episodes 100"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder that the demo filled, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    command = ["make", "demo", "-o", ".venv/.installed", f"BIN={Path(sys.executable).parent}", f"DEMO={folder}", f"DEMO_FLAGS={SHORT}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def summary(folder: Path, which: str) -> dict:
    (path,) = (folder / which).glob("*/summary.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_the_demo_names_the_page_it_wrote(demo):
    folder, printed = demo
    page = folder / "report.html"
    assert printed.rstrip().endswith(str(page))
    text = page.read_text(encoding="utf-8")
    assert "demo-relu" in text
    assert 'src="http' not in text
    assert 'href="http' not in text.replace('href="https://doi.org', "").replace('href="https://arxiv.org', "")


@pytest.mark.slow
def test_the_demo_learns_from_its_examples(demo):
    folder, _ = demo
    for which in ("spiking", "conventional"):
        result = summary(folder, which)
        assert result["accuracy"]["mean"] > 40, which  # 5 ways: chance is 20 %
        assert abs(result["before_adaptation"]["mean"] - 20) < 10, which


@pytest.mark.slow
def test_the_demo_spikes(demo):
    folder, _ = demo
    rates = summary(folder, "spiking")["rates"]
    assert rates
    assert all(0.1 < rate < 60 for rate in rates.values()), rates
    assert summary(folder, "spiking")["spikes_per_inference"] > 100
