"""The conventional unit makes an ordinary network."""

import torch
import torch.nn.functional as F

from neurometa.baselines.relu import ReLU
from neurometa.core.network import conv_network, mlp_network
from neurometa.types import Signal


def test_it_rectifies_and_notes_its_activations() -> None:
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    for timed in (True, False):
        y, noted = ReLU().apply({}, Signal(x.expand(4, 1, 3) if timed else x, timed), {})
        assert y.timed == timed
        assert torch.equal(y.values[..., 0, :], torch.tensor([0.0, 0.0, 2.0]).expand((*y.values.shape[:-2], 3)))
        assert noted["z"] is y.values
        assert "v" not in noted, "no membrane, so no state"


def test_a_dense_network_equals_plain_torch(generator: torch.Generator) -> None:
    network = mlp_network((1, 4, 4), (6, 5), neuron=ReLU(), steps=1, outputs=3)
    params, x = network.init(generator), torch.randn(7, 1, 4, 4, generator=generator)
    record = network.run(params, network.signal(x))
    h = F.relu(F.linear(x.flatten(1), params["linear1.weight"], params["linear1.bias"]))
    h = F.relu(F.linear(h, params["linear2.weight"], params["linear2.bias"]))
    expected = F.linear(h, params["readout.weight"], params["readout.bias"])
    torch.testing.assert_close(record.output, expected, rtol=1e-12, atol=1e-13)
    assert record.v == record.state == {}
    assert list(record.z) == ["relu1", "relu2"]


def test_a_convolutional_network_equals_plain_torch(generator: torch.Generator) -> None:
    shape, channels, strides, pools = (1, 8, 8), (4, 5), (1, 2), (2, 1)
    network = conv_network(shape, channels, strides, pools, pooling="max", neuron=ReLU(), steps=1, features="spikes", outputs=3)
    params, x = network.init(generator), torch.randn(7, 1, 8, 8, generator=generator)
    h = F.conv2d(x, params["conv1.weight"], padding=1)
    h = F.max_pool2d(F.relu(F.batch_norm(h, None, None, params["norm1.gain"], params["norm1.shift"], training=True)), 2)
    h = F.conv2d(h, params["conv2.weight"], stride=2, padding=1)
    h = F.relu(F.batch_norm(h, None, None, params["norm2.gain"], params["norm2.shift"], training=True)).flatten(1)
    expected = F.linear(h, params["readout.weight"], params["readout.bias"])
    torch.testing.assert_close(network.run(params, network.signal(x)).output, expected, rtol=1e-11, atol=1e-12)
