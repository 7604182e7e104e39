"""Quantities: dimensions are kept apart and units are converted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurometa.chips.quantity import ENERGY, POWER, UNITS, hull, largest, quantity, scale_of, zero
from neurometa.errors import InternalError, UserError

SIZES = st.floats(0, 1e12)


def test_a_picojoule_is_a_thousandth_of_a_nanojoule():
    assert (quantity(1, "pJ") + quantity(1, "nJ")).to("pJ")["value"] == pytest.approx(1001)


def test_a_joule_is_not_added_to_a_second_nor_read_in_seconds():
    with pytest.raises(InternalError, match="added"):
        quantity(1, "J") + quantity(1, "s")
    with pytest.raises(InternalError, match="asked for in ns"):
        quantity(1, "J").to("ns")
    with pytest.raises(InternalError, match="compared"):
        largest([quantity(1, "J"), quantity(1, "s")])
    with pytest.raises(InternalError, match="joined"):
        hull([quantity(1, "J"), quantity(1, "s")])


def test_power_times_time_is_energy():
    energy = quantity(104, "mW") * quantity(2, "ms")
    assert energy.dimension == ENERGY
    assert energy.to("uJ")["value"] == pytest.approx(208)


def test_a_figure_in_microwatts_a_megahertz_is_an_energy_a_cycle():
    assert (quantity(1.78, "uW/MHz") * quantity(75, "MHz")).dimension == POWER
    assert (quantity(1.78, "uW/MHz") * quantity(75, "MHz")).to("uW")["value"] == pytest.approx(133.5)


def test_a_range_that_is_none_is_refused():
    with pytest.raises(InternalError):
        quantity(1, "J", low=2)
    with pytest.raises(InternalError):
        quantity(1, "J") * -1.0


def test_an_unknown_unit_is_the_users_mistake():
    with pytest.raises(UserError, match="unit 'eV' is not known: expected one of J, mJ"):
        scale_of("eV")


@given(st.lists(SIZES, min_size=6, max_size=6), SIZES)
def test_sums_and_products_keep_low_below_value_below_high(ends, factor):
    a = quantity(sorted(ends[:3])[1], "pJ", min(ends[:3]), max(ends[:3]))
    b = quantity(sorted(ends[3:])[1], "pJ", min(ends[3:]), max(ends[3:]))
    for q in (a + b, a * factor, a * b, largest([a, b]), hull([a, b]), a + zero(ENERGY)):
        assert q.low <= q.value <= q.high


@pytest.mark.parametrize("unit", UNITS)
def test_what_goes_in_in_a_unit_comes_out_in_it(unit):
    assert quantity(3.5, unit).to(unit)["value"] == pytest.approx(3.5, rel=1e-12)
