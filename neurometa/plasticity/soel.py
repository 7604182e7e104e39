"""SOEL: a readout neuron whose error is too large asks for an update of its own synapses, and only then."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from neurometa.core.network import READOUT
from neurometa.core.tree import finite
from neurometa.plasticity.neuromodulation import at_rest, modulated
from neurometa.plasticity.presynaptic import window
from neurometa.types import Adapted, Data, Network, Params, Work

RATE, TAU, SCALE, THRESHOLD = "soel.log_rate", "soel.log_tau", "soel.log_scale", "soel.log_threshold"
"""Slow parameters, logarithms: step size, time constant of the trace, factor of the weights for queries, largest error that is borne."""

STEEPNESS = 20.0
"""Of the sigmoid whose derivative stands for that of the trigger, in the outer gradient alone."""


class SOEL(NamedTuple):
    """Three factors, the third of each neuron's own: the sign of its error, wherever this is larger than a threshold.

    p_i[t] = exp(-1/tau) p_i[t-1] + (1 - exp(-1/tau)) z_i[t]
    y_j[t] = 1 / (1 + exp(-u_j[t])),   u_j[t] = sum_i w_ji p_i[t],   e_j[t] = target_j - y_j[t]
    M_j    = sign(e_j) where |e_j| > threshold, else 0
    w_ji  <- w_ji + rate * M_j[t-d] * y_j[t-d] (1 - y_j[t-d]) p_i[t]   every `every` steps, d being the `signal_delay`

    An outer gradient reaches the threshold through a sigmoid in place of the jump; the sign counts as constant.

    Attributes:
        ways: rows of the readout.
        rate, tau, threshold, scale: where their training begins.
        every: time steps between two updates.
        passes: how often the support set is shown.
        signal_delay: time steps from an error to the traces that it meets, as on a chip, where a neuron knows its error when the next
            spikes arrive. The window's last errors meet traces that run out behind it.
        output: "trace": u as above, with the weights of now; or "membrane": what a neuron has, whose input came with the weights of then,
            u_j[t] = exp(-1/tau) u_j[t-1] + (1 - exp(-1/tau)) sum_i w_ji[t] z_i[t].
    Source:
        Stewart et al. 2020, arXiv:2008.01151 (updates triggered by errors, with a surrogate derivative). Ternary error: Payvand et al.
        2020, arXiv:1910.06152 (number not checked). Both in our form, equation numbers not checked: a sigmoid readout where they have
        spiking neurons.
    """

    ways: int
    rate: float = 1.0
    tau: float = 4.0
    threshold: float = 0.1
    scale: float = 1.0
    every: int = 1
    passes: int = 5
    signal_delay: int = 0
    output: str = "trace"

    @property
    def exact_graph(self) -> bool:
        """Yes, but for the jump of the trigger."""
        return True

    @property
    def readout_only(self) -> bool:
        """Only the readout is plastic."""
        return True

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Logarithms of the constants."""
        start = {RATE: self.rate, TAU: self.tau, SCALE: self.scale, THRESHOLD: self.threshold}
        return {name: torch.tensor(value).log() for name, value in start.items()}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Write `readout.weight` (ways, features); arguments and result as for STDP. The work counts the updates that were asked for."""
        z, statistics = window(network, slow, support)
        keep, threshold = torch.exp(-1 / slow[TAU].exp()), slow[THRESHOLD].exp()
        targets = F.one_hot(support.y, self.ways).to(z)
        synapses = at_rest(z.new_zeros(self.ways, z.shape[2]))
        asked = z.new_zeros(())
        nobody = z.new_zeros(self.ways)
        for example in [*range(z.shape[1])] * self.passes:
            trace, membrane, late = z.new_zeros(z.shape[2]), nobody, [(nobody, nobody)] * self.signal_delay
            for step in range(z.shape[0] + self.signal_delay):
                shown = step < z.shape[0]
                trace = keep * trace + ((1 - keep) * z[step, example] if shown else 0)
                if shown:
                    membrane = keep * membrane + (1 - keep) * (synapses.weight @ z[step, example])
                    y = torch.sigmoid(membrane if self.output == "membrane" else synapses.weight @ trace)
                    third, triggered = _triggered(targets[example] - y, threshold)
                    late.append((third * y * (1 - y), triggered))
                told, who = late.pop(0)
                if (step + 1) % self.every:
                    continue
                synapses = modulated(synapses, slow[RATE].exp() * trace.expand(self.ways, -1), told.unsqueeze(1))
                asked = asked + who.detach().sum() * z.shape[2]
        fast = {f"{READOUT}.weight": slow[SCALE].exp() * synapses.weight}
        shown = z.new_tensor(float(self.passes * z.shape[0] * z.shape[1]))
        work = Work(asked, shown * z.shape[2], shown / self.every * self.ways)
        return Adapted(fast, work, finite(fast) & (z.detach() != 0).any(), statistics)


def _triggered(error: torch.Tensor, threshold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sign of the error where it triggers, and whether it does: a jump forward, a sigmoid backward."""
    above = error.abs() - threshold
    soft = torch.sigmoid(STEEPNESS * above)
    triggered = (above > 0).to(error) + soft - soft.detach()
    return error.detach().sign() * triggered, triggered
