import msgspec
import pytest

from neurometa.errors import UserError
from neurometa.experiment import catalogue, config


@pytest.mark.parametrize("what", catalogue.WHAT)
def test_every_row_says_name_availability_and_why(what):
    for row in catalogue.catalogue(what):
        assert set(row) == {"name", "available", "why"}
        assert isinstance(row["available"], bool)
        assert row["why"].strip()
        assert "\n" not in row["why"]


@pytest.mark.parametrize(
    ("what", "field"), [("plasticity", "plasticity"), ("estimators", "estimator"), ("tasks", "task"), ("networks", "network")]
)
def test_the_names_are_what_kind_takes(what, field):
    for row in catalogue.catalogue(what):
        mapping = {"name": "a", "task": {"kind": "glyphs"}, field: {"kind": row["name"]}}
        built = getattr(msgspec.convert(mapping, config.Experiment), field)
        assert msgspec.to_builtins(built)["kind"] == row["name"]


def test_the_reference_kernel_is_always_there():
    rows = {row["name"]: row["available"] for row in catalogue.catalogue("kernels")}
    assert set(rows) == {"reference", "numba", "triton"}
    assert rows["reference"]


def test_an_unknown_table_lists_the_known_ones():
    with pytest.raises(UserError, match="plasticity, estimators, tasks, networks, chips, kernels"):
        catalogue.catalogue("rules")
