"""A window in segments: the same output, state and gradients as in one piece, in a fraction of the memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neurometa.core.layer import TimeAverage
from neurometa.core.network import Stack, mlp_network
from neurometa.core.neuron import ALIF, LIF, RefractoryLIF
from neurometa.core.segments import Segmented, whole
from neurometa.errors import UserError
from neurometa.types import Params, Record, Signal
from tests.small import LIVELY

STEPS = 11
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
"""The same sums in another order."""


def made(neuron: LIF = LIVELY, *, decay: float = 0.0, normalise: bool = False) -> Stack:
    return mlp_network((6,), (8, 7), neuron=neuron, steps=STEPS, outputs=3, readout_decay=decay, normalise=normalise)


def drawn(network: Stack, *, timed: bool) -> tuple[Params, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = {name: 1.5 * value for name, value in network.init(generator).items()}
    return params, torch.rand(*([STEPS] if timed else []), 4, 6, generator=generator)


def gradients(network: Stack | Segmented, params: Params, x: torch.Tensor, state: Params | None = None) -> list:
    """Output, final state, and the gradient of both with respect to parameters, input and initial state."""
    leaves = {name: value.clone().requires_grad_() for name, value in {**params, "x": x, **(state or {})}.items()}
    before = {name: leaves[name] for name in state} if state else None
    record = network.run({name: leaves[name] for name in params}, network.signal(leaves["x"]), before)
    ends = [record.output, *(record.state[name] for name in sorted(record.state))]
    loss = sum((end.sin() * (i + 1)).sum() for i, end in enumerate(ends))
    return [*ends, *torch.autograd.grad(loss, list(leaves.values()))]


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "held"])
@pytest.mark.parametrize("decay", [0.0, 0.8], ids=["rate", "membrane"])
@pytest.mark.parametrize("neuron", [LIVELY, LIVELY._replace(hard_reset=False)], ids=["hard", "subtractive"])
@pytest.mark.parametrize("segments", [2, 4, STEPS])
def test_output_state_and_gradients_equal_those_of_one_piece(neuron: LIF, decay: float, timed: bool, segments: int) -> None:
    network = made(neuron, decay=decay)
    params, x = drawn(network, timed=timed)
    assert all(0.02 < z.mean() < 0.98 for z in network.run(params, network.signal(x)).z.values())
    torch.testing.assert_close(gradients(Segmented(network, segments), params, x), gradients(network, params, x), **CLOSE)


@pytest.mark.parametrize("neuron", [ALIF(0.7, 0.4), RefractoryLIF(0.7, 0.4, refractory=1)], ids=["adaptive", "refractory"])
def test_neurons_with_more_state_in_recurrent_and_delayed_layers_are_equal_too(neuron: object) -> None:
    network = mlp_network((6,), (8, 7), neuron=neuron, steps=STEPS, outputs=3, recurrent=True, delay=1)
    params, x = drawn(network, timed=True)
    assert all(z.sum() > 20 for z in network.run(params, network.signal(x)).z.values())
    torch.testing.assert_close(gradients(Segmented(network, 4), params, x), gradients(network, params, x), **CLOSE)


@pytest.mark.parametrize("timed", [True, False], ids=["timed", "held"])
def test_from_a_state_on_they_are_equal_too(timed: bool) -> None:
    network = made()
    params, x = drawn(network, timed=timed)
    state = network.run(params, network.signal(x)).state
    found, expected = (gradients(net, params, x, state) for net in (Segmented(network, 3), network))
    torch.testing.assert_close(found, expected, **CLOSE)
    assert expected[-1].abs().sum() + expected[-2].abs().sum() > 0, "nothing flows to the initial state"


def loss(network: Stack | Segmented, x: torch.Tensor):
    return lambda params: network.run(params, network.signal(x)).output.sin().sum()


def test_torch_func_and_vmap_give_the_same_gradients() -> None:
    network = made()
    params, x = drawn(network, timed=True)
    expected = torch.func.grad(loss(network, x))(params)
    torch.testing.assert_close(torch.func.grad(loss(Segmented(network, 3), x))(params), expected, **CLOSE)
    xs = torch.stack([x, x.flip(0)])
    many = [torch.func.vmap(lambda one, n=n: torch.func.grad(loss(n, one))(params))(xs) for n in (network, Segmented(network, 3))]
    torch.testing.assert_close(many[1], many[0], **CLOSE)
    tasks = {name: torch.stack([value, 1.1 * value]) for name, value in params.items()}
    many = [torch.func.vmap(torch.func.grad(loss(n, x)))(tasks) for n in (network, Segmented(network, 3))]
    torch.testing.assert_close(many[1], many[0], **CLOSE)


def test_second_derivatives_are_refused_with_what_to_choose() -> None:
    network = Segmented(made(), 3)
    params, x = drawn(network.stack, timed=False)

    def bent(params: Params) -> torch.Tensor:
        return sum(g.square().sum() for g in torch.func.grad(loss(network, x))(params).values())

    with pytest.raises(UserError, match="choose estimator first-order, or segments = 1"):
        torch.func.grad(bent)(params)


def test_statistics_of_a_segment_are_refused_by_the_layers_name_and_given_ones_are_used() -> None:
    network = made(normalise=True)
    params, x = drawn(network, timed=True)
    with pytest.raises(UserError, match="layer norm1 would measure its statistics on each segment"):
        Segmented(network, 3).run(params, network.signal(x))
    given = {**params, **network.run(params, network.signal(x)).statistics}
    records = [net.run(given, network.signal(x)) for net in (network, Segmented(network, 3))]
    torch.testing.assert_close(records[1].output, records[0].output, **CLOSE)


def test_more_segments_than_steps_are_refused() -> None:
    network = made()
    params, x = drawn(network, timed=True)
    with pytest.raises(UserError, match="12 segments given for a window of 11 steps: choose at most 11"):
        Segmented(network, 12).run(params, Signal(x, True))


def test_body_and_readout_by_themselves_are_the_network() -> None:
    network = Segmented(made(), 3)
    params, x = drawn(network.stack, timed=True)
    body, head = network.split()
    assert isinstance(body, Segmented)
    features = body.run(params, body.signal(x)).output
    torch.testing.assert_close(head.run(params, head.signal(features)).output, network.run(params, network.signal(x)).output, **CLOSE)
    assert features.shape[1:] == (network.features,) == (7,)
    assert isinstance(whole(network).run(params, network.signal(x)), Record)
    assert not network.vmappable


LONG = """
import sys, torch
from pathlib import Path
from neurometa.core.network import mlp_network
from neurometa.core.neuron import LIF
from neurometa.core.segments import Segmented

