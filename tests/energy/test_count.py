"""Counts equal those made by hand and by brute force: every spike pushed alone through its synapses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neurometa.baselines.relu import ReLU
from neurometa.core.constants import Free
from neurometa.core.layer import Conv2d, Linear, Pool, Spiking, TimeAverage
from neurometa.core.network import Stack, conv_network
from neurometa.core.neuron import ALIF, LIF, SigmaDelta
from neurometa.core.surrogate import Surrogate
from neurometa.energy import spikes as spikes_
from neurometa.energy.count import counted, look, observe, without_zeros
from neurometa.energy.counts import interval, means, total
from neurometa.energy.stage import stages
from neurometa.errors import UserError
from tests.energy.nets import LIVELY, STEPS, brute_events, conv, mlp, pictures

SMOOTH = Surrogate("fast-sigmoid", 1.0, True)
"""Its neurons send numbers, some of them below 0."""


@pytest.fixture(params=["numba", "reference"])
def kernel(request, monkeypatch):
    monkeypatch.setattr(spikes_, "kernel_for", lambda x: request.param)


def seen(network, x, params=None):
    params = params or network.init(torch.Generator().manual_seed(3))
    record = network.run(params, network.signal(x))
    return params, record, observe(stages(network, params), params, network.signal(x), record)


def test_a_dense_network_by_hand(kernel):
    """2 inputs, 2 neurons that never leak, weights 1 and 0.5: input (1, 0) held for 3 steps.

    Neuron 0 gets 1 a step and fires at every step (threshold 0.9); neuron 1 gets 0.5, fires at step 2 and keeps 0.5 at step 3.
    """
    network = Stack((2,), (("linear1", Linear(2, False)), ("lif1", mlp(LIF(1.0, 0.9)).layers[1][1]._replace(steps=3)),
                           ("average", mlp().layers[2][1]), ("readout", Linear(4))), True)  # fmt: skip
    params = {"linear1.weight": torch.tensor([[1.0, 1.0], [0.5, 0.0]]), "readout.weight": torch.ones(4, 2), "readout.bias": torch.zeros(4)}
    _, record, found = seen(network, torch.tensor([[1.0, 0.0]]), params)
    assert record.z["lif1"][:, 0].tolist() == [[1, 0], [1, 1], [1, 0]]
    first, last = (means(found.layers[name]) for name in ("linear1", "readout"))
    assert (first.input_spikes, first.synaptic_events, first.spikes) == (3, 6, 4)
    assert (first.neuron_updates_active, first.neuron_updates_inactive) == (4, 2)  # neuron 0 stays at 1 after its first step
    assert (first.dense_macs, first.effective_acs, first.effective_macs) == (12, 6, 0)
    assert (last.input_spikes, last.synaptic_events, last.spikes) == (4, 16, 0)
    assert (last.neuron_updates_active, last.neuron_updates_inactive) == (12, 0)
    assert (first.weight_reads, first.state_reads, first.state_writes) == (6, 12, 12)
    assert (first.activation_reads, first.activation_writes) == (3, 4)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("features", ["current", "spikes"])
def test_events_of_a_convolution_are_those_of_single_spikes_borders_and_pools_included(kernel, behind, features):
    network = conv(behind=behind, features=features)
    x = pictures(4, 1, 7, 7)
    params, record, found = seen(network, x)
    assert record.z["lif1"].sum() > 50, "a silent network proves nothing"
    ones = {name: torch.ones_like(value) for name, value in params.items()}
    pool = lambda y: F.avg_pool2d(y, 2)  # noqa: E731
    conv1 = lambda y: F.conv2d(y, ones["conv1.weight"], padding=1)  # noqa: E731
    conv2 = lambda y: F.conv2d(y, ones["conv2.weight"], stride=2, padding=1)  # noqa: E731
    into_first = (lambda y: pool(conv1(y))) if behind else conv1
    into_second = conv2 if behind else (lambda y: conv2(pool(y)))
    held = x.unsqueeze(0).expand(STEPS, *x.shape)
    np.testing.assert_array_equal(found.layers["conv1"].synaptic_events, brute_events(into_first, held))
    np.testing.assert_array_equal(found.layers["conv2"].synaptic_events, brute_events(into_second, record.z["lif1"]))
    np.testing.assert_array_equal(found.layers["conv1"].spikes, record.z["lif1"].sum((0, 2, 3, 4)))
    if features == "spikes":
        events = brute_events(lambda y: y.flatten(1) @ torch.ones(16, 2), record.z["lif2"])
        np.testing.assert_array_equal(found.layers["readout"].synaptic_events, events)
    else:
        readout = means(found.layers["readout"])
        assert (readout.synaptic_events, readout.host_macs) == (0, 2 * 16)


def test_active_and_inactive_updates_are_every_neuron_step_once(kernel):
    network = conv()
    _, record, found = seen(network, pictures(4, 1, 7, 7))
    v = record.v["lif1"].numpy()
    changed = [v[0, b].size + sum(int((v[t, b] != v[t - 1, b]).sum()) for t in range(1, STEPS)) for b in range(4)]
    counts = found.layers["conv1"]
    assert counts.neuron_updates_active.tolist() == changed
    assert (counts.neuron_updates_active + counts.neuron_updates_inactive).tolist() == [STEPS * 3 * 49] * 4
    assert counts.neuron_updates_inactive.sum() > 0


def test_weights_of_zero_are_no_effective_operation_but_a_synapse(kernel):
    network = conv()
    params = network.init(torch.Generator().manual_seed(3))
    params["conv1.weight"][:, :, 0, 1] = 0
    params["readout.weight"][0] = 0
    x = pictures(4, 1, 7, 7)
    _, _, found = seen(network, x, params)
    kept = (params["conv1.weight"] != 0).float()
    assert found.layers["conv1"].effective_acs.tolist() == (STEPS * F.conv2d(x, kept, padding=1).sum((1, 2, 3))).tolist()
    assert (found.layers["conv1"].synaptic_events > found.layers["conv1"].effective_acs).all()
    assert means(found.layers["readout"]).effective_macs == 16


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 31, 32, 70])
def test_windows_of_any_length_are_counted_whole(kernel, steps):
    x = pictures(steps, 3, 6)
    network = mlp()
    _, record, found = seen(network, x)
    assert found.layers["linear1"].input_spikes.tolist() == x.sum((0, 2)).tolist()
    assert found.layers["readout"].input_spikes.tolist() == record.z["lif1"].sum((0, 2)).tolist()
    assert found.steps == steps
    np.testing.assert_allclose(found.firing["lif1"][:, 0], record.z["lif1"].sum(0).mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.firing["input"][:, 0], x.sum(0).mean(0), rtol=1e-6)


def test_pictures_that_are_not_binary_are_multiplied_once_by_the_host():
    x = pictures(4, 1, 7, 7) * 0.5
    _, record, found = seen(conv(), x)
    first = means(found.layers["conv1"])
    assert record.z["lif1"].sum() > 0
    assert first.host_macs == first.dense_macs == 3 * 361  # 361 taps of a 3 x 3 kernel fit a picture of 7 x 7: (5 x 3 + 2 x 2)^2
    assert first.synaptic_events == 0
    assert first.neuron_updates_active + first.neuron_updates_inactive == STEPS * 3 * 49


def test_a_conventional_network_counts_products_and_no_events():
    layers = tuple((name, ReLU()) if name == "lif1" else (name, layer) for name, layer in conv().layers)
    network, x = Stack((1, 7, 7), layers, False), pictures(4, 1, 7, 7)
    _, record, found = seen(network, x)
    assert not found.spiking
    whole = total([means(counts) for counts in found.layers.values()])
    assert whole.synaptic_events == whole.spikes == whole.host_macs == whole.neuron_updates_active == 0
    first = means(found.layers["conv1"])
    assert first.dense_macs == first.weight_reads == first.activation_reads == 3 * 361
    nonzero = F.avg_pool2d(record.z["lif1"], 2) != 0
    effective = F.conv2d(nonzero.float(), torch.ones(4, 3, 3, 3), stride=2, padding=1).sum((1, 2, 3))
    assert found.layers["conv2"].effective_macs.tolist() == effective.tolist()


def test_maximum_pools_are_passed_on_as_spikes_and_marked():
    network = conv(kind="max")
    _, record, found = seen(network, pictures(4, 1, 7, 7))
    plan = stages(network, network.init(torch.Generator()))
    assert [stage.maximum for stage in plan] == ["", "before", ""]
    pooled = torch.stack([F.max_pool2d(z, 2) for z in record.z["lif1"]])
    np.testing.assert_array_equal(
        found.layers["conv2"].synaptic_events, brute_events(lambda y: F.conv2d(y, torch.ones(4, 3, 3, 3), stride=2, padding=1), pooled)
    )
    assert [stage.maximum for stage in stages(conv(kind="max", behind=True), network.init(torch.Generator()))] == ["behind", "", ""]


def test_counting_reads_and_changes_nothing():
    network, x = conv(), pictures(4, 1, 7, 7)
    params = network.init(torch.Generator().manual_seed(3))
    record = network.run(params, network.signal(x))
    before = [value.clone() for value in (*record.z.values(), *record.v.values(), *params.values(), record.output)]
    observe(stages(network, params), params, network.signal(x), record)
    after = [*record.z.values(), *record.v.values(), *params.values(), record.output]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_batches_together_are_one_batch():
    network, x = conv(), pictures(6, 1, 7, 7)
    params = network.init(torch.Generator().manual_seed(3))
    params |= {"norm1.mean": torch.zeros(3), "norm1.var": torch.ones(3), "norm2.mean": torch.zeros(4), "norm2.var": torch.ones(4)}
    whole = seen(network, x, params)[2]
    plan, signals = stages(network, params), [network.signal(part) for part in (x[:2], x[2:])]
    parts = counted(plan, [look(plan, params, signal, network.run(params, signal)) for signal in signals])
    assert all(torch.equal(a, b) for name in whole.layers for a, b in zip(whole.layers[name], parts.layers[name], strict=True))
    torch.testing.assert_close(whole.firing["lif1"], parts.firing["lif1"])


def test_the_interval_is_that_of_a_mean_over_samples():
    mean, ci95 = interval(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert (mean, ci95) == (2.5, pytest.approx(1.96 * np.std([1, 2, 3, 4], ddof=1) / 2))


def test_a_layer_with_synapses_of_its_own_is_refused():
    class Loop:
        def init(self, generator, shape):
            return {"recurrent": torch.zeros(5, 5)}, shape

        def apply(self, params, x, state):
            return x, {}

    network = mlp()
    layers = (network.layers[0], ("own", Loop()), *network.layers[2:])
    with pytest.raises(UserError, match=r"layer own \(Loop\) has synapses of its own"):
        stages(Stack((6,), layers, True), network.init(torch.Generator()))


def test_graded_spikes_are_refused():
    network, layer = mlp(), Spiking(SigmaDelta(), STEPS)
    with pytest.raises(UserError, match=r"layer own .*messages of any size"):
        stages(Stack((6,), (network.layers[0], ("own", layer), *network.layers[2:]), True), network.init(torch.Generator()))


def looped(delay=0):
    """6 inputs, 5 neurons that hear each other, 4 neurons, 3 readouts; spikes take `delay` steps to the next layer."""
    first, second = Spiking(LIVELY, STEPS, recurrent=True, delay=delay), Spiking(LIVELY, STEPS, delay=delay)
    layers = (("linear1", Linear(5)), ("lif1", first), ("linear2", Linear(4)), ("lif2", second), ("average", TimeAverage()))
    return Stack((6,), (*layers, ("readout", Linear(3))), True)


@pytest.mark.parametrize("delay", [0, 1])
def test_spikes_that_come_back_or_late_are_counted_where_and_when_they_arrive(kernel, delay):
    network, x = looped(delay), pictures(4, 6)
    params, record, found = seen(network, x)
    first, second = (record.z[name].numpy() for name in ("lif1", "lif2"))
    assert min(first[:-1].sum(), second.sum()) > 5, "a silent network proves nothing"
    assert (found.layers["linear1"].synaptic_events == STEPS * 5 * x.sum(1)).all()  # the input is never late
    np.testing.assert_array_equal(found.layers["lif1.recurrent"].synaptic_events, 5 * first[:-1].sum((0, 2)))
    np.testing.assert_array_equal(found.layers["linear2"].synaptic_events, 4 * first[: STEPS - delay].sum((0, 2)))
    np.testing.assert_array_equal(found.layers["readout"].synaptic_events, 3 * second[: STEPS - delay].sum((0, 2)))
    whole = total([means(counts) for counts in found.layers.values()])
    assert whole.neuron_updates_active + whole.neuron_updates_inactive == STEPS * (5 + 4 + 3)  # each once, however many synapses feed it
    assert whole.spikes == (first.sum() + second.sum()) / 4
    assert means(found.layers["lif1.recurrent"]).dense_macs == STEPS * 5 * 5
    plan = stages(network, params)
    assert sum(stage.passes for stage in plan) == 3 - 2 * delay
    assert sum(stage.neurons for stage in plan) == 5 + 4 + 3
    assert sum(stage.weights for stage in plan) == 6 * 5 + 5 * 5 + 5 * 4 + 4 * 3


def test_a_network_is_walked_through_once():
    network = conv()
    params = network.init(torch.Generator())
    assert stages(network, params) is stages(network, {name: value + 1 for name, value in params.items()})
    assert stages(network, {**params, "readout.weight": torch.ones(7, 16)})[-1].shape == (7,)


@pytest.mark.parametrize("layer", [Conv2d(3, 5, padding=0), Conv2d(3, dilation=2), Pool(3, stride=2)])
def test_synapses_whose_reach_is_not_known_are_refused(layer):
    network = conv()
    with pytest.raises(UserError, match="layer own has a padding"):
        stages(Stack(network.shape, (("own", layer), *network.layers), False), network.init(torch.Generator()))


def test_a_constant_of_each_neuron_is_no_synapse():
    network = conv_network(
        (1, 7, 7), (3,), (1,), (1,), neuron=LIVELY, free=(Free("decay", "neuron"),), features="spikes", steps=STEPS, outputs=2
    )
    assert len(stages(network, network.init(torch.Generator()))) == 2


def test_a_timed_input_that_is_not_binary_is_multiplied_at_every_step():
    x = pictures(STEPS, 4, 1, 7, 7) * 0.5
    _, record, found = seen(conv(), x)
    assert record.z["lif1"].sum() > 0
    assert means(found.layers["conv1"]).host_macs == STEPS * 3 * 361


@pytest.mark.parametrize("network", [conv(), conv(side=50), conv(ALIF(0.8, 0.5)), conv(LIF(0.6, 3.0, surrogate=SMOOTH))])
@pytest.mark.parametrize("broken", [False, True])
def test_records_without_a_kernel_and_with_one_are_counted_alike(monkeypatch, network, broken):
    x, found = pictures(4, *network.shape), []
    params = network.init(torch.Generator().manual_seed(3))
    if broken:
        params["conv1.bias"] = torch.tensor([float("nan"), 0, 0])  # potentials that are no numbers differ from themselves
    for kernel in ("numba", "reference"):
        monkeypatch.setattr(spikes_, "kernel_for", lambda x, kernel=kernel: kernel)
        found.append(seen(network, x, params)[2])
    assert (found[0].layers["conv1"].spikes > 0).all(), "silent networks are alike anyhow"
    assert all(torch.equal(a, b) for name in found[0].layers for a, b in zip(*(f.layers[name] for f in found), strict=True))


def test_weights_known_to_hold_no_zero_are_those_very_ones():
    network, x = conv(), pictures(4, 1, 7, 7)
    params = network.init(torch.Generator().manual_seed(3))
    written = {**params, "readout.weight": torch.tensor([[0.0], [1.0]]).expand(2, 16)}
    signal, plan, full = network.signal(x), stages(network, params), without_zeros(params)
    assert "readout.weight" in full
    sight = look(plan, written, signal, network.run(written, signal), full)
    assert means(counted(plan, [sight]).layers["readout"]).effective_macs == 16


def test_spikes_that_come_late_through_a_pool_are_joined_there(kernel):
    network, x = conv(), pictures(4, 1, 7, 7)
    layers = tuple((name, layer._replace(delay=1)) if name == "lif1" else (name, layer) for name, layer in network.layers)
    _, record, found = seen(network._replace(layers=layers), x)
    arrived = torch.stack([F.avg_pool2d(z, 2) != 0 for z in record.z["lif1"][:-1]]).sum(0).double()
    assert arrived.sum() > 20
    effective = F.conv2d(arrived, torch.ones(4, 3, 3, 3).double(), stride=2, padding=1).sum((1, 2, 3))
    assert found.layers["conv2"].effective_macs.tolist() == effective.tolist()


def test_pictures_in_two_colours_and_grey_ones_are_counted_each_in_its_way():
    network, x = conv(), pictures(4, 1, 7, 7)
    params = network.init(torch.Generator().manual_seed(3))
    plan, shown = stages(network, params), [network.signal(x), network.signal(0.7 * x[:3])]
    sights = [look(plan, params, signal, network.run(params, signal)) for signal in shown]
    together, apart = counted(plan, sights), [counted(plan, [sight]) for sight in sights]
    for name, counts in together.layers.items():
        for field, whole in counts._asdict().items():
            assert torch.equal(whole, torch.cat([getattr(one.layers[name], field) for one in apart])), (name, field)


def test_sixteen_bits_are_counted():
    network, x = mlp(), pictures(4, 6).bfloat16()
    params = {name: value.bfloat16() for name, value in network.init(torch.Generator().manual_seed(3)).items()}
    _, record, found = seen(network, x, params)
    assert record.z["lif1"].sum() > 5
    assert found.layers["linear1"].spikes.tolist() == record.z["lif1"].sum((0, 2)).tolist()
