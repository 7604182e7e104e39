"""Evolution strategies: a gradient from trying, for rules and hardware that have none."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils._pytree import tree_map

from neurometa.core.tree import detach, select, without
from neurometa.errors import InternalError
from neurometa.meta.adapt import averaged, outcomes
from neurometa.meta.learner import Learner
from neurometa.types import Episode, Measures, Params


class Evolution(NamedTuple):
    """Antithetic evolution strategies: try both ways along random directions, on the same episodes, and go where the loss falls.

    g = mean over directions of (L(slow + sigma d) - L(slow - sigma d)) / (2 sigma) d,      d ~ Normal(0, 1) for every number

    On average g is the gradient of L blurred by a Gaussian of width sigma, whatever L is: spikes, integers and drawn answers included. Its
    noise grows with the number of slow parameters, so that `over` should name few: the constants of a rule rather than the network.

    Attributes:
        directions: pairs of tries an outer step.
        sigma: how far to try.
        over: name patterns of the slow parameters that are moved; the others get no gradient.
        drawn_directions: the directions of this step, by parameter, (directions, *shape); made by `drawn`.
    Source:
        Salimans et al. 2017, arXiv:1703.03864, algorithm 1 with mirrored sampling.
    """

    directions: int = 16
    sigma: float = 0.1
    over: tuple[str, ...] = ("*",)
    drawn_directions: Params | None = None

    @property
    def needs_graph(self) -> bool:
        """No."""
        return False

    def drawn(self, slow: Params, generator: torch.Generator) -> "Evolution":
        """The same with directions drawn, on the CPU, so that runs reproduce."""
        moved = select(slow, self.over)
        found = {name: torch.randn((self.directions, *value.shape), generator=generator).to(value) for name, value in moved.items()}
        return self._replace(drawn_directions=found)

    @torch.no_grad()
    def __call__(self, learner: Learner, slow: Params, episodes: Episode, still: Params | None = None) -> tuple[Measures, Params]:
        """Try, and say what the tries averaged to.

        Raises:
            InternalError: no directions were drawn.
        """
        if self.drawn_directions is None:
            raise InternalError("evolution was called without directions: call `drawn` before every step")
        fixed = {**detach(without(slow, self.drawn_directions)), **(still or {})}
        centre = {name: slow[name].detach() for name in self.drawn_directions}

        def tried(directions: Params) -> Measures:
            params = {name: value + self.sigma * directions[name] for name, value in centre.items()}
            return averaged(outcomes(learner, Learner.adapt, {**fixed, **params}, episodes))

        both = {name: torch.cat([value, -value]) for name, value in self.drawn_directions.items()}
        each = self._over_population(tried, both, learner)
        ahead, behind = each.loss.split(self.directions)
        weight = (ahead - behind) / (2 * self.sigma * self.directions)
        gradient = {name: torch.tensordot(weight, value, dims=1) for name, value in self.drawn_directions.items()}
        return averaged(each), gradient

    def _over_population(self, tried: Callable[[Params], Measures], both: Params, learner: Learner) -> Measures:
        """All tries together where tasks run together too, otherwise one after another."""
        if learner.plasticity.readout_only or learner.network.vmappable:
            return torch.func.vmap(tried, randomness="different")(both)
        tries: list[Measures] = [tried({name: value[i] for name, value in both.items()}) for i in range(2 * self.directions)]
        return tree_map(lambda *values: torch.stack(values), *tries)