steps, segments = map(int, sys.argv[1:])
torch.set_num_threads(1)
network = Segmented(mlp_network((512,), (512, 512), neuron=LIF(0.9, 1.0), steps=steps, outputs=10), segments)
params = {name: value.requires_grad_() for name, value in network.init(torch.Generator().manual_seed(0)).items()}
held = 0.3 * torch.rand(64, 512, generator=torch.Generator().manual_seed(1))

def peak_mb():  # not getrusage's, which a new process takes over from the one that started it
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024

network.run(params, network.signal(held[:1]))  # libraries and compiled kernels are loaded
before = peak_mb()
record = network.run(params, network.signal(held))
record.output.square().sum().backward()
print(peak_mb() - before, float(record.state["lif2.z"].mean()), float(params["linear1.weight"].grad.abs().max()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory in /proc")
def test_memory_follows_the_segment_and_not_the_window() -> None:
    """At 4,000 steps and 100 segments, too long for a test, the whole process stays below 2 GB."""
    peaks = []
    for segments in (1, 10):
        done = subprocess.run([sys.executable, "-c", LONG, "200", str(segments)], capture_output=True, text=True, check=True)
        peak_mb, rate, slope = map(float, done.stdout.split())
        assert rate > 0.01, "a silent network proves nothing"
        assert slope > 0
        peaks.append(peak_mb)
    assert peaks[1] < peaks[0] / 2


def test_a_network_that_is_not_averaged_over_time_is_refused_instead_of_run_whole() -> None:
    network = made()
    params, x = drawn(network, timed=True)
    unaveraged = network._replace(layers=tuple(layer for layer in network.layers if not isinstance(layer[1], TimeAverage)))
    with pytest.raises(UserError, match="not averaged over time before its readout: choose 1"):
        Segmented(unaveraged, 3).run(params, Signal(x, True))


def test_an_average_over_the_last_steps_alone_is_refused() -> None:
    network = made()
    params, x = drawn(network, timed=True)
    late = tuple((name, layer._replace(last=2) if isinstance(layer, TimeAverage) else layer) for name, layer in network.layers)
    with pytest.raises(UserError, match="averaged over its last steps alone: choose 1"):
        Segmented(network._replace(layers=late), 3).run(params, Signal(x, True))
