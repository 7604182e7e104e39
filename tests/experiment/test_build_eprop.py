"""e-prop and its task from an experiment file: what is built, and what is refused with advice."""

import pytest

from neurometa.core.layer import TimeAverage
from neurometa.errors import UserError
from neurometa.experiment import build, load
from neurometa.experiment.override import Override
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.step_size import Columns

SMALL = {"kind": "mlp", "widths": [8, 6]}


def built(**tables):
    mapping = {"name": "try", "task": {"kind": "glyphs"}, "encoding": {"kind": "direct", "steps": 4}, "network": SMALL, **tables}
    return build.learner(load.convert(mapping, "try.toml"), 5)


def test_every_field_reaches_the_rule() -> None:
    rule = built(
        plasticity={
            "kind": "eprop", "steps": 3, "rate": 0.2, "hidden_rate": 0.5, "rates": "learnt", "fast": ["linear2.*", "readout.*"],
            "head": "zero", "feedback": "learnt", "output": "running-mean", "trace": "plain", "examples": "single",
            "truncate": "traces", "regularisation": 0.1, "target_rate": 0.3, "generator": 9, "signal_delay": 2,
        }
    ).plasticity  # fmt: skip
    expected = EProp(3, 0.2, "learnt", 0.5, ("linear2.*", "readout.*"), 5, "learnt", "running-mean", "plain", "single", truncate=True)
    expected = expected._replace(regularisation=0.1, target_rate=0.3, generator=expected.generator._replace(neurons=9), signal_delay=2)
    assert rule == expected


@pytest.mark.parametrize("kind", ["eprop", "bptt"])
def test_a_range_of_inputs_reaches_the_rule(kind: str) -> None:
    rule = built(plasticity={"kind": kind, "fast": ["linear2.weight[2:5]", "readout.*"]}).plasticity
    assert rule.fast == ("linear2.weight", "readout.*")
    assert rule.columns == (Columns("linear2.weight", 2, 5),)


@pytest.mark.parametrize(
    ("tables", "advice"),
    [
        ({"plasticity": {"kind": "eprop"}}, "lif1 is not wired"),
        ({"plasticity": {"kind": "eprop", "feedback": "random", "trace": "membrane"}}, "neurons ALIF expected"),
        ({"plasticity": {"kind": "eprop", "feedback": "random", "updates": "online"}}, "say after how many steps"),
        ({"plasticity": {"kind": "eprop", "feedback": "random", "chunk": 2, "output": "time-mean"}}, "look at the whole window"),
        ({"plasticity": {"kind": "eprop", "signal_delay": -1}}, "signal_delay"),
        ({"plasticity": {"kind": "eprop", "feedback": "random", "signal_delay": 2, "output": "time-mean"}}, "choose signal_delay 0, or"),
        ({"plasticity": {"kind": "eprop", "feedback": "generator", "chunk": 2}}, "feedback generator given"),
        (
            {"plasticity": {"kind": "eprop", "feedback": "random", "chunk": 2}, "network": {**SMALL, "normalise": True}},
            "norm1 of kind Norm",
        ),
        ({"plasticity": {"kind": "eprop", "fast": ["nothing"]}}, "matches no parameter"),
        ({"plasticity": {"kind": "eprop", "fast": ["linear2.weight[4:9]"]}}, "has inputs 0 to 8"),
        ({"plasticity": {"kind": "bptt", "fast": ["linear2.weight[4:4]"]}}, "0 <= first < last"),
        ({"plasticity": {"kind": "bptt", "fast": ["linear2.bias[0:4]"]}}, "needs the name of a weight of a linear layer: linear1.weight"),
        ({"plasticity": {"kind": "bptt", "fast": ["*", "linear2.weight[0:4]"]}}, "linear2.weight twice"),
        ({"plasticity": {"kind": "bptt", "hidden_rate": 0.1, "rates": "learnt"}}, "one rate for all"),
        ({"plasticity": {"kind": "bptt", "hidden_rate": 0.1, "fast": ["readout.*"]}}, "names the readout alone"),
        ({"plasticity": {"kind": "eprop", "hidden_rate": 0.1, "fast": ["readout.*"]}}, "names the readout alone"),
        ({"plasticity": {"kind": "eprop", "feedback": "learnt"}, "estimator": {"kind": "first-order"}}, "feedback learnt no gradient"),
        ({"network": {**SMALL, "neuron": {"kind": "lif", "beta": 0.1}}}, "unknown key network.neuron.beta"),
        ({"network": {**SMALL, "last": 5}}, "window of 4 steps"),
        ({"encoding": {"kind": "raster"}}, "raster goes with task"),
        ({"task": {"kind": "delayed-cue"}}, "raster goes with task"),
        ({"task": {"kind": "delayed-cue"}, "encoding": {"kind": "raster"}, "network": {"kind": "conv"}}, "choose network mlp"),
    ],
)
def test_what_cannot_work_is_refused_with_advice(tables, advice) -> None:
    with pytest.raises(UserError, match=advice):
        built(**tables)


def test_the_delayed_cue_is_seen_over_time_and_answered_at_the_end() -> None:
    task = {"kind": "delayed-cue", "ways": 3, "cue": 5, "delay": 12, "recall": 4, "channels": 2}
    learner = built(task=task, encoding={"kind": "raster"}, network={**SMALL, "last": 4}, plasticity={"kind": "frozen"})
    assert learner.network.shape == (8,)
    assert any(isinstance(layer, TimeAverage) and layer.last == 4 for _, layer in learner.network.layers)
    experiment = load.convert({"name": "try", "task": task, "encoding": {"kind": "raster"}, "network": SMALL}, "try.toml")
    unseen = build.unseen(experiment, build.Question(3, 2, 1), None)
    assert unseen.shape == (21, 8)
    with pytest.raises(UserError, match="2 ways given, but task delayed-cue asks the 3 cues it was trained on"):
        build.unseen(experiment, build.Question(2, 2, 1), None)
    assert build.question(experiment).ways == 3, "where [evaluation] does not say"
    told = load.changed(experiment, [Override(("evaluation", "ways"), 5)], "try.toml")
    with pytest.raises(UserError, match="5 ways given"):
        build.unseen(told, build.question(told), None)
