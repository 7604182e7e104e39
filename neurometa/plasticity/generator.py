"""A second spiking network that watches the first and tells its neurons how to change: natural e-prop."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.lowpass import lowpass
from neurometa.core.neuron import ALIF
from neurometa.core.recurrent_scan import recurrent_scan
from neurometa.core.surrogate import Surrogate
from neurometa.types import Params, Signal

PREFIX = "eprop.generator"
"""What its slow parameters begin with; all are meta-learnt."""


class Generator(NamedTuple):
    """Recurrent adaptive neurons that hear the input, the learner's last spikes and the target, and emit learning signals.

    z_g[t] = neurons(W_x x[t] + W_z z[t] + W_y target + W_g z_g[t-1])
    u[t]   = decay u[t-1] + (1 - decay) z_g[t]
    L_j[t] = sum over k of V_jk u_k[t]          for every neuron j of a population that learns

    Causal: the signal at t knows nothing of what comes later. The generator learns in the outer loop alone.

    Attributes:
        neurons: how many.
        decay: of its neurons' membranes and of its output's filter.
    Source:
        Scherr, Stoeckl & Maass 2020, doi:10.1101/2020.06.17.156513 (natural e-prop; the equations are written from its idea, not checked
        one by one against the paper).
    """

    neurons: int = 64
    decay: float = 0.8

    @property
    def neuron(self) -> ALIF:
        """Constants of its neurons."""
        return ALIF(self.decay, 0.5, 0.1, 0.98, hard_reset=False, surrogate=Surrogate("fast-sigmoid", 3.0))

    def init(self, inputs: int, last: int, outputs: int, sizes: dict[str, int], generator: torch.Generator) -> Params:
        """Draw its weights.

        Args:
            inputs: numbers of one encoded example at one step.
            last: neurons of the learner's last population.
            outputs: of the learner.
            sizes: neurons of each population that learns.
        """
        pre = {"input": inputs, "spikes": last, "target": outputs, "recurrent": self.neurons}
        found = {f"{PREFIX}.{name}": _drawn(self.neurons, n, generator) for name, n in pre.items()}
        return found | {f"{PREFIX}.out.{name}": _drawn(n, self.neurons, generator) / n for name, n in sizes.items()}

    def signals(self, params: Params, x: Signal, z: Tensor, y: Tensor, outputs: int) -> dict[str, Tensor]:
        """Learning signals of every population that learns.

        Args:
            params: its weights among others.
            x: what the learner is shown.
            z: spikes of its last population, (time, batch, *shape).
            y: classes (batch,), or numbers (batch, outputs).
            outputs: of the learner.
        Returns:
            L by population, (time, batch, neurons).
        """
        shown = x.values.flatten(2) if x.timed else x.values.flatten(1).unsqueeze(0)
        target = y.to(z) if y.is_floating_point() else F.one_hot(y, outputs).to(z)
        current = shown @ params[f"{PREFIX}.input"].mT + z.flatten(2) @ params[f"{PREFIX}.spikes"].mT
        current = current + target @ params[f"{PREFIX}.target"].mT
        fired = recurrent_scan(self.neuron, current, params[f"{PREFIX}.recurrent"], len(z)).z
        u = lowpass(fired, self.decay)
        start = f"{PREFIX}.out."
        return {name.removeprefix(start): u @ value.mT for name, value in params.items() if name.startswith(start)}


def _drawn(post: int, pre: int, generator: torch.Generator) -> Tensor:
    return torch.randn(post, pre, generator=generator) / math.sqrt(pre)
