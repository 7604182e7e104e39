"""The outer loop: what one step does, what it refuses, and that it goes on as if it had never stopped."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.core.encode import Rate
from neurometa.errors import UserError
from neurometa.meta.estimators import FirstOrder, Unrolled
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity.bptt import BPTT
from neurometa.types import Data, Episode, Measures, Params
from tests.meta.learners import conv, made, mlp, problem
from tests.small import Switches

TASK = Switches(2, 1, 2)


class Told:
    """An estimator that says what it is told: one gradient number for every parameter (or for one), and each step's statistics in turn."""

    needs_graph = False

    def __init__(self, gradient: float = 1.0, *, statistics: tuple = (), loss: float = 0.5, finite: float = 1.0, only: str = "") -> None:  # type: ignore[type-arg]
        self.gradient, self.loss, self.finite, self.only = gradient, loss, finite, only
        self.statistics = list(statistics)
        self.used: list[Params] = []

    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Say it, and note the statistics to use."""
        self.used.append(still or {})
        numbers = (torch.tensor(value) for value in (self.loss, 0.25, self.finite))
        outcome = Measures(*numbers, self.statistics.pop(0) if self.statistics else {})
        return outcome, {name: torch.full_like(value, self.gradient) for name, value in slow.items() if self.only in name}


def trainer(estimator=None, rule: str = "all", build: str = "mlp", seed: int = 0, **settings: object) -> Trainer:  # type: ignore[no-untyped-def]
    learner = made(build, rule, normalise=True)
    return Trainer(learner, TASK, estimator or Unrolled(), TrainerSettings(**{"steps": 8, "tasks": 2, **settings}), seed)


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) and value.dtype == two[name].dtype for name, value in one.items())


CONTINUED = [
    {"optimiser": "adam", "rule": "all"},
    {"optimiser": "sgd", "rule": "all", "learning_rate": 0.05},
    {"optimiser": "adam", "rule": "prototype", "build": "conv", "schedule": "constant"},
    {"optimiser": "adam", "rule": "per-parameter", "clip": 0.1},
]


@pytest.mark.parametrize("choice", CONTINUED, ids=["adam", "sgd", "conv prototype", "learnt rates"])
@pytest.mark.parametrize("stop", [0, 2])
def test_a_restored_run_ends_bit_for_bit_like_an_undisturbed_one(choice: dict, stop: int) -> None:
    straight = trainer(**choice)
    start = straight.snapshot()
    progress = [straight.step() for _ in range(4)]
    first = trainer(**choice)
    for _ in range(stop):
        first.step()
    kept = first.snapshot()
    first.step()  # goes on after the checkpoint, then is killed
    second = trainer(seed=99, **choice)
    second.restore(kept, stop)
    assert same(second.snapshot(), kept)
    assert [second.step() for _ in range(4 - stop)] == progress[stop:]
    assert same(second.snapshot(), straight.snapshot())
    assert not same(straight.snapshot(), start)
    assert second.at == 4


def test_random_encodings_continue_too() -> None:
    def fresh(seed: int) -> Trainer:
        learner = Learner(mlp(), BPTT(1, 0.3), Rate(4))
        return Trainer(learner, TASK, FirstOrder(), TrainerSettings(steps=6), seed)

    straight = fresh(0)
    for _ in range(4):
        straight.step()
    first, second = fresh(0), fresh(1)
    first.step()
    second.restore(first.snapshot(), 1)
    for _ in range(3):
        second.step()
    assert same(second.snapshot(), straight.snapshot())


def test_a_snapshot_is_a_copy_with_every_part() -> None:
    one = trainer()
    one.step()
    kept = one.snapshot()
    before = {name: value.clone() for name, value in kept.items()}
    one.step()
    assert same(kept, before)
    assert {name.split("/")[0] for name in kept} == {"slow", "buffer", "optimiser", "generator"}
    assert {f"optimiser/linear1.weight/{field}" for field in ("step", "exp_avg", "exp_avg_sq")} <= kept.keys()
    assert not any(value.requires_grad for value in kept.values())


@pytest.mark.parametrize("other", [{"rule": "prototype"}, {"build": "conv"}, {"rule": "learnt"}])
def test_a_snapshot_of_another_learner_is_refused_by_the_parameters_that_differ(other: dict) -> None:
    target = trainer(**other)
    before = target.snapshot()
    with pytest.raises(UserError, match="checkpoint of another learner") as raised:
        target.restore(trainer().snapshot(), 1)
    assert any(name in str(raised.value) for name in ("linear1.weight", "readout.weight", "bptt.log_rate"))
    assert "\n" not in str(raised.value)
    assert same(target.snapshot(), before)
    assert target.at == 0


BAD = {
    "loss": Told(loss=math.nan),
    "infinite loss": Told(loss=math.inf),
    "gradient": Told(gradient=math.nan),
    "gradient too long": Told(gradient=1e300),
    "statistics": Told(statistics=({"norm1.mean": torch.tensor([0.0, math.nan])},) * 2),
    "adapted weights": Told(finite=0.5),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_what_is_not_finite_stops_the_run_and_changes_nothing(bad: Told, clip: float) -> None:
    run = trainer(clip=clip)
    run.step()
    run.step()
    before = run.snapshot()
    run.estimator = bad
    with pytest.raises(UserError, match=r"^step 3: loss .* gradient norm .* finite numbers expected; lower") as raised:
        run.step()
    assert "\n" not in str(raised.value)
    assert same(run.snapshot(), before)
    assert run.at == 2
    run.estimator = Unrolled()
    assert run.step().step == 3


def test_an_inner_loop_that_explodes_is_noticed() -> None:
    learner = made("mlp", "all")._replace(plasticity=BPTT(4, 1e300))
    run = Trainer(learner, TASK, Unrolled(), TrainerSettings(4), 0)
    before = run.snapshot()
    with pytest.raises(UserError, match="step 1: loss"):
        run.step()
    assert same(run.snapshot(), before)


def test_sgd_takes_the_gradient_times_the_rate() -> None:
    run = trainer(Told(2.0), "readout", optimiser="sgd", schedule="constant", learning_rate=0.1)
    before = {name: value.clone() for name, value in run.parameters().items()}
    assert run.step() == (1, 0.5, 0.25)
    for name, value in run.parameters().items():
        torch.testing.assert_close(value, before[name] - 0.2, rtol=1e-12, atol=1e-13)


def test_adams_first_step_is_the_rate_in_the_direction_of_the_gradient() -> None:
    run = trainer(Told(-3.0), "readout", schedule="constant", learning_rate=0.01)
    before = {name: value.clone() for name, value in run.parameters().items()}
    run.step()
    for name, value in run.parameters().items():
        torch.testing.assert_close(value, before[name] + 0.01, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("clip", "factor"), [(0.0, 1.0), (1e9, 1.0), (0.3, None)])
def test_a_gradient_longer_than_the_clip_is_shortened_to_it(clip: float, factor: float | None) -> None:
    run = trainer(Told(2.0), "readout", optimiser="sgd", schedule="constant", learning_rate=1.0, clip=clip)
    before = {name: value.clone() for name, value in run.parameters().items()}
    run.step()
    way = torch.cat([(before[name] - value).flatten() for name, value in run.parameters().items()])
    if factor is None:
        assert float(way.norm()) == pytest.approx(0.3, rel=1e-12)
    torch.testing.assert_close(way, torch.full_like(way, 2.0 if factor else 0.3 / len(way) ** 0.5), rtol=1e-10, atol=1e-12)


def rates(run: Trainer) -> list[float]:
    """Learning rate of each step of a run, read off a parameter with gradient 1."""
    found = []
    while not run.done:
        before = float(run.slow["readout.bias"][0].detach())
        run.step()
        found.append(before - float(run.slow["readout.bias"][0].detach()))
    return found


def test_cosine_falls_from_the_rate_to_zero() -> None:
    found = rates(trainer(Told(1.0), optimiser="sgd", learning_rate=0.2, steps=8))
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 8)) for t in range(8)], rel=1e-9)
    assert found[0] == pytest.approx(0.2)
    long = rates(trainer(Told(1.0), optimiser="sgd", learning_rate=0.2, steps=60, tasks=1))
    assert 0 < long[-1] < 1e-3 * long[0]
    assert long == sorted(long, reverse=True)


def test_constant_stays() -> None:
    assert rates(trainer(Told(1.0), optimiser="sgd", learning_rate=0.2, schedule="constant")) == pytest.approx([0.2] * 8, rel=1e-9)


def test_measured_statistics_are_folded_with_their_momentum_and_the_first_is_taken_as_it_is() -> None:
    told = tuple({"norm1.mean": torch.tensor([value, -value])} for value in (3.0, 5.0, -1.0))
    run = trainer(Told(statistics=told), "readout", momentum_of_statistics=0.25)
    expected = torch.tensor([3.0, -3.0])
    assert "norm1.mean" not in run.parameters()
    for i, measured in enumerate(told):
        run.step()
        expected = expected if i == 0 else 0.75 * expected + 0.25 * measured["norm1.mean"]
        torch.testing.assert_close(run.parameters()["norm1.mean"], expected, rtol=1e-14, atol=0)


def test_a_rule_that_moves_the_readout_alone_never_uses_the_running_statistics() -> None:
    run = trainer(rule="prototype", build="conv")
    run.step()
    assert run.buffers.keys() == {f"norm{i}.{key}" for i in (1, 2) for key in ("mean", "var")}
    kept, progress = run.snapshot(), run.step()
    spoilt = {name: value * 100 if name.startswith("buffer/") else value for name, value in kept.items()}
    run.restore(spoilt, 1)
    assert run.step() == progress


@pytest.mark.parametrize("build", ["mlp", "conv"])
def test_a_rule_that_moves_the_layers_below_uses_running_statistics_of_the_unadapted_supports(build: str) -> None:
    told = Told(0.1)
    run = trainer(told, "all", build, momentum_of_statistics=0.25, optimiser="sgd", learning_rate=0.1)
    expected: Params = {}
    for step in range(3):
        slow = {name: value.detach().clone() for name, value in run.slow.items()}
        generator = torch.Generator()
        generator.set_state(run.generator.get_state())
        support = run.learner.encode(TASK.sample(generator, 2), generator).support
        network = run.learner.network
        newest = network.run(slow, network.signal(support.x.flatten(0, 1))).statistics
        run.step()
        assert newest.keys() == run.buffers.keys() == told.used[step].keys() != set()
        for name, value in newest.items():
            expected[name] = 0.75 * expected[name] + 0.25 * value if step else value
            torch.testing.assert_close(told.used[step][name], expected[name], rtol=1e-12, atol=1e-13)
            torch.testing.assert_close(run.parameters()[name], expected[name], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rule", ["all", "readout", "prototype"])
def test_no_running_statistic_comes_from_a_query(rule: str) -> None:
    class Other(NamedTuple):
        ways: int = 2
        shape: tuple[int, ...] = (1, 4, 4)

        def sample(self, generator: torch.Generator, count: int) -> Episode:
            episodes = TASK.sample(generator, count)
            return episodes._replace(query=Data(1 - episodes.query.x, episodes.query.y))

    one, two = trainer(rule=rule), trainer(rule=rule)
    two.task = Other()
    assert one.step().loss != two.step().loss
    assert one.buffers.keys() == two.buffers.keys() != set()
    assert all(torch.equal(one.buffers[name], two.buffers[name]) for name in one.buffers)


def test_progress_counts_from_one_to_the_end() -> None:
    run = trainer(Told(), steps=3)
    assert (run.at, run.total, run.done) == (0, 3, False)
    assert [run.step().step for _ in range(3)] == [1, 2, 3]
    assert run.done


def test_the_seed_decides_parameters_and_episodes() -> None:
    one, two, other = (trainer(seed=seed) for seed in (1, 1, 2))
    assert same(one.snapshot(), two.snapshot())
    assert one.step() == two.step() != other.step()
    assert not same(one.snapshot(), other.snapshot())


def test_parameters_without_a_gradient_stay() -> None:
    run = Trainer(Learner(conv(), BPTT(1, 0.3, fast=("readout.*",)), Rate(4)), TASK, FirstOrder(), TrainerSettings(4, optimiser="sgd"), 0)
    run.estimator = Told(only="readout.bias")
    before = {name: value.clone() for name, value in run.parameters().items()}
    run.step()
    assert [name for name, value in run.parameters().items() if not torch.equal(value, before[name])] == ["readout.bias"]


def test_a_run_begins_with_the_parameters_that_it_is_given_and_refuses_those_of_another_learner() -> None:
    learner = made("mlp", "all", normalise=True)
    params = {name: value + 1 for name, value in learner.init(torch.Generator().manual_seed(5)).items()}
    statistics = {"norm1.mean": torch.ones(7), "norm1.var": torch.full((7,), 2.0)}
    begun = Trainer(learner, TASK, Unrolled(), TrainerSettings(2), 0, start={**params, **statistics})
    assert same(begun.parameters(), {**params, **statistics})
    for wrong in ({"linear9.weight": torch.ones(2)}, {"linear1.weight": torch.ones(2, 3)}):
        with pytest.raises(UserError, match=r"start has linear\d\.weight of shape .* expected some of linear1\.weight \(7, 16\)"):
            Trainer(learner, TASK, Unrolled(), TrainerSettings(2), 0, start=wrong)


def test_only_the_slow_parameters_that_are_to_be_trained_move_and_a_restored_run_keeps_the_others() -> None:
    whole = trainer(rule="learnt", trains=("bptt.*",))
    before = {name: value.clone() for name, value in whole.parameters().items()}
    whole.step()
    after = whole.parameters()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"bptt.log_rate"}
    again = trainer(rule="learnt", trains=("bptt.*",), seed=99)
    again.restore(whole.snapshot(), 1)
    assert same(again.parameters(), after)
    assert again.step() == whole.step()
    with pytest.raises(UserError, match=r"lacks linear1\.weight"):
        again.restore({name: value for name, value in whole.snapshot().items() if name != "buffer/linear1.weight"}, 1)


@pytest.mark.parametrize("build", ["mlp", "recurrent", "conv"])
def test_sixteen_bit_products_train_nearly_as_thirty_two_and_keep_weights_and_spikes_whole(build):
    learner = made(build, "all", normalise=True)
    slow, episodes = problem(learner)
    slow, episodes = tree_map(lambda x: x.float() if x.is_floating_point() else x, (slow, episodes))
    found = {}
    for precision in ("float32", "bf16"):
        one = learner._replace(precision=precision)
        with one.arithmetic():
            found[precision] = Unrolled()(one, slow, episodes)
            z = one.network.run(slow, one.network.signal(episodes.query.x[0])).z
        outcome, gradient = found[precision]
        assert all(value.dtype == torch.float32 for value in (*gradient.values(), *outcome.statistics.values(), *z.values()))
        assert sum(float(value.sum()) for value in z.values()) > 10
    (exact, gradient), (rough, other) = found.values()
    assert 0 < abs(float(exact.loss - rough.loss)) < 0.1 * float(exact.loss)
    flat = [torch.cat([g[name].flatten() for name in gradient]) for g in (gradient, other)]
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.8


def test_nan_in_a_picture_is_named_before_vmap_hides_it():
    learner = made("mlp", "all")
    _, episodes = problem(learner)
    pictures = tree_map(lambda x: x, episodes)
    pictures.support.x[0, 0] = math.nan
    with pytest.raises(UserError, match=r"input of shape .* with NaN or infinite values given"):
        learner.encode(pictures, torch.Generator())
