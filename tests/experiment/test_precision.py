"""A learner judged in few bits: of training pictures alone, and only where the rule leaves the rounded weights alone."""

import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, evaluation, load
from neurometa.experiment.override import Override
from neurometa.experiment.precision import rounded
from neurometa.experiment.progress import Silent


def judged(run, bits, cells="exact"):
    changed = run._replace(
        experiment=load.changed(run.experiment, [Override(("evaluation", "bits"), bits), Override(("evaluation", "cells"), cells)], "test")
    )
    asked = build.question(changed.experiment)
    task = build.unseen(changed.experiment, asked, None)
    return evaluation.answer(changed, checkpoint.read(run.checkpoint).parameters(), task, asked, 20, 1, Silent())


def test_fewer_bits_cost_accuracy_and_thirty_two_are_the_learner_itself(finished):
    full, byte, least = (judged(finished, bits) for bits in (32, 8, 2))
    assert "bits" not in full
    assert (byte["bits"], least["bits"]) == (8, 2)
    assert abs(byte["accuracy"]["mean"] - full["accuracy"]["mean"]) < 5
    assert least["accuracy"] != full["accuracy"]


def test_a_readout_in_noisy_cells_costs_accuracy_and_is_the_same_again(finished):
    exact, verified, again, blind = (judged(finished, 32, cells) for cells in ("exact", "pcm", "pcm", "pcm-pulses"))
    assert "cells" not in exact
    assert verified["cells"] == "pcm"
    assert verified["accuracy"] == again["accuracy"]
    assert len({one["accuracy"]["mean"] for one in (exact, verified, blind)}) == 3
    assert min(one["accuracy"]["mean"] for one in (verified, blind)) > 100 / 3


def test_the_network_itself_where_nothing_is_rounded(experiment):
    made = experiment()
    learner = build.learner(made, 3)
    assert rounded(made, learner, learner.init(torch.Generator()), None, 3) is learner


def test_a_rule_that_moves_rounded_weights_is_refused(experiment):
    made = experiment({"plasticity": {"kind": "bptt"}, "evaluation.bits": 8})
    learner = build.learner(made, 3)
    with pytest.raises(UserError, match=r"evaluation.bits = 8 given, but this rule moves weights below the readout"):
        rounded(made, learner, learner.init(torch.Generator()), None, 3)
    made = experiment({"plasticity": {"kind": "bptt"}, "evaluation.cells": "pcm"})
    with pytest.raises(UserError, match=r"evaluation.cells = 'pcm' given, but this rule moves more than the readout"):
        rounded(made, learner, {}, None, 3)
