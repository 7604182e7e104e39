"""The control does nothing."""

import torch

from neurometa.core.network import mlp_network
from neurometa.plasticity.frozen import Frozen
from neurometa.types import Data
from tests.small import LIVELY, Switches


def test_it_writes_nothing_and_measures_the_supports_statistics(generator: torch.Generator) -> None:
    network = mlp_network((1, 4, 4), (6,), normalise=True, neuron=LIVELY, steps=4, outputs=2)
    params = network.init(generator)
    support = Switches().sample(generator, 1).support
    data = Data(support.x[0], support.y[0])
    adapted = Frozen().adapt(network, params, data)
    assert adapted.fast == {}
    assert bool(adapted.finite)
    assert [float(part) for part in adapted.work] == [0, 0, 0]
    measured = network.run(params, network.signal(data.x)).statistics
    assert adapted.statistics.keys() == measured.keys() != set()
    assert all(torch.equal(adapted.statistics[name], value) for name, value in measured.items())
    assert Frozen().adapt(network, {**params, **measured}, data).statistics == {}
    assert Frozen().slow(network, params, generator) == {}
