"""STDP at the readout: a teacher makes the neuron of the label spike, and the times of spikes do the rest."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from neurometa.core.network import READOUT
from neurometa.core.neuron import LIF
from neurometa.core.tree import finite
from neurometa.plasticity.pairing import Pairing, paired, quiet
from neurometa.plasticity.presynaptic import window
from neurometa.types import Adapted, Data, Network, Params, Work

CONSTANTS = ("a2_plus", "a2_minus", "a3_plus", "a3_minus", "tau_plus", "tau_minus", "tau_x", "tau_y", "offset")
"""Constants of the pairing that are meta-learned, as logarithms called `stdp.log_<name>`; those that are 0 stay 0."""

GAIN = "stdp.log_gain"
"""Slow parameter: logarithm of each presynaptic neuron's `gain`, (features,)."""

SCALE = "stdp.log_scale"
"""Slow parameter: logarithm of what the weights are multiplied by when queries are answered."""


class Teacher(NamedTuple):
    """Makes the readout neuron of the label spike.

    Attributes:
        neuron: readout neurons that a current drives; None for spikes that are put there, whatever the weights.
        strength: current into the neuron of the label, and taken from the others.
        period: time steps between the spikes that are put there, the first in the first step.
    """

    neuron: LIF | None = None
    strength: float = 2.0
    period: int = 1


class STDP(NamedTuple):
    """Change readout weights by the times of presynaptic and postsynaptic spikes, example by example in the order given.

    Weights begin at zero and traces at the start of each example. Postsynaptic spikes are the teacher's, see `Teacher`: with a neuron,
    v = decay v (1 - z) + W z_pre + strength * (1 at the label, -1 elsewhere). How weights change: `pairing.Pairing`.

    Attributes:
        ways: rows of the readout.
        pairing: constants, where their training begins.
        teacher: as above.
        passes: how often the support set is shown.
        scale: where the training of the readout's scale begins.
        gains: "one" gain for all synapses, which is 1, or one for each "feature", the same for all classes, whose training begins at 1.
    """

    ways: int
    pairing: Pairing = Pairing()
    teacher: Teacher = Teacher()
    passes: int = 1
    scale: float = 1.0
    gains: str = "one"

    @property
    def exact_graph(self) -> bool:
        """Every change is differentiable; spikes by their surrogates."""
        return True

    @property
    def readout_only(self) -> bool:
        """Only the readout is plastic."""
        return True

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Logarithms of the constants that are not zero, of the scale, and of a gain for each feature."""
        given = {name: getattr(self.pairing, name) for name in CONSTANTS}
        without = [slow for slow, amplitude in (("tau_x", self.pairing.a3_minus), ("tau_y", self.pairing.a3_plus)) if not amplitude]
        used = {name: value for name, value in given.items() if value and name not in without}
        gains = {GAIN: torch.zeros(network.features)} if self.gains == "feature" else {}
        return {
            SCALE: torch.tensor(self.scale).log(),
            **gains,
            **{f"stdp.log_{name}": torch.tensor(value).log() for name, value in used.items()},
        }

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Write `readout.weight` (ways, features).

        Args:
            network: its time average stands behind the readout, which sees a window of spikes.
            slow: parameters, with the rule's own.
            support: examples of classes 0..ways-1.
        Returns:
            The weights; `finite` is False where they are not, or where no presynaptic neuron has spiked.
        """
        z, statistics = window(network, slow, support)
        rule = self.pairing._replace(**{n: slow[f"stdp.log_{n}"].exp() for n in (*CONSTANTS, "gain") if f"stdp.log_{n}" in slow})
        weight, label = z.new_zeros(self.ways, z.shape[2]), F.one_hot(support.y, self.ways).to(z)
        for _ in range(self.passes):
            for example in range(z.shape[1]):
                weight = self._shown(rule, weight, z[:, example], label[example])
        fast = {f"{READOUT}.weight": slow[SCALE].exp() * weight}
        shown = self.passes * z.shape[0] * z.shape[1]
        work = Work.of(shown * weight.numel(), shown * sum(weight.shape))
        return Adapted(fast, work, finite(fast) & (z.detach() != 0).any(), statistics)

    def _shown(
        self, rule: Pairing, weight: Float[Tensor, "post pre"], z: Float[Tensor, "time pre"], label: Float[Tensor, " post"]
    ) -> Float[Tensor, "post pre"]:
        """Weights after one example."""
        state, neuron = quiet(weight), self.teacher.neuron
        membrane = None if neuron is None else neuron.rest(label)
        for step, pre in enumerate(z):
            if neuron is None or membrane is None:
                post = label * float(step % self.teacher.period == 0)
            else:
                membrane = neuron.step(membrane, state.weight @ pre + self.teacher.strength * (2 * label - 1))
                post = membrane.z
            state = paired(rule, state, pre, post)
        return state.weight
