"""The report's section on Loihi: shown where a learner was exported, and only there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from neurometa.report import page

TRAINED = Path(__file__).parents[2] / "experiments" / "trained" / "omniglot-prototype"
LAYER = {"layer": "lif1", "compartments": 100, "synapses": 900, "synapse_bytes": 900, "fan_in": 9, "fan_out": 36, "cores": 1}
ROUNDED = {"layer": "lif1", "weight_rms": 0.23, "clipped": 2, "bias_max": 0.01}
EXPORT = {
    "steps": 8,
    "verify": {
        "against": "lava",
        "episodes": 20,
        "accuracy_float": 98.25,
        "ci95_float": 0.8,
        "accuracy_integer": 98.5,
        "accuracy_lava": 98.5,
        "ci95_integer": 0.8,
        "lost": {"mean": -0.25, "ci95": 0.3},
        "compared": {"samples": 600, "spikes": 123456, "differing": 0},
    },
    "resources": {
        "chip": "loihi1-davies2018",
        "compartments": 100,
        "synapses": 900,
        "synapse_bytes": 900,
        "cores": 3,
        "chips": 1,
        "fits": True,
        "why": "",
        "fullest": {"axons_in": 10, "axons_out": 20, "synapse_bytes": 300},
        "limits": {"axons_in_per_core": 4096},
        "programmed": ["lif1"],
        "layers": [LAYER],
    },
    "rounding": [ROUNDED],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shutil.copytree(TRAINED, tmp_path / "run")
    return tmp_path / "run"


def test_an_exported_learner_is_shown_with_accuracies_resources_and_both_rasters(run: Path, tmp_path: Path) -> None:
    (run / "export.json").write_text(json.dumps(EXPORT))
    spikes = (np.random.default_rng(0).random((4, 50)) < 0.2).astype(np.uint8)
    np.savez(run / "export.npz", layers=np.array(["lif1"]), **{"float/lif1": spikes, "chip/lif1": np.roll(spikes, 1, 1)})
    html = page.write([run], tmp_path / "page.html").read_text()
    for said in (
        "On Loihi",
        "98.25 ± 0.80 %",
        "integer emulator",
        "Lava",
        "3 cores on 1 chip",
        "123,456 spikes",
        "chip only",
        "0.23 %",
        "programmed",
    ):
        assert said in html, said
    assert next(tmp_path.rglob("loihi.svg")).stat().st_size > 1000
    assert "its rule is" not in html


def test_a_readout_that_learns_on_the_chip_is_named_with_its_rule(run: Path, tmp_path: Path) -> None:
    compared = {"samples": 20, "spikes": 123456, "weights": 115200, "differing": 0}
    learning = {"where": "chip", "dw": "7*2^3*x0*y0", "steps": 1126}
    (run / "export.json").write_text(json.dumps({**EXPORT, "learning": learning, "verify": {**EXPORT["verify"], "compared": compared}}))
    html = page.write([run], tmp_path / "page.html").read_text()
    for said in ("its readout, which learns there", "7*2^3*x0*y0", "1,126 time steps", "123,456 spikes and 115,200 weights in 20 episodes"):
        assert said in html, said


def test_a_learner_that_was_not_exported_has_no_such_section(run: Path, tmp_path: Path) -> None:
    assert "On Loihi" not in page.write([run], tmp_path / "page.html").read_text()
