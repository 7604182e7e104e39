"""SOEL: updates where an error is too large, none elsewhere."""

import numpy as np
import pytest
import torch

from neurometa.core.network import averaged_last, mlp_network
from neurometa.plasticity.soel import SOEL, STEEPNESS, THRESHOLD
from neurometa.types import Data
from tests import oracles_rules
from tests.small import LIVELY, Switches


@pytest.mark.parametrize("output", ["trace", "membrane"])
@pytest.mark.parametrize(("every", "delay"), [(1, 0), (3, 0), (1, 1), (1, 3), (2, 2)])
def test_weights_and_number_of_updates_are_those_of_the_rule(every: int, delay: int, output: str) -> None:
    network = averaged_last(mlp_network((1, 4, 4), (20,), neuron=LIVELY, steps=6))
    rule = SOEL(3, rate=2.0, tau=3.0, threshold=0.35, every=every, passes=4, signal_delay=delay, output=output)
    generator = torch.Generator().manual_seed(0)
    params = network.init(generator)
    slow = {**params, **rule.slow(network, params, generator)}
    support = Switches(3, 2, 1).sample(generator, 1).support
    known = Data(support.x[0], support.y[0])
    z = network.run(slow, network.signal(known.x)).z["lif1"]
    assert float(z.sum()) > 50
    adapted = rule.adapt(network, slow, known)
    expected, asked = oracles_rules.soel_walk(z.numpy(), known.y.numpy(), 3, 2.0, 3.0, 0.35, every, 4, delay, output)
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


def test_an_outer_gradient_reaches_the_threshold_through_a_sigmoid_in_place_of_the_jump() -> None:
    network = averaged_last(mlp_network((1, 4, 4), (20,), neuron=LIVELY, steps=4))
    rule = SOEL(2, rate=2.0, threshold=0.45, scale=1.5, every=4, passes=1)
    params = network.init(torch.Generator().manual_seed(0))
    slow = {**params, **rule.slow(network, params, torch.Generator())}
    support = Switches(2, 1, 1).sample(torch.Generator().manual_seed(0), 1).support
    known = Data(support.x[0, :1], support.y[0, :1])  # one example and one update, from y = 1/2: the errors are 1/2 and -1/2

    def written(log_threshold: torch.Tensor) -> torch.Tensor:
        return rule.adapt(network, {**slow, THRESHOLD: log_threshold}, known).fast["readout.weight"]

    weight, slope = written(slow[THRESHOLD]), torch.func.jacrev(written)(slow[THRESHOLD])
    assert float(weight.abs().max()) > 0.1
    soft = torch.sigmoid(torch.tensor(STEEPNESS * (0.5 - 0.45)))  # both errors trigger, so that the weight holds a factor of 1 for it
    torch.testing.assert_close(slope, -STEEPNESS * soft * (1 - soft) * 0.45 * weight, rtol=1e-10, atol=1e-12)
