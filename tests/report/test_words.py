"""What the report says of a rule."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from neurometa.report import words
from neurometa.report.read import Reading


def said(**rule: Any) -> str:
    config = {"plasticity": {"kind": "eprop", "steps": 2, "feedback": "random", **rule}}
    return words.plasticity(Reading(Path(), "", config, {}, pl.DataFrame(), None, (), None, None, None, None, {}))


@pytest.mark.parametrize(("truncate", "named"), [("traces", True), ("none", False)])
def test_the_truncation_of_the_outer_gradient_is_named(truncate: str, named: bool) -> None:
    assert ("traces counted as constant" in said(truncate=truncate)) == named


def test_a_late_learning_signal_is_named() -> None:
    assert "with random feedback, which arrives 2 steps late" in said(signal_delay=2)
    assert "late" not in said(signal_delay=0)
    assert "late" not in said(), "a run from before the field"


def test_how_examples_were_shown_is_named() -> None:
    assert "2 steps of e-prop on the examples, one after another, with random feedback" in said(examples="single")
    assert "together" in said(examples="batch")
