"""Surrogate-gradient descent: k steps of backpropagation through time on the support set."""

from typing import NamedTuple

import torch

from neurometa.core.loss import cross_entropy
from neurometa.core.network import READOUT
from neurometa.core.tree import finite, select, without
from neurometa.types import Adapted, Data, Network, Params, Work

RATE = "bptt.log_rate"
"""Slow parameter: logarithm of the step size; with a fast weight's name behind it, of that weight's own step sizes."""


class BPTT(NamedTuple):
    """Gradient descent on the support loss L, its derivative taken through the surrogate.

    w <- w - rate * dL(w)/dw,   `steps` times, for the fast weights w; rate = exp(log_rate) where it is learnt

    Attributes:
        steps: number of updates.
        rate: step size, or its initial value where learnt.
        rates: "fixed", "learnt" (one for all), or "per-parameter" (Meta-SGD: one for each weight).
        fast: name patterns of the weights that move: ("*",) all, ("readout.*",) the readout only.
    Source:
        MAML: Finn, Abbeel & Levine 2017, arXiv:1703.03400, equation 1. Meta-SGD: Li et al. 2017, arXiv:1707.09835, equation 2.
        Readout only (ANIL): Raghu et al. 2020, arXiv:1909.09157.
    """

    steps: int = 5
    rate: float = 0.4
    rates: str = "fixed"
    fast: tuple[str, ...] = ("*",)

    @property
    def exact_graph(self) -> bool:
        """Every update is differentiable."""
        return True

    @property
    def readout_only(self) -> bool:
        """Whether every pattern names the readout."""
        return all(pattern.startswith(f"{READOUT}.") for pattern in self.fast)

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Logarithms of the step sizes, where learnt."""
        start = torch.tensor(self.rate).log()
        if self.rates == "learnt":
            return {RATE: start}
        if self.rates == "per-parameter":
            return {f"{RATE}.{name}": start.expand(value.shape).clone() for name, value in select(params, self.fast).items()}
        return {}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Descend on the support loss.

        Args:
            network: what the weights belong to.
            slow: its parameters, the normalisation statistics to use, if any, and the step sizes, where learnt.
            support: labelled examples.
        Returns:
            The moved weights, and the statistics measured in the last step where `slow` carries none.
        """
        fast = {name: value for name, value in select(slow, self.fast).items() if _movable(name)}
        still = without(slow, fast)
        signal = network.signal(support.x)

        def loss(moving: Params) -> tuple[torch.Tensor, Params]:
            record = network.run({**still, **moving}, signal)
            return cross_entropy(record.output, support.y), record.statistics

        statistics: Params = {}
        for _ in range(self.steps):
            gradient, statistics = torch.func.grad(loss, has_aux=True)(fast)
            fast = {name: value - self._rate(slow, name) * gradient[name] for name, value in fast.items()}
        work = Work.of(synaptic_updates=self.steps * sum(value.numel() for value in fast.values()))
        return Adapted(fast, work, finite(fast), statistics)

    def _rate(self, slow: Params, name: str) -> torch.Tensor | float:
        if self.rates == "fixed":
            return self.rate
        return slow[RATE if self.rates == "learnt" else f"{RATE}.{name}"].exp()


def _movable(name: str) -> bool:
    """Weights move; normalisation statistics and the rule's own constants do not."""
    return not name.endswith((".mean", ".var")) and not name.startswith(RATE.split(".")[0])
