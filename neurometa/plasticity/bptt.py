"""Surrogate-gradient descent: k steps of backpropagation through time on the support set."""

from typing import NamedTuple

import torch

from neurometa.core.loss import task_loss
from neurometa.core.network import READOUT
from neurometa.core.tree import finite, select, without
from neurometa.plasticity import step_size
from neurometa.types import Adapted, Data, Network, Params, Work

PREFIX = "bptt"
"""What the rule's slow parameters begin with: the logarithms of its step sizes, see `step_size`."""


class BPTT(NamedTuple):
    """Gradient descent on the support loss L, its derivative taken through the surrogate.

    w <- w - rate * dL(w)/dw,   `steps` times, for the fast weights w; rate = exp(log_rate) where it is learnt

    L is the mean over the examples. A readout that the network leaves unwritten starts from zero, a row for each class; L is then `ways`
    times that mean (with equally many examples of each, the sum over classes), so that a step moves a class's row alike for any ways. In a
    regression L is the mean squared error, and `ways` the number of outputs. No
    class differs from another before adaptation, and nothing is lost: the same start for all rows cancels in the softmax, whatever it is.

    Attributes:
        steps: number of updates.
        rate: step size, or its initial value where learnt.
        rates: "fixed", "learnt" (one for all), "per-tensor" (one for each tensor), or "per-parameter" (Meta-SGD: one for each weight).
        fast: name patterns of the weights that move: ("*",) all, ("readout.*",) the readout only.
        ways: classes for which an unwritten readout gets a row; None where the readout is part of the slow weights.
        hidden_rate: step size of everything but the readout; None for `rate`. Not for rates "learnt", which are one.
        columns: of weights of which not all synapses move, those that do.
    Source:
        MAML: Finn, Abbeel & Levine 2017, arXiv:1703.03400, equation 1. Meta-SGD: Li et al. 2017, arXiv:1707.09835, equation 2.
        Readout only (ANIL): Raghu et al. 2020, arXiv:1909.09157.
        One start for all classes: Ye & Chao 2022, arXiv:2106.16245; from zero: Kao, Chiu & Chen 2022, arXiv:2106.15367.
    """

    steps: int = 5
    rate: float = 0.4
    rates: str = "fixed"
    fast: tuple[str, ...] = ("*",)
    ways: int | None = None
    hidden_rate: float | None = None
    columns: tuple[step_size.Columns, ...] = ()

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
        start = {**params, **step_size.unwritten(network, params, self.ways and 1)}
        return step_size.slow(PREFIX, self._sizes, select(start, self.fast))

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Descend on the support loss.

        Args:
            network: what the weights belong to.
            slow: its parameters, the normalisation statistics to use, if any, and the step sizes, where learnt.
            support: labelled examples.
        Returns:
            The moved weights, and the statistics measured in the last step where `slow` carries none.
        """
        start = {**slow, **step_size.unwritten(network, slow, self.ways)}
        fast = {name: value for name, value in select(start, self.fast).items() if _movable(name)}
        still = without(slow, fast)
        signal = network.signal(support.x)
        classes = self.ways or 1

        def loss(moving: Params) -> tuple[torch.Tensor, Params]:
            record = network.run({**still, **moving}, signal)
            return classes * task_loss(record.output, support.y), record.statistics

        statistics: Params = {}
        for _ in range(self.steps):
            gradient, statistics = torch.func.grad(loss, has_aux=True)(fast)
            fast = step_size.stepped(PREFIX, self._sizes, slow, fast, gradient)
        work = Work.of(synaptic_updates=self.steps * step_size.moving(self._sizes, fast))
        return Adapted(fast, work, finite(fast), statistics)

    @property
    def _sizes(self) -> step_size.Sizes:
        hidden = self.rate if self.hidden_rate is None else self.hidden_rate
        return step_size.Sizes(self.rate, hidden, "one" if self.rates == "learnt" else self.rates, self.columns)


def _movable(name: str) -> bool:
    """Weights move; normalisation statistics and the rule's own constants do not."""
    return not name.endswith((".mean", ".var")) and not name.startswith(f"{PREFIX}.")
