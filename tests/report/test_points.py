"""The energy-accuracy plane: what enters it, its fronts, the least energy at an accuracy, and the files that are drawn."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.report import plot, points
from neurometa.report.points import Ends, Point, front, iso, least

CONFIG = """name = "{name}"
[task]
kind = "glyphs"
[network]
kind = "conv"
neuron = {{ kind = "{neuron}" }}
[evaluation]
bits = {bits}
"""


def estimate(chip, energy, profile="", model="event", bound=False, phase="inference", precision="integers", batch=None):
    ends = {"low": energy / 2, "value": energy, "high": energy * 2}
    return {"chip": chip, "profile": profile, "model": model, "phase": phase, "precision": precision, "batch": batch, "energy_nj": ends,
            "latency_us": ends, "lower_bound": bound}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def make(name, accuracy, estimates, neuron="lif", bits=32):
        path = tmp_path / name
        path.mkdir()
        (path / "config.toml").write_text(CONFIG.format(name=name, neuron=neuron, bits=bits))
        task = {"kind": "glyphs", "ways": 5, "shots": 1}
        (path / "summary.json").write_text(json.dumps({"task": task, "accuracy": {"mean": accuracy, "ci95": 0.5}}))
        (path / "estimate.json").write_text(json.dumps({"estimates": estimates}))
        return path

    return make


def test_profiles_of_a_spiking_chip_are_one_device_and_precisions_are_several(folder):
    loihi = [estimate("loihi1", 100, "a"), estimate("loihi1", 400, "b")]
    circuits = [estimate("digital45", 50, "int8", "digital", True, precision="int8"), estimate("digital45", 90, "fp32", "digital", True)]
    found = {p.device: p for p in points.read([folder("one", 90, [*loihi, *circuits])])}
    assert set(found) == {"loihi1", "digital45 int8", "digital45 fp32"}
    assert found["loihi1"].energy == (50, pytest.approx(200), 800)
    assert (found["loihi1"].bound, found["digital45 int8"].bound) == ("", "yes")


def test_an_accuracy_counts_on_a_device_that_can_hold_its_numbers_where_there_is_such_a_one(folder):
    both = [estimate("digital45", 50, "int8", "digital", precision="int8"), estimate("digital45", 90, "fp32", "digital", precision="fp32")]
    full, byte = folder("full", 95, both, "relu"), folder("byte", 94, both, "relu", 8)
    assert {(p.run, p.device) for p in points.read([full, byte])} == {
        ("full", "digital45 fp32"), ("byte", "digital45 int8"), ("byte", "digital45 fp32")
    }  # fmt: skip
    assert {p.device for p in points.read([full])} == {"digital45 int8", "digital45 fp32"}  # alone it is shown, however it was measured
    assert not next(p for p in points.read([full]) if p.device == "digital45 int8").fits


def test_a_run_without_an_estimate_is_refused(folder):
    path = folder("one", 90, [])
    (path / "estimate.json").unlink()
    with pytest.raises(UserError, match=r"has no estimate.json: run `neurometa estimate"):
        points.read([path])


def point(accuracy, energy, spiking=True, bound=""):
    ends = Ends(energy / 2, energy, energy * 2)
    return Point("run", "task", spiking, "chip", "inference", accuracy, 0.5, ends, ends, bound, True)


@given(st.lists(st.tuples(st.integers(50, 99), st.integers(1, 50)), min_size=1, max_size=12))
def test_no_point_of_a_front_is_beaten_and_every_other_point_is(values):
    cloud = [point(*value) for value in values]
    best = front(cloud)
    for a, b in itertools.pairwise(best):
        assert a.energy.value < b.energy.value
        assert a.accuracy < b.accuracy
    for other in cloud:
        assert any(p.accuracy >= other.accuracy and p.energy.value <= other.energy.value for p in best)
    for level in (60, 80, 99):
        cheapest = least(cloud, level)
        reaching = [p for p in cloud if p.accuracy >= level]
        assert (cheapest is None) == (not reaching)
        assert cheapest is None or cheapest.energy.value == min(p.energy.value for p in reaching)


def test_equal_accuracy_is_compared_without_favour_to_spikes():
    cloud = [point(95, 10, bound="yes"), point(94, 40), point(96, 20, False, "yes"), point(96, 1, False, "peak")]
    (low, high) = iso(cloud, [90, 95])
    assert low["spiking"]["energy_nj"]["value"] == 40  # the cheaper one leaves out something of weight
    assert low["conventional"]["energy_nj"]["value"] == 20  # a bound from peak numbers is none
    assert low["ratio"] == {"low": 20 / 40, "value": 2, "high": 80 / 10}
    assert (high["spiking"], high["ratio"]) == (None, None)


def test_a_tradeoff_is_drawn_in_three_formats_with_a_twin(folder, tmp_path):
    phases = ("inference", "adaptation")
    spiking = folder("spiking", 93, [estimate("loihi1", 100, "a", phase=phase) for phase in phases])
    plain = folder("plain", 96, [estimate("digital45", 50, "int8", "digital", True, phase) for phase in phases], "relu")
    files, found = plot.write("tradeoff", [spiking, plain], tmp_path / "out/front")
    assert [file.name for file in files] == [f"front{twin}{kind}" for twin in ("", "-latency") for kind in (".pdf", ".svg", ".png")]
    assert all(file.stat().st_size > 2000 for file in files)
    assert "ratio 2 (0.5 to 8)" in plot.table(found)[0]
    (one, _), _ = plot.write("tradeoff", [spiking], tmp_path / "one.png")
    assert one.name == "one.png"
    with pytest.raises(UserError, match="plot pie is not known: expected one of tradeoff, learning, raster"):
        plot.write("pie", [spiking], None)
    with pytest.raises(UserError, match=r"ends in .pdf, .svg or .png"):
        plot.write("tradeoff", [spiking], tmp_path / "x.gif")
