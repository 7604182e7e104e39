"""Estimators: three ways in which the loss after adaptation becomes a gradient on the slow weights. None knows of spikes."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch.utils._pytree import tree_map

from neurometa.core.tree import detach
from neurometa.meta.adapt import averaged, loss_gradient, over_tasks, redealt
from neurometa.meta.learner import Learner, has_time
from neurometa.types import Adapted, Data, Episode, Measures, Params


class Estimator(Protocol):
    """Turns a batch of encoded episodes into an outer gradient."""

    @property
    def needs_graph(self) -> bool:
        """Whether the plasticity must be differentiable."""
        ...

    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Mean outcome over tasks and the gradient for each slow parameter it has one for.

        Args:
            learner: what adapts.
            slow: trained parameters.
            episodes: encoded, with a leading task axis.
            still: parameters that are not trained: the normalisation statistics to use.
        """
        ...


@runtime_checkable
class Drawing(Protocol):
    """An estimator that tries things out: what it needs of chance is drawn before each outer step."""

    def drawn(self, slow: Params, generator: torch.Generator) -> Estimator:
        """The same estimator with its numbers drawn."""
        ...


class Unrolled(NamedTuple):
    """Exact gradient through the inner loop, second derivatives included.

    g = mean over tasks of d/d slow L_query(slow + adapt(slow, support))

    Source:
        MAML: Finn, Abbeel & Levine 2017, arXiv:1703.03400.
    """

    @property
    def needs_graph(self) -> bool:
        """Yes."""
        return True

    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Differentiate through everything."""
        return loss_gradient(learner, Learner.adapt, slow, episodes, still or {})


class FirstOrder(NamedTuple):
    """The gradient at the adapted weights, applied to the initial ones: what plasticity changed counts as constant.

    g = mean over tasks of dL_query/dw at w = fast, for a slow weight w that moved; fast weights with no slow counterpart are constants,
    so that what only shapes these (a prototype's scale) is not trained

    Source:
        First-order MAML: Nichol, Achiam & Schulman 2018, arXiv:1803.02999, section 5.
    """

    @property
    def needs_graph(self) -> bool:
        """No."""
        return False

    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Differentiate the query loss only."""
        return loss_gradient(learner, _constant_change, slow, episodes, still or {})


class Reptile(NamedTuple):
    """Move the initial weights towards the adapted ones; the support is all that is learnt from, queries only measure.

    g = mean over tasks of (slow - fast)

    Source:
        Nichol, Achiam & Schulman 2018, arXiv:1803.02999, the batched version.
    """

    @property
    def needs_graph(self) -> bool:
        """No."""
        return False

    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Adapt, and take the way walked as the gradient."""

        params = {**slow, **(still or {})}

        def walked(episode: Episode) -> tuple[Params, Measures]:
            adapted = learner.adapt(params, episode.support)
            gradient = {name: slow[name] - value for name, value in adapted.fast.items() if name in slow}
            return gradient, learner.outcome(params, adapted, episode.query)

        episodes = redealt(episodes, has_time(learner.network, episodes.support.x)) if learner.redeal else episodes
        gradient, outcome = over_tasks(walked, episodes, learner.network.vmappable)
        return averaged(outcome), tree_map(lambda x: x.mean(0), gradient)


def _constant_change(learner: Learner, slow: Params, support: Data) -> Adapted:
    """Adapt with d fast / d slow = identity where the names agree."""
    fixed = detach(slow)
    adapted = learner.adapt(fixed, support._replace(x=support.x.detach()))
    fast = {name: slow[name] + (value - fixed[name]).detach() if name in slow else value.detach() for name, value in adapted.fast.items()}
    return adapted._replace(fast=fast, statistics=detach(adapted.statistics))
