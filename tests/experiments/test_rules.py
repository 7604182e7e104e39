"""The comparison of rules: every row is built on the shared network, and windows keep their order."""

from pathlib import Path

import pytest
import torch

from experiments.curves import STEPS, changed
from experiments.rules import BODY, ROWS, Folded, begun, experiment, judged, spread
from neurometa.experiment import checkpoint
from neurometa.tasks.base import ImageClasses

SHARED = Path(__file__).parents[2] / BODY / "checkpoint.safetensors"


@pytest.mark.parametrize("name", ROWS)
def test_every_row_begins_with_the_shared_network_and_is_judged_on_windows_of_its_spikes(name):
    made = experiment(name, 1, 0, "unrolled")
    params = begun(made)
    shared = checkpoint.read(SHARED).parameters()
    assert all(torch.equal(params[key], value) for key, value in shared.items() if not key.startswith("prototype."))
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(6, 1, 8 * 512, generator=generator) < 0.3  # six kinds of window, of which a drawing flips a few spikes
    windows = (kinds ^ (torch.rand(6, 4, 8 * 512, generator=generator) < 0.02)).float()
    found = judged(made, params, ImageClasses(windows, 5, 1, 3), 20)
    assert found.shape == (20,)
    assert float(found.mean()) > 25, "better than one in five"


def test_a_folded_window_is_unfolded_in_time():
    window = torch.arange(24.0).reshape(2, 3, 4)  # examples, steps, features
    assert torch.equal(Folded(3).encode(window.flatten(1), torch.Generator()), window.movedim(1, 0))


def test_curves_change_one_field_and_intervals_are_half_widths():
    for name, (field, values) in STEPS.items():
        assert getattr(changed(name, field, values[-1]).plasticity, field) == values[-1]
    assert spread(torch.tensor([1.0, 3.0]))["ci95"] == pytest.approx(1.96)
