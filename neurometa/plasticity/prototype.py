"""Prototypes: the readout in closed form, one class mean a class."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neurometa.core.network import READOUT
from neurometa.types import Adapted, Data, Network, Params, Work

SCALE = "prototype.log_scale"
"""Slow parameter: logarithm of the factor s on squared distances."""


class Prototype(NamedTuple):
    """Classify by the nearest class mean, as a linear readout.

    c_k = mean of the features of the support examples of class k
    -s |f - c_k|^2 = s (2 c_k . f - |c_k|^2) + (the same for every k):   W_k = 2 s c_k,  b_k = -s |c_k|^2

    The factor s is meta-trained; it does not change which class wins.

    Attributes:
        ways: number of classes of an episode.
        sharpness: s starts at sharpness / (number of features).
    Source:
        Snell, Swersky & Zemel 2017, arXiv:1703.05175, equations 1 and 8.
    """

    ways: int
    sharpness: float = 20.0

    @property
    def exact_graph(self) -> bool:
        """Closed form, differentiable."""
        return True

    @property
    def readout_only(self) -> bool:
        """Only the readout is written."""
        return True

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """The logarithm of s."""
        return {SCALE: torch.tensor(self.sharpness / network.features).log()}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Write `readout.weight` (ways, features) and `readout.bias` (ways,).

        Args:
            network: its readout must be unwritten; its output is then the features.
            slow: parameters, with `prototype.log_scale`.
            support: examples of every class 0..ways-1, equally many of each.
        """
        record = network.run(slow, network.signal(support.x))
        centre = class_means(record.output, support.y, self.ways)
        scale = slow[SCALE].exp()
        fast = {f"{READOUT}.weight": 2 * scale * centre, f"{READOUT}.bias": -scale * centre.square().sum(-1)}
        work = Work.of(synaptic_updates=sum(w.numel() for w in fast.values()))
        return Adapted(fast, work, torch.isfinite(centre).all(), record.statistics)


def class_means(features: Float[Tensor, "n features"], y: Int[Tensor, " n"], ways: int) -> Float[Tensor, "ways features"]:
    """Mean of the rows of each class 0..ways-1; a class without examples has mean zero."""
    member = F.one_hot(y, ways).to(features).mT
    return member @ features / member.sum(-1, keepdim=True).clamp(min=1)
