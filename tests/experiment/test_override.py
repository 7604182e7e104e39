import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.experiment import override
from neurometa.experiment.override import Override

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).filter(lambda name: name != "kind")
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
numbers = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False)
values = numbers | st.lists(numbers, max_size=4)


def as_toml(value):
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


@given(paths, values)
def test_a_toml_value_survives_a_flag(path, value):
    flag = "--" + ".".join(path)
    for arguments in ([flag, as_toml(value)], [f"{flag}={as_toml(value)}"]):
        assert override.split(arguments) == ([], [Override(path, value)])


@given(st.text())
def test_quoted_text_is_the_text(text):
    assert override.scalar(as_toml(text)) == text


@given(st.text())
def test_any_text_gives_some_scalar_and_never_a_table(text):
    assert isinstance(override.scalar(text), bool | int | float | str | list)


@given(paths, values)
def test_an_applied_override_stands_in_the_mapping_and_the_mapping_given_is_left_alone(path, value):
    before = {}
    after = override.apply(before, [Override(path, value)])
    for name in path:
        after = after[name]
    assert after == value
    assert before == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("100", 100), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 1e-3), ("true", True), ("false", False)],
        *[("vinyals", "vinyals"), ('"100"', "100"), ("[1, 2]", [1, 2]), ("1\nx = 2", "1\nx = 2"), ("2020-01-01", "2020-01-01"), ("", "")],
    ],
)
def test_scalars(text, value):
    given = override.scalar(text)
    assert given == value
    assert type(given) is type(value)


def test_positional_arguments_may_stand_anywhere():
    assert override.split(["--seed", "-3", "file.toml", "--task.ways=20"]) == (
        ["file.toml"],
        [Override(("seed",), -3), Override(("task", "ways"), 20)],
    )


def test_a_later_flag_wins():
    assert override.apply({}, [Override(("seed",), 1), Override(("seed",), 2)]) == {"seed": 2}


def test_a_table_that_the_file_leaves_out_gets_its_default_kind():
    edited = override.apply({}, [Override(("network", "neuron", "surrogate", "slope"), 5.0)])
    assert edited == {"network": {"kind": "conv", "neuron": {"kind": "lif", "surrogate": {"slope": 5.0}}}}


def test_the_kind_that_the_file_chose_stays():
    edited = override.apply({"network": {"kind": "mlp"}}, [Override(("network", "neuron", "decay"), 0.9)])
    assert edited == {"network": {"kind": "mlp", "neuron": {"kind": "lif", "decay": 0.9}}}


@pytest.mark.parametrize(("flag", "value"), [("--task.kind", "omniglot"), ("--network.neuron.kind", "relu"), ("--task", "omniglot")])
def test_a_flag_never_changes_a_kind(flag, value):
    _, overrides = override.split([flag, value])
    with pytest.raises(UserError, match="a flag overrides a field of the chosen kind, never the kind; edit the file"):
        override.apply({"task": {"kind": "glyphs"}}, overrides)


@pytest.mark.parametrize("arguments", [["--seed"], ["--seed", "--task.ways", "3"], ["--task..ways", "3"], ["--", "3"], ["--=3"]])
def test_a_flag_without_value_or_name_is_refused(arguments):
    with pytest.raises(UserError, match=r"^--\S* (has no value|names no field)"):
        override.split(arguments)


def test_a_flag_through_a_number_is_refused():
    with pytest.raises(UserError, match="seed is 3, not a table"):
        override.apply({"seed": 3}, [Override(("seed", "x"), 1)])
