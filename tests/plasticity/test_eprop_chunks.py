"""e-prop chunk by chunk is e-prop at once, and online updates are not."""

import pytest
import torch

from neurometa.plasticity.eprop import EProp
from neurometa.types import Data
from tests.plasticity.networks import LABELS, NEURONS, dense, learnt, raster


@pytest.mark.parametrize("chunk", [1, 7, 30])
@pytest.mark.parametrize(("name", "kappa"), [(name, kappa) for name in NEURONS for kappa in (0.0, 0.8)])
def test_chunks_of_any_length_add_up_to_the_whole_window(name: str, kappa: float, chunk: int) -> None:
    network, slow = dense(NEURONS[name], widths=(9, 8), recurrent=True, readout_decay=kappa)
    rule = EProp(rate=1.0, feedback="random")
    slow |= rule.slow(network, slow, torch.Generator().manual_seed(2))
    x = raster(30, 4, 7)
    whole, parts = (learnt(one, network, slow, x, LABELS) for one in (rule, rule._replace(chunk=chunk)))
    for key, value in whole.items():
        assert value.abs().max() > 1e-5
        torch.testing.assert_close(parts[key], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NEURONS)
def test_an_outer_gradient_that_holds_traces_constant_does_not_depend_on_chunks(name: str) -> None:
    network, slow = dense(NEURONS[name], readout_decay=0.8)
    x, found = raster(30, 4, 7), []
    for chunk in (0, 7):
        rule = EProp(rate=1.0, truncate=True, chunk=chunk)
        leaves = {key: value.clone().requires_grad_() for key, value in slow.items()}
        fast = rule.adapt(network, leaves, Data(x, LABELS)).fast
        loss = sum(value.square().sum() for value in fast.values())
        found.append(torch.autograd.grad(loss, [leaves["linear1.weight"], leaves["readout.weight"]]))  # type: ignore[arg-type]
    for whole, parts in zip(*found, strict=True):
        assert whole.abs().max() > 1e-3
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)


def test_an_update_at_the_end_is_one_update_however_many_chunks_there_are() -> None:
    network, slow = dense(NEURONS["lif-hard"])
    data = Data(raster(30, 4, 7), LABELS)
    at_once, in_chunks = (EProp(chunk=chunk).adapt(network, slow, data).work for chunk in (0, 7))
    assert [float(x) for x in in_chunks] == [float(x) for x in at_once]
    assert float(EProp(chunk=10, online=True).adapt(network, slow, data).work.synaptic_updates) == 3 * float(at_once.synaptic_updates)


@pytest.mark.parametrize("trace", ["plain", "membrane"])
def test_chunks_carry_every_kind_of_trace(trace: str) -> None:
    network, slow = dense(NEURONS["alif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    whole, parts = (learnt(EProp(rate=1.0, trace=trace, chunk=c), network, slow, x, LABELS) for c in (0, 11))
    torch.testing.assert_close(parts["linear1.weight"], whole["linear1.weight"], rtol=1e-10, atol=1e-13)


def test_online_updates_move_the_weights_while_the_window_runs() -> None:
    network, slow = dense(NEURONS["lif-hard"], readout_decay=0.8)
    x = raster(30, 4, 7)
    rule = EProp(rate=0.5, chunk=10)
    at_end, online = (one.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"] for one in (rule, rule._replace(online=True)))
    assert (at_end - online).abs().max() > 1e-5
    one_chunk = rule._replace(chunk=30, online=True).adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"]
    torch.testing.assert_close(one_chunk, rule.adapt(network, slow, Data(x, LABELS)).fast["linear1.weight"])
