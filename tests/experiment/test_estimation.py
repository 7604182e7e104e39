"""Estimates of runs: schema, comparisons that say how their sides differ, cards of the user's own."""

import json
import shutil

import pytest
import torch

from neurometa.energy.estimate import Settings
from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, estimation, evaluation, folder, load, session
from neurometa.experiment.progress import Silent
from neurometa.report import estimates

CARD = """
chip = "mine"
title = "My chip"
about = "A test."
model = "event"
precision = "int8"
[energy]
synaptic_event = { value = 2, low = 1, high = 3, unit = "pJ", kind = "measured", source = "davies2018", locator = "Table 2" }
"""


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the tiny run, to be written to."""
    shutil.copytree(finished.path, tmp_path / "run")
    return folder.open_run(tmp_path / "run")


@pytest.fixture(scope="module")
def twin(tmp_path_factory, _characters_are_drawn_once):
    """The tiny run's conventional twin."""
    from tests.experiment.conftest import TINY

    text = TINY.replace('name = "tiny"', 'name = "twin"').replace('{ kind = "lif", threshold = 0.5 }', '{ kind = "relu" }')
    import tomllib

    return session.start(load.convert(tomllib.loads(text), "twin"), tmp_path_factory.mktemp("twins"), None, Silent())[0]


def ask(runs, names=("loihi1", "digital45-int8"), episodes=3, settings=Settings()):  # noqa: B008
    return estimation.ask(runs, estimation.cards(list(names), None), settings, episodes, None, None, Silent())


def test_an_estimate_has_the_fields_that_are_documented_and_is_kept(run):
    answer = ask([run])
    assert json.loads((run.path / "estimate.json").read_text()) == {k: v for k, v in answer.items() if k not in ("differences", "ratios")}
    assert {(one["chip"], one["profile"], one["phase"]) for one in answer["estimates"]} == {
        (chip, profile, phase)
        for chip, profile in (("loihi1", "davies2018"), ("loihi1", "sanafe2025"), ("digital45", "int8"))
        for phase in ("inference", "adaptation")
    }
    for one in answer["estimates"]:
        assert one["energy_nj"]["low"] <= one["energy_nj"]["value"] <= one["energy_nj"]["high"]
        assert one["energy_nj"]["value"] == pytest.approx(sum(part["value"] for part in one["parts"].values()))
        assert one["basis"]
        assert one["includes_static"] == (one["chip"] == "loihi1")
    spread = answer["spread"][0]
    both = [one["energy_nj"] for one in answer["estimates"] if (one["chip"], one["phase"]) == ("loihi1", "inference")]
    assert spread["energy_nj"]["low"] == min(one["low"] for one in both)
    assert spread["energy_nj"]["value"] == pytest.approx((both[0]["value"] * both[1]["value"]) ** 0.5)
    counts = answer["runs"][0]["counts"]["inference"]
    assert (counts["samples"], counts["steps"]) == (3 * 3 * 2, 4)
    assert counts["total"]["spikes"]["mean"] > 0
    total = sum(layer["synaptic_events"]["mean"] for layer in counts["layers"].values() if "synaptic_events" in layer)
    assert total == pytest.approx(counts["total"]["synaptic_events"]["mean"])


def test_spikes_counted_are_those_of_the_summary(run):
    asked = build.question(run.experiment)
    params = checkpoint.read(run.checkpoint).parameters()
    summary = evaluation.answer(run, params, build.unseen(run.experiment, asked, None), asked, 5, 1, Silent())
    counts = ask([run], episodes=5)["runs"][0]["counts"]["inference"]
    assert counts["total"]["spikes"]["mean"] == pytest.approx(summary["spikes_per_inference"], rel=0.5)
    assert counts["spike_rate"] == pytest.approx(counts["total"]["spikes"]["mean"] / (12 * 4))


def test_a_comparison_says_first_how_its_sides_differ(run, twin):
    answer = ask([run, twin])
    assert [text.split(" ")[0] for text in answer["differences"]] == ["accuracy", "node", "precision"]
    lines = estimates.lines(answer)
    assert lines[0].startswith("not like for like: the two sides differ in accuracy (")
    assert "14 nm, 45 nm against 45 nm" in lines[0]
    assert "A = tiny (spiking, " in lines[0]
    (refused,) = (line for line in lines if "carries spikes, this network has activations" in line)
    assert refused.startswith("not possible: twin: 1 chip (")
    assert refused.endswith(": loihi1)")


