"""Greedy placement: every neuron on one core, no limit broken, messages and hops counted by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurometa.chips.placement import Population, place
from neurometa.chips.read import shipped
from neurometa.energy.reach import Reach, convolution
from neurometa.energy.traffic import route
from neurometa.errors import UserError
from tests.energy.nets import pictures
from tests.energy.test_count import looped
from tests.energy.test_estimate import counted

LOIHI = shipped()["loihi1-davies2018"]


def limited(**limits):
    """Loihi with other limits."""
    figure = LOIHI.limits["cores"]
    return_ = dict(LOIHI.limits)
    for name, value in limits.items():
        return_[name] = type(figure)(value, value, value, "1", "assumed", "assumption", "a test")
    return type(LOIHI)(**{**{f: getattr(LOIHI, f) for f in LOIHI.__struct_fields__}, "limits": return_})


def chain(height, channels, kernel):
    """input -> a -> b, two convolutions of one size."""
    reach = convolution((1, height, height), kernel, 1).matrix()
    return [Population("a", channels, height**2, "input", 1, reach), Population("b", channels, height**2, "a", channels, reach)]


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(5, 40), st.integers(40, 200), st.integers(40, 200))
def test_no_core_breaks_a_limit_and_every_neuron_has_one(height, channels, kernel, room, axons, memory):
    card, populations = limited(neurons_per_core=room, axons_in_per_core=axons, axons_out_per_core=axons, synapse_bytes_per_core=memory), []
    populations = chain(height, channels, kernel)
    placed = place(card, populations)
    taken = [placed.core[one.name] for one in populations]
    assert set(np.concatenate([core.ravel() for core in taken])) == set(range(placed.cores))
    assert not set(taken[0].ravel()) & set(taken[1].ravel())
    for one, core in zip(populations, taken, strict=True):
        for index in np.unique(core):
            here = core == index
            assert here.sum() <= room
            sees = one.reach[:, here.any(1)].any(1).sum() * one.source_channels
            assert sees <= axons
            assert (one.reach.sum(0)[:, None] * here).sum() * one.source_channels <= memory
    first, second = taken
    for index in np.unique(first):
        out = sum(len(np.unique(second[populations[1].reach[p]])) for p, c in zip(*np.nonzero(first == index), strict=True))
        assert out <= axons


def test_a_neuron_that_fits_no_core_is_refused():
    with pytest.raises(UserError, match=r"a neuron of b needs 36 bytes of synapses"):
        place(limited(synapse_bytes_per_core=30), chain(4, 4, 3))


def test_cores_are_on_tiles_and_tiles_in_rows():
    placed = place(limited(neurons_per_core=1), chain(4, 2, 1))
    assert (placed.cores, placed.tiles, placed.chips) == (64, 16, 1)
    across, down = placed.hops(np.array([0, 0, 4]), np.array([3, 63, 40]))
    assert across.tolist() == [0, 7, 1]  # tiles 0 and 15, 1 and 10, in rows of eight
    assert down.tolist() == [0, 1, 1]


def test_messages_and_hops_are_those_of_every_spike_followed_alone():
    work, card = counted(), limited(neurons_per_core=10)
    found = route(card, work)
    placed, kinds = found.placement, {stage.population or stage.name: stage for stage in work.stages}
    out = into = across = down = events = 0.0
    for name, core in placed.core.items():
        stage = kinds[name]
        grid = Reach(stage.reach.rows, stage.reach.columns).matrix()
        for (channel, position), spikes in np.ndenumerate(work.firing[stage.source].numpy()):
            cores = np.unique(core[grid[position]])
            events += spikes * grid[position].sum() * core.shape[1]
            into += spikes * len(cores)
            if stage.source != "input":
                start = placed.core[stage.source][position, channel]
                out += spikes * len(cores)
                for end in cores:
                    (x,), (y,) = placed.hops(np.array([start]), np.array([end]))
                    across, down = across + spikes * x, down + spikes * y
    assert out > 0
    assert (found.axons_out, found.axons_in) == (pytest.approx(out), pytest.approx(into))
    assert (found.hops_east_west, found.hops_north_south) == (pytest.approx(across), pytest.approx(down))
    assert (found.load["conv"] + found.load["dense"]).sum() == pytest.approx(events) == pytest.approx(float(work.total.synaptic_events))


@pytest.mark.parametrize("delay", [0, 1])
def test_spikes_of_a_recurrent_population_go_to_each_of_its_cores(delay):
    work, card = counted(looped(delay), pictures(4, 6)), limited(neurons_per_core=2)
    found = route(card, work)
    core, spikes = found.placement.core, {name: fired.numpy()[:, 0] for name, fired in work.firing.items()}
    cores = {name: len(np.unique(where)) for name, where in core.items()}
    assert cores == {"lif1": 3, "lif2": 2, "readout": 2}
    back = spikes["lif1"].sum() * cores["lif1"]
    ahead = spikes["lif1"].sum() * cores["lif2"] + spikes["lif2"].sum() * cores["readout"]
    assert back > 0
    assert found.axons_out == pytest.approx(back + ahead)
    assert found.axons_in == pytest.approx(back + ahead + spikes["input"].sum() * cores["lif1"])
    assert (found.load["conv"] + found.load["dense"]).sum() == pytest.approx(float(work.total.synaptic_events))
    assert (found.placement.axons_in, found.placement.axons_out) == (6 + 5, 2 * (2 + 3))
