"""Learn from being told how good an answer was, never which answer was right."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from neurometa.core.network import READOUT
from neurometa.core.tree import finite
from neurometa.errors import UserError
from neurometa.plasticity.neuromodulation import at_rest, modulated
from neurometa.plasticity.presynaptic import features
from neurometa.types import Adapted, Data, Network, Params, Work

RATE, GREED, FORGET, SCALE = "reward.log_rate", "reward.log_greed", "reward.logit_forget", "reward.log_scale"
"""Slow parameters: step size, how strongly weights decide against chance, how fast the baseline follows, factor of weights for queries."""

EXPLORATION = "gumbel"
"""Name of the noise, (trials, ways)."""

Reward = Callable[[Float[Tensor, " ways"]], Tensor]
"""What the world says of an answer (1 at the neuron that fired, 0 elsewhere): one number, all that the rule is told."""

SMALL = 1e-12
"""Added to a squared length before its root."""


class RewardModulated(NamedTuple):
    """A stochastic winner, a local eligibility, and a reward that is better or worse than expected.

    p      = softmax(greed * W x),   x = f / |f|
    a_j    = 1 at one neuron, drawn with probability p_j: the largest of greed * W x + Gumbel noise
    e_ji   = (a_j - p_j) x_i
    W     <- W + rate * (R - b) * e,      b <- b + forget * (R - b)

    Every example is tried `trials` times, in turns; R is 1 for a right answer and 0 for a wrong one, and comes from `told`, the only place
    that looks at a label. An outer gradient takes the answers that were drawn as given: it is that of the weights for these answers, not
    of the chance of drawing others (estimator evolution sees both).

    Attributes:
        ways: rows of the readout.
        trials: how often each example is tried.
        rate, greed, forget, baseline, scale: where their training begins; `baseline` is b before the first trial, kept as it is.
    Source:
        REINFORCE with a baseline: Williams 1992, doi:10.1007/BF00992696 (equation numbers not checked). Third factor: `neuromodulation`.
    """

    ways: int
    trials: int = 20
    rate: float = 1.0
    greed: float = 5.0
    forget: float = 0.1
    baseline: float = 0.2
    scale: float = 1.0

    @property
    def exact_graph(self) -> bool:
        """For the answers that were drawn."""
        return True

    @property
    def readout_only(self) -> bool:
        """Only the readout is plastic."""
        return True

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """The constants."""
        positive = {RATE: self.rate, GREED: self.greed, SCALE: self.scale}
        return {**{name: torch.tensor(value).log() for name, value in positive.items()}, FORGET: torch.tensor(self.forget).logit()}

    def draw(self, support: Data, generator: torch.Generator) -> Params:
        """Gumbel noise -log(-log u) for every trial of every task: (tasks, trials * examples, ways)."""
        tasks, examples = support.y.shape
        u = torch.rand((tasks, self.trials * examples, self.ways), generator=generator).clamp(1e-7, 1 - 1e-7)
        return {EXPLORATION: -torch.log(-torch.log(u))}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Try, be told, change `readout.weight` (ways, features).

        Args:
            network, slow: as for the other readout rules.
            support: examples of classes 0..ways-1; the labels are the world's.
            noise: what `draw` drew, of this task.
        Raises:
            UserError: without noise there is nothing to explore with.
        """
        if noise is None or EXPLORATION not in noise:
            raise UserError("plasticity reward got no noise, without which it tries nothing: draw some with its method `draw`")
        pre, statistics = features(network, slow, support)
        x = pre * torch.rsqrt(pre.square().sum(-1, keepdim=True) + SMALL)
        right = F.one_hot(support.y, self.ways).to(x)
        shown = self.trials * len(x)
        weight = self.learnt(slow, x, noise[EXPLORATION][:shown], [told(answer) for answer in right])
        fast = {f"{READOUT}.weight": slow[SCALE].exp() * weight}
        work = Work.of(shown * weight.numel(), shown * weight.numel(), shown)
        return Adapted(fast, work, finite(fast) & (pre.detach() != 0).any(), statistics)

    def learnt(self, slow: Params, x: Float[Tensor, "n features"], chance: Tensor, world: list[Reward]) -> Float[Tensor, "ways features"]:
        """Weights after all trials, knowing of the world no more than its rewards."""
        rate, greed, forget = slow[RATE].exp(), slow[GREED].exp(), slow[FORGET].sigmoid()
        synapses, expected = at_rest(x.new_zeros(self.ways, x.shape[1])), x.new_full((), self.baseline)
        for trial, noise in enumerate(chance):
            at = trial % len(x)
            drive = greed * synapses.weight @ x[at]
            answer = F.one_hot((drive.detach() + noise).argmax(), self.ways).to(x)
            surprise = world[at](answer) - expected
            synapses = modulated(synapses, torch.outer(answer - drive.softmax(0), rate * x[at]), surprise)
            expected = expected + forget * surprise
        return synapses.weight


def told(right: Float[Tensor, " ways"]) -> Reward:
    """The world that rewards one answer: R = 1 for it, 0 for others."""
    return lambda answer: (answer * right).sum()
