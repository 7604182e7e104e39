"""The comparison of rules: every row is built on the shared network, and what it is given keeps its order."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import make_rules_figures as figures
from experiments.curves import INNER, changed, points
from experiments.rules import rows as rows_module
from experiments.rules import shared
from experiments.rules.choose import halves, tried
from experiments.rules.judge import begun, judged, learner, spread, trained
from experiments.rules.rows import BODY, COUNTS, LAST, WHOLE, WINDOW, experiment, kept_as, rows, steps
from neurometa import tasks
from neurometa.core.network import averaged_last, conv_network
from neurometa.core.neuron import LIF
from neurometa.experiment import build, checkpoint

SHARED = Path(__file__).parents[2] / BODY / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def kinds() -> shared.Characters:
    """Eight characters in three typefaces, as the shared network sees them."""
    pictures = (tasks.glyphs("unseen", 5, 1, 2, True, 28, None).images[:8, :3].unsqueeze(2) > 127).float()
    made = experiment(rows(5)["prototype"], 5)
    params = {k: v for k, v in checkpoint.read(SHARED).parameters().items() if not k.startswith("prototype.")}
    network: Any = build.learner(made, 5).network
    found = shared.seen(network, params, (255 * pictures[:, :, 0]).to(torch.uint8), pictures)
    assert int(found.last.sum()) > 1000, "a silent network shows nothing"
    return found


@pytest.mark.parametrize("name", [name for name in rows(5) if name not in ("frozen", "bptt")])
def test_every_row_begins_with_the_shared_network_and_answers(name, kinds):
    row = rows(5)[name]
    params = begun(row, 5)
    saved = checkpoint.read(SHARED).parameters()
    assert all(torch.equal(value, saved[key]) for key, value in params.items() if key in saved and not key.startswith("prototype."))
    found = judged(row, params, shared.family(kinds, row.given, 5, 1, 2, steps()), 8)
    assert found.shape == (8,)
    assert float(found.mean()) > 40, "twice as good as one in five"


@pytest.mark.parametrize("name", ["stdp", "reward", "eprop-learnt"])
def test_a_meta_training_moves_what_belongs_to_the_rule_and_nothing_else(name, kinds):
    row = rows(5)[name]._replace(steps=2, tasks=1)
    before = begun(row, 5)
    after = trained(row, 5, 0, kinds, before).parameters
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith(f"{row.rule['kind']}.") for key in moved)


def test_what_is_kept_of_a_row_is_not_taken_for_that_of_other_settings(monkeypatch):
    one, other = kept_as("anil", 5, 0), kept_as("anil", 5, 1)
    assert one == kept_as("anil", 5, 0)
    monkeypatch.setitem(rows_module.CHOSEN, ("anil", 5), 0.5)
    assert len({one, other, kept_as("anil", 5, 0)}) == 3


def test_published_differences_are_those_of_the_published_means():
    lines = [json.loads(line) for line in (Path(figures.HERE) / "data" / "rules.jsonl").read_text().splitlines()]
    means = {(line["row"], line["task"], line["seed"]): line["trained"]["mean"] for line in lines}
    for line in lines:
        if "gain" in line:
            assert line["gain"]["mean"] == pytest.approx(line["trained"]["mean"] - line["by hand"]["mean"], abs=1e-3)
        if "over readout" in line:
            alone = means["eprop-readout", line["task"], line["seed"]]
            assert line["over readout"]["mean"] == pytest.approx(line["trained"]["mean"] - alone, abs=1e-3), line["row"]


def test_outer_rates_are_tried_on_one_half_of_the_characters_and_judged_on_the_other(kinds):
    learn, hold = halves(kinds)
    assert len(learn.pictures) + len(hold.pictures) == len(kinds.pictures)
    assert not any(torch.equal(one, other) for one in learn.pictures for other in hold.pictures)
    row = rows(5)["anil"]._replace(steps=3, tasks=1, learning_rate=1.0)
    found = tried(row, 5, 0, 6, kinds, kinds)
    assert found["gain"]["mean"] == pytest.approx(found["trained"]["mean"] - found["by hand"]["mean"], abs=1e-4)
    assert found["by hand"]["mean"] > 60


def test_pictures_and_what_was_kept_of_them_give_the_same_answers(kinds):
    params = begun(rows(5)["prototype"]._replace(given=WHOLE), 5)
    found = [judged(rows(5)["prototype"]._replace(given=given), params, shared.family(kinds, given, 5, 1, 2, steps(), 0.5), 4)
             for given in (WHOLE, LAST, COUNTS)]  # fmt: skip
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_network_is_cut_before_its_last_convolution():
    network = conv_network((1, 8, 8), (3, 4), (1, 1), (2, 1), neuron=LIF(threshold=0.5), steps=5, features="spikes")
    params = network.init(torch.Generator().manual_seed(0))
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = averaged_last(network).split()[0].run(params, network.signal(x))
    params |= whole.statistics
    early, late = shared.cut(network)
    assert late.shape == (3, 4, 4)
    assert late.layers[0][0] == "conv2"
    sent = early.run(params, early.signal(x)).output
    again = averaged_last(late).split()[0].run(params, late.signal(sent)).output
    assert float(again.sum()) > 0, "a silent network proves nothing"
    assert torch.equal(again, whole.output)


def test_a_folded_window_is_unfolded_in_time():
    window = torch.arange(48.0).reshape(2, 3, 8)  # examples, steps, features
    unfolded = shared.Folded(3, (2, 4)).encode(window.flatten(1).half(), torch.Generator())
    assert torch.equal(unfolded, window.movedim(1, 0).unflatten(-1, (2, 4)))


def test_every_row_runs_no_more_of_the_network_than_it_needs():
    first = {WHOLE: "conv1", LAST: "conv4", WINDOW: "readout", COUNTS: "readout"}
    networks: dict[str, Any] = {name: learner(row, 5).network for name, row in rows(5).items()}
    assert all(networks[name].layers[0][0] == first[row.given] for name, row in rows(5).items())


def test_curves_change_one_field_and_intervals_are_half_widths():
    for name, (field, values) in INNER.items():
        assert changed(rows(5)[name], field, values[-1]).rule[field] == values[-1]
    assert len({point[:3] for point in points()}) == len(points())
    assert spread(torch.tensor([1.0, 3.0]))["ci95"] == pytest.approx(1.96)


def test_figures_are_drawn_from_the_published_measurements(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "OUT", tmp_path)
    figures.rules()
    figures.curves()
    assert all((tmp_path / name).read_text(encoding="utf-8").startswith("<?xml") for name in ("rules.svg", "curves.svg"))
    assert all(json.loads(line)["row"] in rows(5) for line in (Path(BODY).parents[1] / "data" / "rules.jsonl").read_text().splitlines())
