"""The outer loop: sample tasks, estimate a gradient, step, fold normalisation statistics into buffers."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.tree import detach, finite, norm, select, without
from neurometa.errors import UserError
from neurometa.meta.adapt import measured
from neurometa.meta.diagnosis import trouble
from neurometa.meta.estimators import Drawing, Estimator
from neurometa.meta.learner import Learner
from neurometa.types import Episode, Measures, Params, TaskFamily


class TrainerSettings(NamedTuple):
    """The outer optimiser.

    Attributes:
        steps: outer steps of the whole run.
        tasks: episodes a step.
        optimiser: "adam" or "sgd" (plain, no momentum).
        learning_rate: of the first step.
        schedule: "constant", or "cosine" down to zero at the last step.
        clip: largest Euclidean norm of the gradient; 0 for no limit.
        momentum_of_statistics: share of the newest episodes in the running normalisation statistics.
        trains: name patterns of the slow parameters that move; the others stay as they began.
    """

    steps: int
    tasks: int = 1
    optimiser: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    clip: float = 0.0
    momentum_of_statistics: float = 0.05
    trains: tuple[str, ...] = ("*",)


class Progress(NamedTuple):
    """One outer step: its number, counted from 1, and the mean query loss and accuracy (0..1) of its training episodes."""

    step: int
    loss: float
    accuracy: float


class Trainer:
    """Meta-trains a learner on a task family, one step at a time; everything it is can be taken out as tensors and put back."""

    def __init__(
        self, learner: Learner, task: TaskFamily, estimator: Estimator, settings: TrainerSettings, seed: int, start: Params | None = None
    ) -> None:
        """Draw the slow parameters from `seed`, then put those of `start` in their places: a trained network's, or a converted one's.

        Raises:
            UserError: if `start` has a name or a shape that the learner has not.
        """
        self.learner, self.task, self.estimator, self.settings = learner, task, estimator, settings
        self.generator = torch.Generator().manual_seed(seed)
        self.slow = {name: value.requires_grad_() for name, value in learner.init(self.generator).items()}
        self.buffers: Params = {}
        self._begin(start or {})
        moving = select(self.slow, settings.trains)
        self.fixed = detach(without(self.slow, moving))
        self.slow = moving
        kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.SGD
        self.optimiser = kind(list(self.slow.values()), lr=settings.learning_rate)
        self.at = 0

    def _begin(self, start: Params) -> None:
        for name, value in start.items():
            if name.endswith((".mean", ".var")):
                self.buffers[name] = value.detach().clone()
            elif name not in self.slow or self.slow[name].shape != value.shape:
                expected = ", ".join(f"{known} {tuple(slow.shape)}" for known, slow in self.slow.items())
                raise UserError(f"start has {name} of shape {tuple(value.shape)}, expected some of {expected}")
            else:
                self.slow[name] = value.detach().clone().requires_grad_()

    @property
    def total(self) -> int:
        """Outer steps of the whole run."""
        return self.settings.steps

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.at >= self.total

    def parameters(self) -> Params:
        """Slow parameters and running statistics: what a learner needs to be judged."""
        return {**detach(self.slow), **self.fixed, **self.buffers}

    def step(self) -> Progress:
        """Take one outer step.

        Raises:
            UserError: if loss, gradient or adapted weights are not finite; everything is then as before the step.
        """
        before = self.generator.get_state()
        try:
            still, outcome, gradient = self._estimated()
        except UserError as error:
            self.generator.set_state(before)
            raise UserError(f"step {self.at + 1}: {error}") from error
        size = norm(gradient)
        if not bool(finite({"loss": outcome.loss, "gradient": size, **still, **outcome.statistics})) or not bool(outcome.finite == 1):
            self.generator.set_state(before)
            why = self._trouble(still) if not bool(outcome.finite == 1) else None
            self.generator.set_state(before)
            given = f"loss {float(outcome.loss)} with gradient norm {float(size)} given, finite numbers expected"
            advice = why or "lower training.learning_rate or the inner rate, or set training.clip"
            raise UserError(f"step {self.at + 1}: {given}; {advice}")
        self._descend(gradient, size)
        self.buffers = still or self._folded(outcome.statistics)
        self.at += 1
        return Progress(self.at, float(outcome.loss), float(outcome.accuracy))

    def _estimated(self) -> tuple[Params, Measures, Params]:
        """Statistics to use, mean outcome and outer gradient on newly drawn episodes."""
        episodes = self.learner.encode(self.task.sample(self.generator, self.settings.tasks), self.generator)
        slow = detach(self.slow)
        estimator = self.estimator.drawn(slow, self.generator) if isinstance(self.estimator, Drawing) else self.estimator
        with self.learner.arithmetic():
            still = self._statistics_to_use({**slow, **self.fixed}, episodes)
            return still, *estimator(self.learner, slow, episodes, {**self.fixed, **still})

    def _trouble(self, still: Params) -> str | None:
        """Why the adaptation of some episode of this step failed."""
        episodes = self.learner.encode(self.task.sample(self.generator, self.settings.tasks), self.generator)
        return trouble(self.learner, {**self.slow, **self.fixed, **still}, episodes)

    def _descend(self, gradient: Params, size: Tensor) -> None:
        limit = self.settings.clip
        factor = limit / float(size) if limit and float(size) > limit else 1.0
        for name, value in self.slow.items():
            value.grad = gradient[name].detach() * factor if name in gradient else None
        share = (1 + math.cos(math.pi * self.at / self.total)) / 2 if self.settings.schedule == "cosine" else 1.0
        self.optimiser.param_groups[0]["lr"] = self.settings.learning_rate * share
        self.optimiser.step()

    def _statistics_to_use(self, slow: Params, episodes: Episode) -> Params:
        """Running statistics for a rule that moves the weights below the readout, so that it is trained as it will be judged.

        A rule that moves the readout alone is normalised by the supports of all tasks together, which the running ones approach. A network
        that no outer step moves keeps those it began with.
        """
        if self.buffers and not self.slow.keys() & self.learner.network.init(torch.Generator()).keys():
            return self.buffers
        if self.learner.plasticity.readout_only:
            return {}
        return self._folded(measured(self.learner, slow, episodes))

    def _folded(self, statistics: Params) -> Params:
        share = self.settings.momentum_of_statistics
        return {name: torch.lerp(self.buffers.get(name, value).detach(), value.detach(), share) for name, value in statistics.items()}

    def snapshot(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of everything that a bit-identical continuation needs, apart from `at`."""
        names = list(self.slow)
        moments = {
            f"optimiser/{names[index]}/{field}": value.clone().cpu()
            for index, fields in self.optimiser.state_dict()["state"].items()
            for field, value in fields.items()
            if isinstance(value, Tensor)
        }
        return {
            **{f"slow/{name}": value.detach().clone().cpu() for name, value in self.slow.items()},
            **{f"buffer/{name}": value.clone().cpu() for name, value in {**self.fixed, **self.buffers}.items()},
            **moments,
            "generator": self.generator.get_state(),
        }

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Continue from a snapshot taken after `step` steps.

        Raises:
            UserError: if the snapshot is of another learner.
        """
        slow = {name.removeprefix("slow/"): value for name, value in tensors.items() if name.startswith("slow/")}
        missing = ", ".join(sorted(name for name in self.fixed if f"buffer/{name}" not in tensors))
        if missing:
            raise UserError(f"checkpoint of another learner: it lacks {missing}; resume with the config it was made with")
        expected = {name: tuple(value.shape) for name, value in self.slow.items()}
        given = {name: tuple(value.shape) for name, value in slow.items()}
        if given != expected:
            differing = _difference(given, expected)
            raise UserError(f"checkpoint of another learner: parameters {differing} differ; resume with the config it was made with")
        with torch.no_grad():
            for name, value in slow.items():
                self.slow[name].copy_(value)
        buffers = {name.removeprefix("buffer/"): value.clone() for name, value in tensors.items() if name.startswith("buffer/")}
        kept = self.learner.placed(buffers)
        self.fixed = {name: kept[name] for name in self.fixed}
        self.buffers = without(kept, self.fixed)
        state: dict[int, dict[str, Tensor]] = {}
        for index, name in enumerate(self.slow):
            start = f"optimiser/{name}/"
            fields = {key.removeprefix(start): value.clone() for key, value in tensors.items() if key.startswith(start)}
            if fields:
                state[index] = fields
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"])
        self.at = step


def _difference(given: dict, expected: dict) -> str:
    return ", ".join(sorted(name for name in given.keys() | expected.keys() if given.get(name) != expected.get(name)))
