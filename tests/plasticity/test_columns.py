"""Of a weight of which only some inputs' synapses move, those move as ever and the others stay."""

import pytest
import torch

from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.step_size import Columns
from neurometa.types import Data
from tests.plasticity.networks import LABELS, NEURONS, dense, raster

FAST = ("linear1.weight", "readout.*")
SOME = (Columns("linear1.weight", 2, 5),)
RULES = {
    "eprop": EProp(fast=FAST),
    "eprop-online": EProp(fast=FAST, chunk=10, online=True),
    "eprop-single": EProp(fast=FAST, examples="single"),
    "bptt": BPTT(1, 0.1, fast=FAST),
}


@pytest.mark.parametrize("name", RULES)
def test_some_synapses_move_and_the_others_do_not(name: str) -> None:
    network, slow = dense(NEURONS["lif-hard"])
    data, before = Data(raster(30, 4, 7), LABELS), slow["linear1.weight"]
    after = RULES[name]._replace(columns=SOME).adapt(network, slow, data).fast["linear1.weight"]
    assert torch.equal(after[:, :2], before[:, :2])
    assert torch.equal(after[:, 5:], before[:, 5:])
    assert (after[:, 2:5] - before[:, 2:5]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["eprop", "bptt"])
def test_one_step_is_the_whole_step_cut_out(name: str) -> None:
    network, slow = dense(NEURONS["lif-hard"])
    data = Data(raster(30, 4, 7), LABELS)
    whole, some = (rule.adapt(network, slow, data) for rule in (RULES[name], RULES[name]._replace(columns=SOME)))
    assert torch.equal(some.fast["linear1.weight"][:, 2:5], whole.fast["linear1.weight"][:, 2:5])
    assert torch.equal(some.fast["readout.weight"], whole.fast["readout.weight"])
    still = 4 * len(slow["linear1.weight"])
    assert float(whole.work.synaptic_updates - some.work.synaptic_updates) == pytest.approx(still)