def test_a_comparison_says_how_many_times_as_much_and_whether_that_crosses_one(run, twin):
    answer = ask([run, twin], ("loihi1-davies2018", "digital45-int8", "h200"))
    (own, same) = (one for one in answer["ratios"] if one["phase"] == "inference")
    energy = {(one["side"], one["chip"]): one["energy_nj"] for one in answer["estimates"] if one["phase"] == "inference"}
    assert (same["kind"], same["chips"]) == ("same chip", ["digital45-int8", "digital45-int8"])
    assert (own["kind"], own["chips"]) == ("own chips", ["loihi1-davies2018", "digital45-int8"])
    for one, chips in ((same, ("digital45", "digital45")), (own, ("loihi1", "digital45"))):
        a, b = energy[0, chips[0]], energy[1, chips[1]]
        assert one["ratio"] == {"low": a["low"] / b["high"], "value": a["value"] / b["value"], "high": a["high"] / b["low"]}
        assert one["verdict"] == ("less" if a["high"] < b["low"] else "more" if a["low"] > b["high"] else "undecided")
    lines = estimates.lines(answer)
    assert lines[1].startswith("inference: A / B = ")
    assert "(A on loihi1-davies2018; B on digital45-int8, a lower bound)" in lines[1]
    assert "(both on digital45-int8, a lower bound)" in lines[2]
    assert any("the published break-even of 5.7 %" in line for line in lines)


def test_where_no_chip_takes_both_sides_it_says_that_nothing_is_compared(run, twin):
    lines = estimates.lines(ask([run, twin], ("loihi1-davies2018",)))
    assert lines[1].startswith(f"nothing is compared: no chip here takes {twin.experiment.name}; name one")


def test_lower_bounds_are_marked(run):
    answer = ask([run], ("loihi1-davies2018", "digital45-int8", "h200-bf16"))
    assert {one["chip"]: one["lower_bound"] for one in answer["estimates"]} == {"loihi1": False, "digital45": True, "h200": True}
    lines = estimates.lines(answer)
    counted = next(i for i, line in enumerate(lines) if line.startswith("counted: "))
    said = [line for line in lines[:counted] if line.startswith("  ")]
    assert {line.split()[0]: ">=" in line for line in said if not line.startswith("  chip")} == {
        "loihi1": False,
        "digital45": True,
        "h200": True,
    }


def test_counts_stand_one_a_line_both_phases_beside_each_other(run):
    answer = ask([run], ["loihi1"])
    lines = estimates.lines(answer)
    start = next(i for i, line in enumerate(lines) if line.startswith("counted: tiny"))
    assert lines[start].split("  ")[-1].strip() == "one support set (of 3)"
    shown = {line[:32].strip(): line[32:].split() for line in lines[start + 1 : lines.index("", start)]}
    mean = answer["runs"][0]["counts"]["inference"]["total"]["spikes"]["mean"]
    assert float(shown["spikes"][0]) == pytest.approx(mean, rel=0.01)
    assert shown["weight writes"][0] == "-"


def test_two_learners_of_one_name_are_two_sides(run):
    answer = ask([run, run], ["loihi1"])
    assert [one["side"] for one in answer["estimates"]] == [0] * 4 + [1] * 4


def test_the_same_chip_and_learner_on_both_sides_differ_in_nothing(run):
    answer = ask([run, run], ["digital45-int8"])
    assert answer["differences"] == []
    assert not estimates.lines(answer)[0].startswith("not like for like")


def test_a_chip_that_cannot_is_the_users_mistake_where_there_is_no_other(twin):
    with pytest.raises(UserError, match="carries spikes"):
        ask([twin], ["loihi1"])


def test_a_card_of_the_users_own_is_used(run, tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/mine.toml").write_text(CARD)
    (card,) = estimation.cards(["mine"], tmp_path / "cards")
    answer = estimation.ask([run], [card], Settings(), 2, None, None, Silent())
    one, counts = answer["estimates"][0], answer["runs"][0]["counts"]["inference"]["total"]
    assert one["energy_nj"]["value"] == pytest.approx(2e-3 * counts["synaptic_events"]["mean"])
    assert one["basis"] == ["energy.synaptic_event: 2 pJ, measured, davies2018"]


def test_estimating_changes_no_parameter_and_no_other_file(run):
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    torch.manual_seed(0)
    ask([run])
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file.name != "estimate.json"} == before
