"""A grid of experiments: its points, its mistakes, and going on where it stood."""

import pytest

from neurometa.errors import UserError
from neurometa.experiment import sweep
from neurometa.experiment.override import Override
from neurometa.experiment.progress import Silent


def test_every_combination_is_one_experiment(tiny):
    found = sweep.points(tiny, ["encoding.steps=2,4", "network.widths=[12],[6, 6]", 'plasticity={kind="prototype"},{kind="bptt", steps=1}'])
    assert len(found) == 8
    assert len(set(found)) == 8
    assert [(one.encoding.steps, one.network.widths) for one in found[::2]] == [(2, (12,)), (2, (6, 6)), (4, (12,)), (4, (6, 6))]
    assert type(found[1].plasticity).__name__ == "BPTT"
    assert sweep.points(tiny, ["task.binary=false,true"], [Override(("seed",), 3)])[1].seed == 3


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (["encoding.steps"], "expected a field and its values"),
        (["encoding.steps="], "expected a field and its values"),
        (["encoding.stops=1,2"], "unknown key encoding.stops"),
        (["encoding.steps=two"], "encoding.steps = 'two', expected"),
        (["encoding.kind=rate"], "never the kind"),
        (["seed=1", "seed=2"], "each field once"),
    ],
)
def test_mistakes_are_told(tiny, grid, words):
    with pytest.raises(UserError, match=words):
        sweep.points(tiny, grid)


def test_a_sweep_given_again_goes_on_and_trains_nothing_twice(tiny, tmp_path):
    grid = sweep.points(tiny, ["encoding.steps=2,3"], [Override(("training", "steps"), 5)])
    first = sweep.run(grid[:1], tmp_path / "runs", None, Silent())
    assert len(list((tmp_path / "runs").iterdir())) == 1
    both = sweep.run(grid, tmp_path / "runs", None, Silent())
    assert both[0] == first[0]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert both[1][0].experiment.encoding.steps == 3
