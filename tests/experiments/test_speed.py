"""The benchmark of the outer step: that it compares equals, and what it prints. Nothing here is timed against a bound."""

import pytest
import torch

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
    result = measure([MLP], tasks=1, rounds=1)
    assert set(result["ratios"]) == {f"mlp-16-8-8-5-T5/{mode}" for mode in MODES}
    for key, row in result["ratios"].items():
        assert set(row) == {"loop", "snntorch"} | ({"all-weights"} if key.endswith("readout") else set())
        assert all(value > 0 for value in row.values())
