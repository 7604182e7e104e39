"""The benchmarks: that they compare equals, and what they print. Nothing here is timed against a bound."""

import pytest
import torch

from experiments.speed import eprop, lif, memory
from experiments.speed.cases import conv, mlp
from experiments.speed.maml import MODES, disagreement, measure

CONV, MLP = conv((4, 4), 3, 8), mlp(16, (8, 8), 5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [CONV, MLP], ids=["conv", "mlp"])
def test_everyone_computes_the_same_outer_gradient(case, mode):
    assert disagreement(case, mode) < 1e-6  # float64, but snnTorch keeps its constants in float32


@pytest.mark.parametrize("case", [CONV, MLP], ids=["conv", "mlp"])
def test_the_networks_that_are_timed_spike(case):
    pictures = case.episodes(1, torch.float64).support.x[0]
    record = case.network.run(case.params(torch.float64), case.network.signal(pictures))
    assert len(record.z) == 2
    assert all(0 < float(z.mean()) < 1 for z in record.z.values())


def test_a_ratio_for_every_case_and_peer():
    result = measure([(MLP, 1)], rounds=1)
    assert set(result["ratios"]) == {f"mlp-16-8-8-5-T5/{mode}" for mode in MODES}
    for key, row in result["ratios"].items():
        assert set(row) == {"loop", "snntorch"} | ({"all-weights"} if key.endswith("readout") else set())
        assert all(value > 0 for value in row.values())


SMALL = (lif.Case("ff-12-9-7-b3", (12, 9, 7), 3, steps=20), lif.Case("rec-8-b3", (8, 8), 3, recurrent=True, steps=20))


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_everyone_emits_the_same_spikes(case):
    differences = lif.disagreement(case)
    assert {"snntorch", "loop"} <= set(differences)
    assert set(differences.values()) == {0.0}


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_everyone_differentiates_by_as_many_weights(case):
    everyone = lif.contestants(case, torch.float32)
    counts = {name: sum(w.numel() for w in one.weights) for name, one in everyone.items()}
    assert set(counts.values()) == {sum(w.numel() for w in case.params(torch.float32).values())}
    for one in everyone.values():
        one.forward()
        one.both()


def test_windows_of_every_case_are_timed_and_the_ratios_are_those_of_the_seconds():
    result = lif.measure(SMALL, rounds=1, quick=True)
    assert set(result["ratios"]) == {case.name for case in SMALL}
    for name, row in result["ratios"].items():
        seconds = result["seconds"][1][name]["forward+backward"]
        assert {"snntorch", "products"} <= set(row)
        assert row["snntorch"] == pytest.approx(seconds["snntorch"] / seconds["neurometa"], abs=0.01)


def test_peak_memory_sees_an_array_that_lives_for_a_moment(monkeypatch):
    class Hungry:
        def both(self):
            torch.ones(20_000_000).sum()

    monkeypatch.setattr(memory, "everyone", lambda: {"hungry": lambda *_: Hungry()})
    risen = memory.rise_mb(SMALL[0], "hungry")
    assert 75 < risen < 130  # 80 MB and a little


TRACED = (eprop.Case("lif", 30, 12), eprop.Case("alif", 30, 12))


@pytest.mark.parametrize("case", TRACED, ids=lambda case: case.name)
def test_every_form_of_eprop_gives_the_gradient_of_backpropagation(case):
    assert eprop.disagreement(case) < 1e-10


def test_eprop_is_measured_against_every_peer():
    row = eprop.seconds(TRACED[0], rounds=1)
    assert set(row) == {"neurometa", "chunked", "bptt", "bptt-loop", "naive"}
    assert all(value > 0 for value in row.values())
