"""Differentiable plasticity: a Hebbian trace at every synapse of the readout, with meta-learned coefficients."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from neurometa.core.loss import regression
from neurometa.core.network import READOUT
from neurometa.core.tree import finite
from neurometa.plasticity.neuromodulation import at_rest, gate, gate_slow, modulated
from neurometa.plasticity.presynaptic import features
from neurometa.types import Adapted, Data, Network, Params, Work

COEFFICIENT = "hebbian.coefficient"
"""Slow parameter: what a synapse makes of its trace."""

RATE, KEEP, TRACE, GATE = "hebbian.logit_rate", "hebbian.logit_keep", "hebbian.logit_trace", "hebbian.gate"
"""Slow parameters: eta, lambda and the trace's decay as 1 / (1 + exp(-raw)); the gate's weights."""

Change = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(trace, pre, post, eta, lambda) -> change of the trace (post, pre)."""

SMALL = 1e-12
"""Added to a squared length before its root."""


def hebb(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor, keep: Tensor) -> Tensor:
    """H <- (1 - eta) H + eta post pre^T: all that is older fades with every example."""
    return eta * (torch.outer(post, pre) - trace)


def oja(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor, keep: Tensor) -> Tensor:
    """H <- H + eta post (pre - post H): only the neuron that is active forgets, and its trace cannot outgrow its input."""
    return eta * post.unsqueeze(1) * (pre - post.unsqueeze(1) * trace)


def memory(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor, keep: Tensor) -> Tensor:
    """A <- lambda A + eta post pre^T: fast weights as an associative memory from features to labels."""
    return eta * torch.outer(post, pre) - (1 - keep) * trace


class Hebbian(NamedTuple):
    """Bind the features of each example to its label, one example after the other.

    W = w + alpha * H           H from zero, changed by `change` at every example; alpha, eta meta-learned
    pre = f / |f|               (`normalise`), so that a row of H points where its class lies
    post                        clamped: 1 for the neuron of the label and 0 for the others; in a regression, the targets

    Attributes:
        ways: rows of the readout: classes of an episode, or outputs of a regression.
        change: `hebb`, `oja` or `memory`.
        coefficients: alpha is "one" number, one for each "feature" (the same for all classes, so that any ways can be asked), or one for
            each "synapse".
        own: whether w is a slow readout; otherwise it is zero and the readout is written.
        gated: a third factor, computed from the features, multiplies every change, see `neuromodulation.gate`.
        trace: what of past changes a gate still reaches, 0..1: 0 is simple neuromodulation, more is retroactive. Meta-learned from there.
        normalise: whether features are brought to length 1.
        eta, keep, alpha: where their training begins.
    Source:
        Hebb, Oja, alpha: Miconi, Clune & Stanley 2018, arXiv:1804.02464. Gate: Miconi et al. 2019, arXiv:2002.10585. Fast weights: Ba et
        al. 2016, arXiv:1610.06258. The forms; their equation numbers were not checked.
    """

    ways: int
    change: Change = oja
    coefficients: str = "feature"
    own: bool = False
    gated: bool = False
    trace: float = 0.0
    normalise: bool = True
    eta: float = 0.5
    keep: float = 0.95
    alpha: float = 1.0

    @property
    def exact_graph(self) -> bool:
        """Every update is differentiable."""
        return True

    @property
    def readout_only(self) -> bool:
        """Only the readout is plastic."""
        return True

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Coefficients, eta, and what else the rule uses."""
        n = network.features
        shape = {"one": (), "feature": (n,), "synapse": (self.ways, n)}[self.coefficients]
        found = {COEFFICIENT: torch.full(shape, self.alpha), RATE: torch.tensor(self.eta).logit()}
        if self.change is memory:
            found[KEEP] = torch.tensor(self.keep).logit()
        if self.gated:
            found |= gate_slow(GATE, n)
        if self.trace:
            found[TRACE] = torch.tensor(self.trace).logit()
        return found

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Write `readout.weight` (ways, features), example by example in the order given.

        Args:
            network: where the readout is unwritten its output is the features; otherwise they are what its readout is given.
            slow: parameters, with the rule's own.
            support: labelled examples; classes 0..ways-1, or targets (n, ways).
        Returns:
            The weights; `finite` is False where they are not, or where nothing was active.
        """
        pre, statistics = features(network, slow, support)
        active = (pre.detach() != 0).any()
        pre = pre * torch.rsqrt(pre.square().sum(-1, keepdim=True) + SMALL) if self.normalise else pre
        post = support.y if regression(support.y) else F.one_hot(support.y, self.ways).to(pre)
        trace = self._bound(slow, pre, post)
        weight = slow[COEFFICIENT] * trace
        fast = {f"{READOUT}.weight": slow[f"{READOUT}.weight"] + weight if self.own else weight}
        work = Work.of(len(pre) * weight.numel(), len(pre) * weight.numel(), len(pre) if self.gated else 0)
        return Adapted(fast, work, finite(fast) & active, statistics)

    def _bound(self, slow: Params, pre: Float[Tensor, "n pre"], post: Float[Tensor, "n post"]) -> Float[Tensor, "post pre"]:
        """The trace after the last example."""
        eta, one = slow[RATE].sigmoid(), torch.ones((), dtype=pre.dtype, device=pre.device)
        keep = slow[KEEP].sigmoid() if KEEP in slow else one
        held = slow[TRACE].sigmoid() if TRACE in slow else 0 * one
        synapses = at_rest(pre.new_zeros(post.shape[1], pre.shape[1]))
        for x, y in zip(pre, post, strict=True):
            third = gate(slow, GATE, x) if self.gated else one
            synapses = modulated(synapses, self.change(synapses.weight, x, y, eta, keep), third, held)
        return synapses.weight
