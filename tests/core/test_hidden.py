"""Dense layers of neurons behind convolutions."""

import pytest
import torch

from neurometa.core.network import conv_network
from neurometa.core.neuron import LIF


def _network(hidden: tuple[int, ...], features: str = "spikes"):
    return conv_network(
        (1, 8, 8), (4, 6), (1, 1), (2, 1), neuron=LIF(0.5), steps=4, features=features, normalise_features=True, hidden=hidden, outputs=3
    )


@pytest.mark.parametrize("features", ["spikes", "current"])
def test_hidden_layers_stand_between_the_features_and_the_readout_and_spike(features: str) -> None:
    network = _network((10, 7), features)
    names = [name for name, _ in network.layers]
    assert names[-8:] == ["flatten", "features", "linear3", "lif3", "linear4", "lif4", "average", "readout"]
    record = network.run(network.init(torch.Generator().manual_seed(0)), network.signal(torch.rand(5, 1, 8, 8)))
    assert record.output.shape == (5, 3)
    assert record.z["lif3"].shape == (4, 5, 10)
    assert record.z["lif3"].sum() > 0


def test_only_one_average_over_time_remains() -> None:
    assert [name for name, _ in _network((10,), "current").layers].count("average") == 1
