"""SOEL: updates where an error is too large, none elsewhere."""

import numpy as np
import pytest
import torch

from neurometa.core.network import averaged_last, mlp_network
from neurometa.plasticity.soel import SOEL
from neurometa.types import Data
from tests import oracles_rules
from tests.small import LIVELY, Switches


@pytest.mark.parametrize("every", [1, 3])
def test_weights_and_number_of_updates_are_those_of_the_rule(every: int) -> None:
    network = averaged_last(mlp_network((1, 4, 4), (20,), neuron=LIVELY, steps=6))
    rule = SOEL(3, rate=2.0, tau=3.0, threshold=0.35, every=every, passes=4)
    generator = torch.Generator().manual_seed(0)
    params = network.init(generator)
    slow = {**params, **rule.slow(network, params, generator)}
    support = Switches(3, 2, 1).sample(generator, 1).support
    known = Data(support.x[0], support.y[0])
    z = network.run(slow, network.signal(known.x)).z["lif1"]
    assert float(z.sum()) > 50
    adapted = rule.adapt(network, slow, known)
    expected, asked = oracles_rules.soel_walk(z.numpy(), known.y.numpy(), 3, 2.0, 3.0, 0.35, every, 4)
    np.testing.assert_allclose(adapted.fast["readout.weight"].numpy(), expected, rtol=1e-10, atol=1e-12)
    assert float(adapted.work.synaptic_updates) == asked * 20
    assert 0 < asked < 4 * 6 * 6 * 3 / every, "some errors are borne"
    assert torch.equal(network.run({**slow, **adapted.fast}, network.signal(known.x)).output.argmax(-1), known.y)


def test_a_threshold_above_every_error_leaves_the_weights_alone() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (20,), neuron=LIVELY, steps=6))
    rule = SOEL(2, threshold=0.99)
    params = network.init(torch.Generator().manual_seed(0))
    slow = {**params, **rule.slow(network, params, torch.Generator())}
    support = Switches(2, 1, 1).sample(torch.Generator().manual_seed(0), 1).support
    adapted = rule.adapt(network, slow, Data(support.x[0], support.y[0]))
    assert not adapted.fast["readout.weight"].any()
    assert float(adapted.work.synaptic_updates) == 0
