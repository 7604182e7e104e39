"""A network that is trained in integers is its export: every spike and every potential of the chip, bit for bit."""

import msgspec
import numpy as np
import pytest
import torch

from neurometa.core.layer import Norm
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import IF, LIF
from neurometa.export.bundle import Bundle, check
from neurometa.export.emulator import play
from neurometa.export.loihi import Chip, chip_input, fold, rounded
from neurometa.types import Params

STEPS = 5
CONV = ((1, 14, 14), (6, 5, 4), (1, 1, 1))
WIDE = ((1, 28, 28), (40, 6), (1, 1))
DENSE = ((1, 6, 6), (20, 12))
NETWORKS = {
    "conv, current read": lambda: conv_network(*CONV, (2, 2, 1), neuron=LIF(0.5, 0.4), steps=STEPS),
    "conv, spikes read": lambda: conv_network(*CONV, (2, 1, 2), neuron=LIF(0.63, 0.4), features="spikes", steps=STEPS),
    "conv, pools of three, sums": lambda: conv_network(*CONV, (3, 2, 1), pooling="sum", neuron=LIF(0.8, 0.6), steps=STEPS),
    "conv, average pools of three": lambda: conv_network(*CONV, (3, 1, 1), neuron=LIF(0.7, 0.4), features="spikes", steps=STEPS),
    "conv, dense behind, delayed": lambda: conv_network(
        *CONV, (2, 1, 2), neuron=LIF(0.7, 0.15), features="spikes", hidden=(7,), delay=1, steps=STEPS
    ),
    "conv, wide windows": lambda: conv_network(*WIDE, (7, 1), neuron=LIF(0.5, 0.15), steps=STEPS),
    "conv, wide windows, spikes read": lambda: conv_network(*WIDE, (7, 1), neuron=LIF(0.5, 0.15), features="spikes", steps=STEPS),
    "mlp, spikes read": lambda: mlp_network(*DENSE, neuron=LIF(0.7, 0.3), steps=STEPS),
    "mlp, normalised, current read": lambda: mlp_network(*DENSE, normalise=True, features="current", neuron=IF(0.6), steps=STEPS),
    "mlp, delayed": lambda: mlp_network(*DENSE, neuron=LIF(0.37, 0.3), delay=1, features="current", steps=STEPS),
}


def trained(network: Stack, generator: torch.Generator) -> Params:
    """Parameters with statistics, as if trained, and biases that are not 0."""
    params = network.init(generator)
    for name, layer in network.layers:
        if isinstance(layer, Norm):
            size = params[f"{name}.gain"].shape
            params[f"{name}.mean"] = 0.3 * torch.randn(size, generator=generator)
            params[f"{name}.var"] = 0.05 + 0.1 * torch.rand(size, generator=generator)
            params[f"{name}.shift"] = 0.2 * torch.randn(size, generator=generator)
        if f"{name}.bias" in params:
            params[f"{name}.bias"] = 0.2 * torch.randn(params[f"{name}.bias"].shape, generator=generator)
    return {name: value.float() for name, value in params.items()}


def potentials(bundle: Bundle, name: str, given: np.ndarray, timed: bool) -> np.ndarray:
    """Potentials of a population after their reset, of each step of the float network's window, (steps, n, batch)."""
    onset = next(one.onset for one in bundle.network.populations if one.name == name)
    found = []
    for t in range(onset, onset + STEPS):
        shorter = bundle._replace(network=msgspec.structs.replace(bundle.network, steps=t + 1))
        found.append(play(shorter, given[: t + 1] if timed else given, timed=timed).potential[name])
    return np.stack(found)


@pytest.mark.parametrize("timed", [False, True], ids=["held", "in-time"])
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("name", NETWORKS, ids=lambda name: name.replace(", ", "-").replace(" ", "-"))
def test_what_is_trained_is_what_is_exported(name: str, bits: int, timed: bool, generator: torch.Generator) -> None:
    network = NETWORKS[name]()._replace(bits=bits, integers=True)
    params = trained(network, generator)
    shape = (STEPS, 6, *network.shape) if timed else (6, *network.shape)
    x = network.signal((torch.rand(shape, generator=generator) < 0.4).float())
    record = network.run(params, x)
    folded = fold(network, params, STEPS)
    bundle, _ = rounded(folded, None, "n", bits)
    check(bundle)
    if "wide" in name and bits == 8:
        assert bundle.network.synapses[-1].exponent <= -2, "only sums that are rounded down prove that they are"
    given, _ = chip_input(bundle, folded, x)
    played = play(bundle, given, timed=timed)
    for stage in folded.stages:
        if stage.accumulates:
            continue
        own, onset = played.spikes[stage.name], stage.onset
        steps = min(STEPS, len(own) - onset)
        z = record.z[stage.layer][:steps].flatten(2).transpose(1, 2)
        assert 0.02 < float(z.mean()) < 0.98, "a silent network proves nothing"
        np.testing.assert_array_equal(z.numpy(), own[onset : onset + steps])
        if steps == STEPS:
            v = (record.v[stage.layer] * (1 - record.z[stage.layer])).flatten(2).transpose(1, 2).numpy()
            scale = bundle.network.scales[stage.name]
            np.testing.assert_array_equal(v, (potentials(bundle, stage.name, given, timed) * (1 / scale)).astype(np.float32))
    output = Chip(bundle, folded).split()[0].run(params, x).output
    assert torch.equal(network.split()[0].run(params, x).output, output)
    assert bool((output != output[:1]).any()), "an output that does not hang on the input proves nothing"
