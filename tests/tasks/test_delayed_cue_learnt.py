"""The silent delayed cue: only a rule whose eligibility outlasts the silence, in neurons that outlast it, changes an answer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from neurometa.core.encode import Raster
from neurometa.core.network import READOUT, mlp_network
from neurometa.core.neuron import ALIF, LIF
from neurometa.experiment import build, load
from neurometa.meta.adapt import outcomes
from neurometa.meta.estimators import Unrolled
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.frozen import Frozen
from neurometa.plasticity.step_size import Columns
from neurometa.tasks import DelayedCue
from neurometa.types import Data, Episode, Params
from tests.small import double

__all__ = ["double"]

HERE = Path(__file__).parents[2] / "experiments"
TASK = DelayedCue(ways=2, shots=5, queries=5, cue=20, delay=200, recall=20, channels=10, rate=0.5, noise=0.0)
FORGETS = 0.9**200  # share of a membrane's potential, or of an eligibility that lives as long, that is left after the silence
WEIGHT = "linear1.weight"


def begun(name: str, task: DelayedCue, episodes: int) -> tuple[Learner, Params, Episode]:
    """A published experiment before its training, and encoded episodes."""
    learner, generator = build.learner(load.read(HERE / f"delayed-cue-eprop-{name}.toml"), 2), torch.Generator().manual_seed(0)
    slow = learner.init(generator)
    return learner, slow, learner.encode(task.sample(generator, episodes), generator)


def update(learner: Learner, slow: Params, episodes: Episode) -> Tensor:
    """What the first support set changes at the synapses of cues and question, (neurons, inputs)."""
    support = Data(episodes.support.x[0], episodes.support.y[0])
    record = learner.network.run(slow, learner.network.signal(support.x))
    (z,) = record.z.values()
    assert z[:20].sum() > 100, "the cue makes neurons spike"
    assert z[220:].sum() > 100, "so does the question"
    return learner.adapt(slow, support).fast[WEIGHT] - slow[WEIGHT]


def test_only_the_cues_synapses_of_adaptive_neurons_learn_from_an_error_200_steps_later() -> None:
    found = update(*begun("alif", TASK, 1))
    assert float(found[:, :20].abs().max()) > 0.1
    assert float(found[:, :20].abs().gt(1e-3).double().mean()) > 0.5, "most of them"
    assert not found[:, 20:].any(), "the question's are not plastic"


@pytest.mark.parametrize("name", ["short", "lif"])
def test_an_eligibility_that_lasts_as_long_as_the_membrane_is_gone_when_the_error_comes(name: str) -> None:
    learner, slow, episodes = begun(name, TASK, 1)
    found = update(learner, slow, episodes)
    assert 0 < float(found.abs().max()) < 1e-6 * float(update(*begun("alif", TASK, 1)).abs().max())
    once = learner._replace(plasticity=learner.plasticity._replace(steps=1, columns=()))
    cue, question = update(once, slow, episodes).split((20, 10), 1)
    assert float(question.abs().max()) > 0.1, "the rule does move synapses that spike when the error comes"
    assert float(cue.abs().max()) < 100 * FORGETS * float(question.abs().max())  # a sum over the last ten steps of the cue


@pytest.mark.parametrize(("name", "learns"), [("alif", True), ("short", False), ("lif", False)])
def test_adaptation_changes_answers_with_a_long_eligibility_and_none_without(name: str, learns: bool) -> None:
    learner, slow, episodes = begun(name, TASK._replace(shots=2, queries=3), 200)
    shown = learner.network.signal(episodes.query.x[:20].movedim(1, 0).flatten(1, 2))
    slow[f"{READOUT}.bias"] -= learner.network.run(slow, shown).output.mean(0)  # undecided, so that a small change would be seen
    before = outcomes(learner._replace(plasticity=Frozen()), Learner.adapt, slow, episodes)
    after = outcomes(learner, Learner.adapt, slow, episodes)
    assert float(before.accuracy.std()) > 0.05, "its answers depend on the trial"
    assert bool(after.finite.all())
    if learns:
        assert float((before.accuracy != after.accuracy).double().mean()) > 0.2
    else:
        assert torch.equal(before.accuracy, after.accuracy)
        torch.testing.assert_close(after.loss, before.loss, rtol=0, atol=1e-6)


SHORT = DelayedCue(ways=2, shots=3, queries=3, cue=6, delay=40, recall=6, channels=5, rate=0.5, noise=0.0)
"""The silence is 14 membrane time constants of a decay of 0.7."""

ADAPTIVE = ALIF(decay=0.7, beta=0.5, rho=0.99, hard_reset=False)
LONG = EProp(1, 20.0, "per-tensor", fast=(WEIGHT,), columns=(Columns(WEIGHT, 0, 10),))


@pytest.mark.parametrize(
    ("neuron", "rule", "learns"),
    [
        pytest.param(ADAPTIVE, LONG, True, id="e-prop"),
        pytest.param(ADAPTIVE, Frozen(), False, id="frozen"),
        pytest.param(ADAPTIVE, LONG._replace(trace="membrane"), False, id="eligibility without adaptation"),
        pytest.param(LIF(decay=0.7, hard_reset=False), LONG, False, id="neurons without adaptation"),
    ],
)
def test_meta_training_helps_the_long_eligibility_and_nothing_else(neuron: ALIF | LIF, rule: EProp | Frozen, learns: bool) -> None:
    torch.set_default_dtype(torch.float32)  # the package's own default
    network = mlp_network((15,), (16,), neuron=neuron, steps=1, outputs=2, last=6)
    learner = Learner(network, rule, Raster())
    run = Trainer(learner, SHORT, Unrolled(), TrainerSettings(60, 4, learning_rate=0.02, clip=1.0), 0)
    while not run.done:
        run.step()
    generator = torch.Generator().manual_seed(1)
    episodes = learner.encode(SHORT.sample(generator, 400), generator)
    (z,) = network.run(run.parameters(), network.signal(episodes.query.x[0])).z.values()
    assert z.sum() > 50, "a silent network proves nothing"
    accuracy = float(outcomes(learner, Learner.adapt, run.parameters(), episodes).accuracy.detach().mean())
    assert accuracy > 0.9 if learns else abs(accuracy - 0.5) < 0.1  # four standard errors, 400 episodes being right or wrong as a whole
