"""Chip cards: every number that ships has a range, a unit, a kind and a source; a card that lacks one is refused with file and key."""

import math
import tomllib
from importlib import resources

import pytest

from neurometa.chips import read
from neurometa.errors import UserError

FILES = sorted((f for f in resources.files("neurometa.chips").iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
CARDS = [f for f in FILES if f.name != "sources.toml"]
KINDS = {"measured", "simulated", "vendor", "derived", "assumed"}

GOOD = """
chip = "mine"
title = "My chip"
about = "A test."
model = "event"
precision = "int8"

[energy]
synaptic_event = { value = 2.0, low = 1.0, high = 3.0, unit = "pJ", kind = "measured", source = "davies2018", locator = "Table 2" }
"""


def numbers(value, path=()):
    """Every number in a TOML mapping with the table that it stands in."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from numbers(inner, (*path, key))
        elif isinstance(inner, int | float):
            yield value, (*path, key)


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.name)
def test_no_number_ships_without_unit_range_kind_source_and_place(file):
    known = tomllib.loads((resources.files("neurometa.chips") / "sources.toml").read_text())
    found = list(numbers(tomllib.loads(file.read_text())))
    assert found, "a card without a number says nothing"
    for figure, path in found:
        assert path[-1] in ("value", "low", "high"), path
        assert figure["low"] <= figure["value"] <= figure["high"], path
        assert 0 not in (figure["low"], figure["value"], figure["high"]), path
        assert all(math.isfinite(figure[key]) for key in ("low", "value", "high")), path
        assert figure["kind"] in KINDS, path
        assert figure["unit"], path
        assert figure["locator"], path
        assert all(name.strip() in known for name in figure["source"].split(",")), path


def test_what_was_recalled_or_set_by_us_ships_as_assumed():
    known = read.sources()
    for name, card in read.shipped().items():
        for table in read.TABLES:
            for key, figure in getattr(card, table).items():
                if any(known[source.strip()].read == "recalled" for source in figure.source.split(",")):
                    assert figure.kind == "assumed", (name, table, key)


def test_every_source_is_used():
    cards = read.shipped().values()
    figures = [f for card in cards for table in read.TABLES for f in getattr(card, table).values()] + [c.node for c in cards if c.node]
    used = {name.strip() for figure in figures for name in figure.source.split(",")}
    assert used == set(read.sources()) - {"lemaire2022"}  # a method, not a number


def test_the_chips_that_were_promised_are_there():
    chips = {card.chip for card in read.shipped().values()}
    assert chips >= {"loihi1", "loihi2", "spinnaker", "spinnaker2", "truenorth", "odin", "reckon", "pcm", "rram", "digital45"}
    assert chips >= {"cortex-m", "cpu-blouw", "gpu-blouw", "jetson-tx1", "h200", "a100"}
    assert {name for name, card in read.shipped().items() if card.chip == "loihi1"} == {"loihi1-davies2018", "loihi1-sanafe2025"}


def test_every_energy_of_loihi_2_is_assumed_and_spans_a_factor_of_ten():
    card = read.shipped()["loihi2"]
    assert all(f.kind == "assumed" and f.high >= 9.9 * f.low for f in card.energy.values())
    assert not card.power
    assert not card.time


def test_a_good_card_is_read():
    card = read.card(GOOD, "mine.toml", read.sources())
    assert card.name == "mine"
    assert card.energy["synaptic_event"].quantity.to("fJ") == pytest.approx({"low": 1e3, "value": 2e3, "high": 3e3})


FIELD = "synaptic_event = {"
MISTAKES = [
    ("unknown unit", ('unit = "pJ"', 'unit = "pj"'), "energy.synaptic_event.unit = 'pj'", "did you mean pJ?"),
    ("unit of another kind", ('unit = "pJ"', 'unit = "ns"'), "energy.synaptic_event.unit = 'ns'", "expected one of J, mJ"),
    ("no unit", ('unit = "pJ", ', ""), "energy.synaptic_event.unit is missing", "every number needs"),
    ("no source", ('source = "davies2018", ', ""), "energy.synaptic_event.source is missing", "every number needs"),
    ("empty source", ('"davies2018"', '""'), "energy.synaptic_event.source is missing", "every number needs"),
    ("unknown source", ('"davies2018"', '"davis2018"'), "energy.synaptic_event.source = 'davis2018'", "did you mean davies2018?"),
    ("no place in the source", (', locator = "Table 2"', ""), "energy.synaptic_event.locator is missing", "every number needs"),
    ("no kind", ('kind = "measured", ', ""), "energy.synaptic_event.kind is missing", "every number needs"),
    ("unknown kind", ('"measured"', '"guessed"'), "energy.synaptic_event.kind = 'guessed'", "expected one of measured"),
    ("no low end", ("low = 1.0, ", ""), "energy.synaptic_event.low is missing", "every number needs"),
    ("low above high", ("low = 1.0", "low = 4.0"), "energy.synaptic_event has low 4.0", "expected low <= value <= high"),
    ("high below value", ("high = 3.0", "high = 1.5"), "energy.synaptic_event has low 1.0", "expected low <= value <= high"),
    (
        "zero for unknown",
        ("value = 2.0, low = 1.0", "value = 0.0, low = 0.0"),
        "energy.synaptic_event has low 0.0",
        "leave out what is unknown",
    ),
    ("zero low end", ("low = 1.0", "low = 0"), "energy.synaptic_event has low 0", "leave out what is unknown"),
    ("negative", ("low = 1.0", "low = -1.0"), "energy.synaptic_event has low -1.0", "above 0"),
    ("not a number", ("value = 2.0", "value = nan"), "energy.synaptic_event has", "finite"),
    ("text for a number", ("value = 2.0", 'value = "2"'), "energy.synaptic_event has", "finite numbers"),
    ("a bare number", (GOOD[GOOD.index("{") :], "23.6"), "energy.synaptic_event = 23.6 stands alone", "such as { value = 23.6"),
    (
        "an unknown key",
        ('locator = "Table 2"', 'locator = "Table 2", low_end = 3'),
        "energy.synaptic_event.low_end is not known",
        "did you mean low?",
    ),
    ("an unknown event", ("synaptic_event =", "synaptic_evnt ="), "energy.synaptic_evnt is no event", "did you mean synaptic_event?"),
    ("an unknown model", ('"event"', '"events"'), "model", "events"),
    ("an unknown table", ("[energy]", "[energies]"), "mine.toml", "energies"),
    ("no energy", (GOOD[GOOD.index("[energy]") :], ""), "energy is missing", "at least one figure"),
    ("a board without its law", ('"event"', '"board"'), "power.dynamic is missing", "'board' needs it"),
    ("no title", ('title = "My chip"\n', ""), "mine.toml", "title"),
    ("not TOML", ("[energy]", "[energy"), "mine.toml is not TOML", ""),
]


@pytest.mark.parametrize(("change", "key", "advice"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_bad_card_is_refused_with_file_key_and_what_is_expected(change, key, advice):
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(UserError) as caught:
        read.card(text, "mine.toml", read.sources())
    message = str(caught.value)
    assert message.startswith("mine.toml")
    assert key in message
    assert advice in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("whole", "part"),
    [("synaptic_event", "synaptic_event_conv"), ("neuron_update", "neuron_update_active"), ("neuron_update", "neuron_change"),
     ("neuron_update_inactive", "neuron_access"), ("synaptic_event", "cell_read")],
)  # fmt: skip
@pytest.mark.parametrize("table", ["energy", "time"])
def test_a_whole_and_its_parts_would_be_charged_twice_and_are_refused(table, whole, part):
    head, line = GOOD[: GOOD.index("[energy]")], next(line for line in GOOD.splitlines() if line.startswith("synaptic_event ="))
    if table == "time":
        line = line.replace('"pJ"', '"ns"')
    figures = "\n".join(line.replace("synaptic_event", name, 1) for name in (whole, part))
    energy = GOOD[GOOD.index("[energy]") :].split("\n[")[0] if table == "time" else ""
    with pytest.raises(UserError, match=rf"{table}\.{whole} and {table}\.{part} charge one thing twice"):
        read.card(f"{head}{energy}\n[{table}]\n{figures}\n", "mine.toml", read.sources())


def test_a_folder_of_cards_may_bring_its_own_sources(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD.replace("davies2018", "me"))
    with pytest.raises(UserError, match=r"mine\.toml: energy\.synaptic_event\.source = 'me' is not in sources\.toml"):
        read.folder(tmp_path)
    (tmp_path / "sources.toml").write_text('[me]\ntitle = "A measurement"\nauthors = "me"\nyear = 2026\nread = "primary"\n')
    assert list(read.folder(tmp_path)) == ["mine"]


def test_a_folder_without_cards_and_one_with_two_of_a_name_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no \*\.toml"):
        read.folder(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        read.folder(tmp_path / "none")
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(UserError, match=r"b\.toml: a card named mine was already read"):
        read.folder(tmp_path)
