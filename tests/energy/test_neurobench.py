"""Counts equal NeuroBench's workload metrics on the same network, stepped through snnTorch as NeuroBench wants it."""

import pytest
import torch
from torch import nn

from neurometa.baselines.relu import ReLU
from neurometa.core.layer import Conv2d, Flatten, Linear, Norm, Spiking
from neurometa.core.network import Stack
from neurometa.core.neuron import LIF
from neurometa.energy.count import observe
from neurometa.energy.counts import means, total
from neurometa.energy.stage import stages
from tests.energy.nets import STEPS, conv, pictures

pytest.importorskip("neurobench", reason="neurobench is not installed: `pip install --no-deps neurobench`, as `make test` does")

DECAY, THRESHOLD = 0.6, 0.4


def twin(network, params):
    """The same layers as snnTorch modules, normalisation folded into the convolutions."""
    import snntorch as snn

    modules = []
    for i, (name, layer) in enumerate(network.layers):
        if isinstance(layer, Conv2d):
            norm = network.layers[i + 1][0]
            gain = params[f"{norm}.gain"] * torch.rsqrt(params[f"{norm}.var"] + 1e-5)
            made = nn.Conv2d(*params[f"{name}.weight"].shape[1::-1], layer.kernel, layer.stride, layer.kernel // 2)
            made.weight.data = params[f"{name}.weight"] * gain[:, None, None, None]
            made.bias.data = params[f"{norm}.shift"] - params[f"{norm}.mean"] * gain
        elif isinstance(layer, Linear):
            made = nn.Linear(*params[f"{name}.weight"].shape[::-1])
            made.weight.data, made.bias.data = params[f"{name}.weight"], params[f"{name}.bias"]
        elif isinstance(layer, Spiking):
            made = snn.Leaky(beta=DECAY, threshold=THRESHOLD, reset_mechanism="zero", init_hidden=True)
        elif isinstance(layer, ReLU):
            made = nn.ReLU()
        elif isinstance(layer, Flatten):
            made = nn.Flatten()
        elif isinstance(layer, Norm) or name == "average":
            continue
        else:
            made = nn.AvgPool2d(layer.size)
        modules.append(made)
    return nn.Sequential(*modules)


@pytest.fixture(params=["convolution", "dense"])
def network(request):
    if request.param == "dense":
        layers = (("flatten", Flatten()), ("linear1", Linear(20)), ("lif1", Spiking(LIF(DECAY, THRESHOLD), STEPS)),
                  ("linear2", Linear(10)), ("lif2", Spiking(LIF(DECAY, THRESHOLD), STEPS)))  # fmt: skip
        return Stack((1, 7, 7), layers, True)
    whole = conv(LIF(DECAY, THRESHOLD), features="spikes").layers
    return Stack((1, 7, 7), whole[:-3], False)  # without average, flatten and readout: NeuroBench would step through what we average


def parameters(network):
    params = network.init(torch.Generator().manual_seed(3))
    for name, layer in network.layers:
        if isinstance(layer, Norm):
            n = len(params[f"{name}.gain"])
            params |= {f"{name}.mean": torch.linspace(-0.1, 0.2, n), f"{name}.var": torch.linspace(0.5, 1, n)}
    for name in [name for name in params if name.endswith("weight")]:
        params[name] = torch.where(params[name].abs() < 0.1, 0.0, params[name])  # some connections are not there
    return params


def neurobench(module, model, data):
    """Every metric of one batch: synaptic operations, membrane updates, activation sparsity."""
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations

    wrapped = model(module)
    wrapped.register_hooks()
    prediction = wrapped(data)
    labels = torch.zeros(len(data))
    return {
        **SynapticOperations()(wrapped, prediction, (data, labels)),
        "updates": MembraneUpdates()(wrapped, prediction, (data, labels)),
        "sparsity": ActivationSparsity()(wrapped, prediction, (data, labels)),
    }


def ours(network, params, x):
    signal = network.signal(x)
    record = network.run(params, signal)
    found = observe(stages(network, params), params, signal, record)
    return record, total([means(counts) for counts in found.layers.values()])


def test_a_spiking_network_is_counted_as_neurobench_counts_it(network):
    from neurobench.models import SNNTorchModel

    params, x = parameters(network), pictures(6, 1, 7, 7)
    record, counts = ours(network, params, x)
    theirs = neurobench(twin(network, params), _hidden(SNNTorchModel), x.unsqueeze(1).expand(6, STEPS, 1, 7, 7))
    fired = sum(z.sum() for z in record.z.values())
    assert fired > 100, "a silent network proves nothing"
    assert counts.effective_acs == pytest.approx(theirs["Effective_ACs"], rel=1e-12)
    assert counts.effective_macs == pytest.approx(theirs["Effective_MACs"], rel=1e-12)
    assert counts.dense_macs == theirs["Dense"]
    assert counts.neuron_updates_active == pytest.approx(theirs["updates"], rel=1e-12)
    size = sum(z.numel() for z in record.z.values())
    assert 1 - counts.spikes * 6 / size == pytest.approx(theirs["sparsity"], rel=1e-12)
    assert counts.spikes * 6 == fired


def test_a_conventional_network_is_counted_as_neurobench_counts_it(network):
    from neurobench.models import TorchModel

    layers = tuple((name, ReLU()) if isinstance(layer, Spiking) else (name, layer) for name, layer in network.layers)
    network = Stack(network.shape, layers, False)
    params, x = parameters(network), pictures(6, 1, 7, 7) * 0.7
    record, counts = ours(network, params, x)
    theirs = neurobench(twin(network, params), TorchModel, x)
    assert 0 < theirs["sparsity"] < 1
    assert (counts.effective_macs, counts.dense_macs) == (pytest.approx(theirs["Effective_MACs"]), theirs["Dense"])
    assert theirs["Effective_ACs"] == counts.effective_acs == 0
    assert sum(int((z == 0).sum()) for z in record.z.values()) / sum(z.numel() for z in record.z.values()) == theirs["sparsity"]


def _hidden(model):
    """NeuroBench's wrapper of a network whose neurons keep their state: it expects (spikes, state) of the last one."""

    def wrap(module):
        wrapped = model(module)
        forward = module.forward
        module.forward = lambda x: (forward(x), None)
        return wrapped

    return wrap
