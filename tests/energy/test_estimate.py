"""What must hold of every estimate, on every chip that ships, whatever was counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurometa.chips.quantity import quantity
from neurometa.chips.read import card as read_card
from neurometa.chips.read import shipped, sources
from neurometa.energy.conventional import access
from neurometa.energy.count import observe
from neurometa.energy.counts import Counts, plus
from neurometa.energy.estimate import Settings, census, estimate
from neurometa.energy.stage import stages
from neurometa.energy.traffic import route
from neurometa.energy.workload import Workload
from neurometa.errors import UserError
from tests.energy.nets import conv, mlp, pictures

CARDS = shipped()
SPIKING = [name for name, card in CARDS.items() if card.model == "event"]
SIZES = st.floats(0, 1e9)
COUNTS = st.builds(Counts, *[SIZES] * len(Counts._fields))
LOIHI = ["loihi1-davies2018", "loihi1-sanafe2025"]


def work(counts, spiking=True, phase="inference", rule="local", **changes):
    return census(4, **counts._asdict())._replace(spiking=spiking, phase=phase, rule=rule, **changes)


def counted(network=None, x=None):
    """A small network that really ran."""
    network, x = network or conv(), pictures(4, 1, 7, 7) if x is None else x
    params = network.init(torch.Generator().manual_seed(3))
    record = network.run(params, network.signal(x))
    plan = stages(network, params)
    seen = observe(plan, params, network.signal(x), record)
    weights = sum(stage.weights for stage in plan)
    return Workload("inference", "closed-form", True, True, plan, seen.layers, seen.firing, seen.steps, 1, 1, weights)


@pytest.mark.parametrize("name", CARDS)
@settings(max_examples=15)
@given(COUNTS)
def test_low_is_below_value_is_below_high_and_parts_add_up(name, counts):
    found = estimate(CARDS[name], work(counts))
    assert found.energy.low <= found.energy.value <= found.energy.high
    assert found.energy.value == pytest.approx(sum(part.value for part in found.parts.values()), rel=1e-9, abs=1e-30)
    assert all(0 <= part.low <= part.value <= part.high for part in found.parts.values())
    if found.latency:
        assert found.latency.low <= found.latency.value <= found.latency.high
    assert found.figures or not found.parts


@pytest.mark.parametrize("name", CARDS)
@settings(max_examples=15)
@given(COUNTS, st.sampled_from(Counts._fields), SIZES)
def test_more_of_anything_never_costs_less(name, counts, field, more):
    before = estimate(CARDS[name], work(counts))
    after = estimate(CARDS[name], work(counts._replace(**{field: getattr(counts, field) + more})))
    for end in ("low", "value", "high"):
        assert getattr(after.energy, end) >= getattr(before.energy, end) * (1 - 1e-12)
        if before.latency and after.latency:
            assert getattr(after.latency, end) >= getattr(before.latency, end) * (1 - 1e-12)


@pytest.mark.parametrize("name", SPIKING)
@settings(max_examples=10)
@given(COUNTS, COUNTS)
def test_dynamic_energy_adds_over_layers_and_over_samples(name, a, b):
    card, calm = CARDS[name], Settings(static=False)
    both = estimate(card, work(plus(a, b)), calm).energy
    one, other = (estimate(card, work(counts), calm).energy for counts in (a, b))
    resets = card.energy["reset"].quantity.value if "reset" in card.energy else 0  # of which each sample has one
    assert both.value == pytest.approx(one.value + other.value - resets, rel=1e-9, abs=1e-30)
    layers = work(a)._replace(layers={"first": a, "second": b})
    assert estimate(card, layers, calm).energy.value == pytest.approx(both.value, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("name", SPIKING)
def test_without_spikes_only_static_and_update_terms_are_left(name):
    found = estimate(CARDS[name], counted(x=torch.zeros(4, 1, 7, 7), network=_silent()))
    assert set(found.parts) <= {
        "static", "clock", "reset", "neuron_update", "neuron_update_active", "neuron_update_inactive", "neuron_access", "neuron_change",
        "array_read", "adc", "tree", "buffer",
    }  # fmt: skip
    assert not {"array_read", "adc"} & set(found.parts)


def _silent():
    network = conv()
    layers = tuple((name, layer._replace(shift=-1.0)) if name == "norm1" else (name, layer) for name, layer in network.layers)
    return network._replace(layers=layers)


@pytest.mark.parametrize("name", CARDS)
@given(COUNTS)
@settings(max_examples=3)
def test_a_frozen_learner_adapts_for_nothing(name, counts):
    for spiking in (True, False):
        found = estimate(CARDS[name], work(counts, spiking, "adaptation", "none"))
        assert (found.energy.high, found.latency.high, found.parts) == (0, 0, {})


@pytest.mark.parametrize("name", SPIKING)
def test_activations_and_gradients_through_time_are_refused_on_a_chip_of_spikes(name):
    with pytest.raises(UserError, match="carries spikes"):
        estimate(CARDS[name], work(Counts(dense_macs=1), spiking=False))
    with pytest.raises(UserError, match="no way to carry gradients"):
        estimate(CARDS[name], work(Counts(dense_macs=1), phase="adaptation", rule="gradient"))
    estimate(CARDS[name], work(Counts(dense_macs=1), phase="adaptation", rule="gradient", readout_only=True))


def test_an_energy_by_hand():
    found = estimate(CARDS["loihi1-davies2018"], census(synaptic_events=100, neuron_updates_active=10, neuron_updates_inactive=5))
    parts = {name: part.to("pJ")["value"] for name, part in found.parts.items()}
    assert parts["synaptic_event"] == pytest.approx(2360)
    assert parts["neuron_update_active"] == pytest.approx(810)
    assert parts["neuron_update_inactive"] == pytest.approx(260)
    assert parts["reset"] == pytest.approx(5.94e6)


def test_what_has_no_published_energy_is_named_and_not_zero():
    found = estimate(CARDS["loihi1-davies2018"], census(synaptic_events=1, weight_writes=80, trace_updates=7, host_operations=9))
    assert {"80 weights written", "7 trace updates", "9 operations by the host"} <= set(found.left_out)
    assert "neuron updates" not in " ".join(found.left_out)
    found = estimate(CARDS["spinnaker2-hoeppner2021"], census(synaptic_events=1, neuron_updates_active=30))
    assert {"30 neuron updates", "leakage"} <= set(found.left_out)


def test_learning_costs_by_synapses_visited():
    found = estimate(CARDS["loihi1-davies2018"], census(phase="adaptation", synaptic_updates=1000))
    assert found.parts["synaptic_update"].to("pJ")["value"] == pytest.approx(120_000)


def test_static_power_is_in_or_out():
    card, one = CARDS["loihi1-davies2018"], counted()
    with_it, without = estimate(card, one), estimate(card, one, Settings(static=False))
    assert with_it.energy.value == pytest.approx(without.energy.value + with_it.parts["static"].value)
    assert with_it.parts["static"].value == pytest.approx(0.104 * with_it.latency.value)
    assert "static" not in without.parts
    assert "leakage" in without.left_out
    assert "leakage" not in with_it.left_out


@pytest.mark.parametrize("name", LOIHI)
def test_latency_is_steps_and_layers_times_the_busiest_core_and_the_barrier(name):
    card, one = CARDS[name], counted()
    found = estimate(card, one)
    throttled = estimate(card, one, Settings(step=quantity(1, "ms")))
    assert throttled.latency.to("ms")["value"] == pytest.approx(5 + 3)
    assert (found.timing, throttled.timing) == ("free-running", "throttled")
    load, times = route(card, one).load, {key: figure.quantity.value for key, figure in card.time.items()}
    spent = load["conv"] * times.get("synaptic_event_conv", times.get("synaptic_event"))
    spent = spent + load["dense"] * times.get("synaptic_event_dense", times.get("synaptic_event"))
    if name.endswith("davies2018"):
        spent = spent + load["active"] * 8.4e-9 + (load["update"] - load["active"]) * 5.3e-9 + load["axon_out"] * 2.1e-9
        sync = 113e-9
    else:
        spent = spent + load["update"] * 6e-9 + load["active"] * 3.7e-9 + load["spike"] * 30e-9 + load["axon_in"] * 16e-9
        spent, sync = spent + load["axon_out"] * 5.1e-9, 0.6e-6
    assert found.latency.value == pytest.approx(8 * (spent.max() / 5 + sync), rel=1e-9)


def test_the_barrier_grows_with_the_tiles_between_the_published_points():
    from neurometa.energy.estimate import _barrier

    card = CARDS["loihi1-sanafe2025"]
    found = [_barrier(card, tiles)[0].to("us")["value"] for tiles in (1, 2, 3, 4, 29, 40)]
    assert found == pytest.approx([0.6, 1.0, 1.2, 1.4, 1.8, 1.8])


def test_a_board_shares_the_start_of_a_batch():
    card, one = CARDS["gpu-blouw"], work(Counts(dense_macs=172_800), spiking=False)
    single, many = estimate(card, one), estimate(card, one, Settings(batch=64))
    assert many.energy.value < single.energy.value / 40
    assert many.latency.value > single.latency.value
    with pytest.raises(UserError, match="batch 0 given"):
        estimate(card, one, Settings(batch=0))


def test_a_board_starts_every_pass_a_spiking_one_at_each_step_and_a_readout_alone_once():
    card = CARDS["jetson-tx1"]
    phase = work(Counts(dense_macs=1), spiking=True)._replace(phase="adaptation", steps=4, passes=3, alone=2)
    start = card.time["overhead"].quantity.to("us")["value"]
    found = estimate(card, phase).latency.to("us")
    assert found["value"] == pytest.approx((3 * 4 + 2) * start, rel=1e-3)
    assert found["low"] == pytest.approx((3 + 2) * card.time["overhead"].quantity.to("us")["low"], rel=1e-3)


def test_memory_is_interpolated_between_the_published_sizes():
    card = CARDS["digital45-fp32"]
    found = [access(card, size).to("pJ")["value"] for size in (100, 8192, 20480, 32768, 540672, 1 << 20, 1 << 21)]
    assert found == pytest.approx([10, 10, 15, 20, 60, 100, 640])
    assert access(card, 100).to("pJ")["low"] == pytest.approx(10 / 1.5 / 2, rel=1e-2)


def test_a_circuit_by_hand():
    one = counted(mlp(), pictures(4, 6))
    whole = one.total
    parts = {name: part.to("pJ")["value"] for name, part in estimate(CARDS["digital45-int8"], one).parts.items()}
    updates = whole.neuron_updates_active + whole.neuron_updates_inactive
    assert parts["arithmetic"] == pytest.approx(0.03 * whole.synaptic_events + 0.23 * updates)
    assert parts["weights"] == pytest.approx(10 * whole.synaptic_events)
    assert parts["states"] == pytest.approx(10 * 2 * (whole.synaptic_events + updates))
    assert parts["activations"] == pytest.approx(10 * (whole.input_spikes + whole.spikes))
    assert whole.spikes > 0


def test_a_users_card_serves_like_one_of_ours():
    text = """
    chip = "mine"
    title = "My chip"
    about = "A test."
    model = "event"
    precision = "int8"
    [energy]
    synaptic_event = { value = 2, low = 1, high = 3, unit = "pJ", kind = "measured", source = "davies2018", locator = "Table 2" }
    [time]
    synaptic_event = { value = 4, low = 4, high = 4, unit = "ns", kind = "measured", source = "davies2018", locator = "Table 2" }
    """
    found = estimate(read_card(text, "mine.toml", sources()), census(synaptic_events=1000, steps=10))
    assert found.energy.to("nJ") == pytest.approx({"low": 1, "value": 2, "high": 3})
    assert found.latency.to("us")["value"] == pytest.approx(4)
