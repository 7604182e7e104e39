"""A regression from its file to its report: squared errors where a classification has accuracies."""

import json

import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, evaluation, folder, load, session
from neurometa.experiment.progress import Silent
from neurometa.experiment.publish import publish
from neurometa.report import page

SINES = {
    "name": "sines",
    "task": {"kind": "sinusoid", "shots": 5, "queries": 4},
    "network": {"kind": "mlp", "widths": [12], "neuron": {"kind": "lif", "threshold": 0.3}},
    "encoding": {"kind": "population", "steps": 4, "neurons": 9},
    "plasticity": {"kind": "bptt", "steps": 2, "rate": 0.05},
    "training": {"steps": 30, "tasks": 4, "learning_rate": 1e-2},
    "evaluation": {"shots": 5, "queries": 6, "episodes": 20},
}


def made(**changes):
    return load.convert({**SINES, **changes}, "test")


@pytest.fixture(scope="module")
def sines(tmp_path_factory):
    return session.start(made(), tmp_path_factory.mktemp("runs"), None, Silent())


def test_its_summary_has_squared_errors_and_no_accuracy(sines):
    run, summary = sines
    assert set(summary["mse"]) == set(summary["before_adaptation"]) == set(summary["zeroed_hidden"]) == {"mean", "ci95"}
    assert "accuracy" not in summary
    assert summary["task"]["ways"] == 1
    assert summary["mse"]["mean"] < summary["before_adaptation"]["mean"], "ten points tell something"
    assert summary["spikes_per_inference"] > 0
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert all("accuracy" not in line and line["loss"] > 0 for line in lines)


def test_it_is_judged_again_with_another_number_of_examples_and_other_ways_are_refused(sines):
    run, _ = sines
    opened = folder.open_run(run.path)
    asked = build.question(opened.experiment)
    few = evaluation.ask(opened, asked._replace(shots=1), 20, 1, None, Silent())
    more = evaluation.ask(opened, asked._replace(shots=30), 20, 1, None, Silent())
    assert few["mse"]["mean"] > more["mse"]["mean"]
    assert "--ways" not in few["command"]
    with pytest.raises(UserError, match="leave out --ways"):
        build.unseen(opened.experiment, asked._replace(ways=5), None)


def test_its_report_speaks_of_squared_error(sines, tmp_path):
    html = page.write([sines[0].path], tmp_path / "page.html").read_text()
    assert "squared error" in html
    assert "named correctly" not in html
    assert "<svg" in html


def test_it_is_published_and_judged_from_there(sines, tmp_path):
    out = publish(sines[0], tmp_path / "published")
    told = (out / "README.md").read_text()
    assert "squared error" in told
    assert "--ways" not in told
    opened = folder.open_run(out)
    assert evaluation.ask(opened, build.question(opened.experiment), 5, 1, None, Silent())["mse"]["mean"] > 0


@pytest.mark.parametrize("rule", [{"kind": "bptt", "head": "zero"}, {"kind": "hebbian"}, {"kind": "frozen"}])
def test_other_rules_take_a_step_and_are_judged(rule):
    experiment = made(plasticity=rule)
    trainer = build.trainer(experiment, None)
    assert torch.isfinite(torch.tensor(trainer.step().loss))
    task = build.unseen(experiment, build.question(experiment), None)
    from neurometa.meta.evaluate import evaluate

    found = evaluate(trainer.learner, trainer.parameters(), task, 5, torch.Generator().manual_seed(0))
    assert torch.isfinite(found.after).all()
    assert torch.isfinite(found.before).all()
    assert float(found.before.mean()) > 0.1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"encoding": {"kind": "rate"}}, "choose encoding population"),
        ({"network": {"kind": "conv"}}, "choose network mlp"),
        ({"plasticity": {"kind": "prototype"}}, "choose bptt or hebbian"),
        ({"task": {"kind": "glyphs"}}, "choose encoding direct"),
        ({"training": {"redeal": True}}, "choose redeal false"),
    ],
)
def test_what_needs_classes_or_pictures_is_refused(changes, word):
    with pytest.raises(UserError, match=word):
        build.trainer(made(**changes), None)
