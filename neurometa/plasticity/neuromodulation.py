"""Neuromodulation: a third factor decides when, and at which neuron, a coincidence of activities becomes a change of weight."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from neurometa.types import Params


class Synapses(NamedTuple):
    """Weights and what they remember of coincidences that may still count, both (post, pre)."""

    weight: Float[Tensor, "post pre"]
    eligibility: Float[Tensor, "post pre"]


def modulated(synapses: Synapses, coincidence: Float[Tensor, "post pre"], third: Tensor | float, keep: Tensor | float = 0.0) -> Synapses:
    """Let a third factor turn eligibility into change.

    e <- keep * e + coincidence
    w <- w + M * e              M one number for all, or one a postsynaptic neuron

    With keep = 0 the third factor acts on what happens now (simple neuromodulation), otherwise on what happened before too
    (retroactive neuromodulation, an eligibility trace).

    Args:
        synapses: before.
        coincidence: what the two neurons alone would make of their activity.
        third: M, a scalar or (post, 1).
        keep: what remains of the eligibility until the next coincidence, 0..1.
    Source:
        Three factors: Fremaux & Gerstner 2016, doi:10.3389/fncir.2015.00085. Simple and retroactive: Miconi et al. 2019, arXiv:2002.10585
        (the form; the equation numbers were not checked).
    """
    eligibility = keep * synapses.eligibility + coincidence
    return Synapses(synapses.weight + third * eligibility, eligibility)


def at_rest(weight: Float[Tensor, "post pre"]) -> Synapses:
    """Synapses with no past."""
    return Synapses(weight, torch.zeros_like(weight))


def gate(slow: Params, name: str, pre: Float[Tensor, " pre"]) -> Float[Tensor, ""]:
    """A third factor that the network computes from its own activity, between 0 and 2; 1 for the parameters of `gate_slow`.

    M = 2 / (1 + exp(-(w . pre + b)))
    """
    return 2 * torch.sigmoid((slow[f"{name}.weight"] * pre).sum() + slow[f"{name}.bias"])


def gate_slow(name: str, pre: int) -> Params:
    """Parameters of a gate that is half open: every coincidence counts once."""
    return {f"{name}.weight": torch.zeros(pre), f"{name}.bias": torch.zeros(())}
