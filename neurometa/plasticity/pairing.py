"""Spike-timing dependent plasticity of one population of synapses, one time step at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Number = float | Tensor


class Pairing(NamedTuple):
    """How pairs and triplets of spikes change a weight.

    potentiation at a postsynaptic spike   A2+ r1 + A3+ r1 o2
    depression at a presynaptic spike      A2- o1 + A3- o1 r2
    depression at a postsynaptic spike     A2+ offset: synapses whose trace is below `offset` lose

    r1, r2 are traces of presynaptic spikes (decays exp(-1/tau_plus), exp(-1/tau_x)), o1, o2 of postsynaptic ones (tau_minus, tau_y).
    With A3+ = A3- = 0 this is the pair rule.

    Order within a step: traces decay, then weights change, then spikes enter the traces. So every trace is read as it was before this
    step's spikes, except that with `coincident` r1 holds this step's presynaptic spikes already: the two spikes of one step then count as
    pre before post, as they are in a network whose synapses take no time. Without it, coincident spikes change nothing on their own.

    Attributes:
        a2_plus, a2_minus, a3_plus, a3_minus: amplitudes, not negative.
        tau_plus, tau_minus, tau_x, tau_y: time constants, in time steps.
        offset: trace below which a postsynaptic spike depresses.
        gain: factor of every change; a number, or one for each presynaptic neuron.
        multiplicative: potentiation is in proportion to (high - w), depression to (w - low); otherwise neither depends on w.
        low, high: bounds of a weight, at which it is clipped either way: a change of more than the whole distance would overshoot.
        nearest: a spike sets a trace to 1, so that only the nearest spike counts; otherwise it adds 1: all-to-all.
        coincident: as above.
    Source:
        Pair rule by traces: Morrison, Diesmann & Gerstner 2008, doi:10.1007/s00422-008-0233-1. Triplets: Pfister & Gerstner 2006,
        doi:10.1523/JNEUROSCI.1425-06.2006. Offset: Diehl & Cook 2015, doi:10.3389/fncom.2015.00099 (equation numbers not checked).
    """

    a2_plus: Number = 0.1
    a2_minus: Number = 0.02
    a3_plus: Number = 0.0
    a3_minus: Number = 0.0
    tau_plus: Number = 4.0
    tau_minus: Number = 4.0
    tau_x: Number = 20.0
    tau_y: Number = 20.0
    offset: Number = 0.0
    gain: Number = 1.0
    multiplicative: bool = False
    low: float = -1.0
    high: float = 1.0
    nearest: bool = False
    coincident: bool = True


class Traces(NamedTuple):
    """Weights (post, pre) and traces after a step: r of presynaptic spikes (pre,), o of postsynaptic ones (post,)."""

    weight: Float[Tensor, "post pre"]
    r1: Float[Tensor, " pre"]
    r2: Float[Tensor, " pre"]
    o1: Float[Tensor, " post"]
    o2: Float[Tensor, " post"]


def quiet(weight: Float[Tensor, "post pre"]) -> Traces:
    """Weights with no spike before."""
    pre, post = weight.new_zeros(weight.shape[1]), weight.new_zeros(weight.shape[0])
    return Traces(weight, pre, pre, post, post)


def paired(rule: Pairing, state: Traces, pre: Float[Tensor, " pre"], post: Float[Tensor, " post"]) -> Traces:
    """State after one more time step with these spikes, see `Pairing`."""
    r1, r2 = _faded(state.r1, rule.tau_plus), _faded(state.r2, rule.tau_x)
    o1, o2 = _faded(state.o1, rule.tau_minus), _faded(state.o2, rule.tau_y)
    seen = _spiked(rule, r1, pre) if rule.coincident else r1
    up = torch.outer(post * (rule.a2_plus + rule.a3_plus * o2), seen)
    down = torch.outer(o1, pre * (rule.a2_minus + rule.a3_minus * r2)) + (post * rule.a2_plus * rule.offset).unsqueeze(1)
    w, up, down = state.weight, rule.gain * up, rule.gain * down
    if rule.multiplicative:
        w = w + up * (rule.high - w) - down * (w - rule.low)
    else:
        w = w + up - down
    w = w.clamp(rule.low, rule.high)
    return Traces(w, _spiked(rule, r1, pre), _spiked(rule, r2, pre), _spiked(rule, o1, post), _spiked(rule, o2, post))


def _faded(trace: Tensor, tau: Number) -> Tensor:
    return trace * torch.exp(-1 / torch.as_tensor(tau, dtype=trace.dtype, device=trace.device))


def _spiked(rule: Pairing, trace: Tensor, z: Tensor) -> Tensor:
    return trace * (1 - z) + z if rule.nearest else trace + z
