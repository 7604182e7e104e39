"""A rule of ours as the synapses of a readout on the chip have it, its scale chosen by what the float learner came to in a calibration.

    prototype  dw = k x0 y0: the number of spikes of each feature; the host takes |c|^2 of each class from its weights
    stdp       `rules.pair_rule`
    soel       `rules.sums`, L = sign(e) y (1 - y) where |e| is large, from the neuron's own current
    eprop      `rules.sums`, L = target - y likewise; y is a sigmoid, 1 / ways at rest, where the rule has a softmax

An error is known one step after the spikes that it is of, and meets the traces of that step: `signal_delay = 1` trains for that, as
`soel.output = "membrane"` does for a current that keeps what came with the weights of then.
"""

import math
from typing import NamedTuple

from neurometa.errors import UserError
from neurometa.export.bundle import Learning, Modulation
from neurometa.export.learning import FINE, ONE
from neurometa.export.loihi.rules import refuse_eprop, sums
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.prototype import Prototype
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP

LARGEST, USED = 254, 200
"""The largest weight, and which one the largest of a calibration becomes."""

REACH = 8000
"""What the answer's neurons may add up to in a calibration, in weights: half their threshold, a quarter of what a teacher brings."""


class Seen(NamedTuple):
    """What the float learner came to in a calibration: its largest weight, and the largest sum of weights over a window of spikes."""

    weight: float
    total: float


class Taught(NamedTuple):
    """A rule as the chip has it.

    Attributes:
        learning, modulation: of the synapses, and of the neurons of the answer; None for a rule of two factors.
        scale: integer weights over those of the rule (of a prototype: over numbers of spikes).
        exponent: of the synapses.
        decay: of the answer's current, `du`.
        steps: of a slot.
        period: steps between the spikes of a teacher; 0 for one that tells all neurons what to say.
        passes: how often the support set is shown.
        blank: silent slots behind each of its examples.
        counted: examples of a class whose spikes a prototype counts, its host taking |c|^2 from the answer; 0 for other rules.
    """

    learning: Learning
    modulation: Modulation | None
    scale: float
    exponent: int
    decay: int
    steps: int
    period: int
    passes: int
    blank: int
    counted: int = 0

    def slots(self, support: int, queries: int) -> int:
        """How many slots an episode takes."""
        return self.passes * support * (1 + self.blank) + queries


def taught(rule: Plasticity, seen: Seen, steps: int, ways: int, shots: int, decay: float = 0.0) -> Taught:
    """A rule for the chip, its scale and exponent chosen by a calibration.

    Args:
        rule: with its learnt constants.
        seen: of prototypes, in numbers of spikes.
        steps: of a window.
        ways, shots: of an episode.
        decay: of the readout's filter.
    Raises:
        UserError: the rule does not fit; the message names what does not.
    """
    refuse(rule)
    if isinstance(rule, Prototype):
        return _counted(seen, steps, shots)
    if seen.weight == 0:
        raise UserError("a readout whose weights are all 0 after the calibration given, expected one that learns: raise the rule's rate")
    if isinstance(rule, STDP):
        scale = min(USED / seen.weight, LARGEST / max(-rule.pairing.low, rule.pairing.high))
        learning = sums(rule, scale).learning
        longest = max(learning.x1_tau, learning.y1_tau if "y1" in learning.dw else 0)
        return Taught(learning, None, scale, _exponent(scale, seen), 4095, steps, rule.teacher.period, rule.passes, _blank(longest, steps))
    if not isinstance(rule, SOEL | EProp):
        sums(rule, 1.0)  # which refuses it
        raise UserError(
            f"plasticity {type(rule).__name__.lower()} does not fit the chip's readout, expected prototype, stdp, soel or eprop"
        )
    if rule.signal_delay > 1:
        name = "soel" if isinstance(rule, SOEL) else "eprop"
        raise UserError(
            f"{name}.signal_delay = {rule.signal_delay} does not fit the chip's readout, expected 1: it knows its error so soon"
        )
    scale = USED / seen.weight
    exponent = _exponent(scale, seen)
    keep = math.exp(-1 / rule.tau) if isinstance(rule, SOEL) else decay
    slope, shift = _line(FINE * (1 - keep) / (scale * 2.0**exponent))
    third, first = ("trigger", 0) if isinstance(rule, SOEL) else ("error", -round(FINE * math.log(ways - 1)))
    least = round(ONE * rule.threshold) if isinstance(rule, SOEL) else 0
    modulation = Modulation("trace", third=third, offset=first, slope=slope, shift=shift, least=least)
    slower = rule._replace(rate=rule.rate / 4) if isinstance(rule, SOEL) else rule  # y (1 - y) is at most 1/4, which is told as 1
    made = sums(slower, scale, steps, decay).learning
    passes = rule.passes if isinstance(rule, SOEL) else rule.steps
    return Taught(made, modulation, scale, exponent, _du(keep), steps, 0, passes, max(1, _blank(made.x1_tau, steps)))


def refuse(rule: Plasticity) -> None:
    """Refuse a rule that the readout cannot have, whatever its scale.

    Raises:
        UserError: the message names what does not fit.
    """
    if isinstance(rule, Prototype):
        return
    if not isinstance(rule, STDP | SOEL | EProp):
        if isinstance(rule, RewardModulated):
            sums(rule, 1.0)  # which says why
        raise UserError(
            f"plasticity {type(rule).__name__.lower()} does not fit the chip's readout, expected prototype, stdp, soel or eprop"
        )
    if isinstance(rule, STDP):
        if rule.teacher.neuron is not None:
            raise UserError("stdp.teacher = 'current' does not fit the chip's readout, expected 'spikes': they are put where they belong")
    elif rule.signal_delay > 1:
        name = "soel" if isinstance(rule, SOEL) else "eprop"
        raise UserError(
            f"{name}.signal_delay = {rule.signal_delay} does not fit the chip's readout, expected 1: it knows its error so soon"
        )
    if isinstance(rule, EProp):
        refuse_eprop(rule)


def _counted(seen: Seen, steps: int, shots: int) -> Taught:
    """Prototypes: the largest k = m 2^e with which no weight can overflow."""
    each = [(m * 2.0**e, m, e) for m in range(1, 8) for e in range(6) if m * 2**e * steps * shots <= LARGEST]
    if not each:
        raise UserError(f"{steps} steps of {shots} examples of a class do not fit a weight, expected at most {LARGEST} in all")
    k, m, e = max(each)
    return Taught(Learning(f"{m}*2^{e}*x0*y0"), None, k, _exponent(k, seen), 4095, steps, 1, 1, 0, shots)


def _exponent(scale: float, seen: Seen) -> int:
    """The largest with which the answer stays within `REACH`; sums are rounded down, weights are not."""
    wanted = math.floor(math.log2(REACH / max(scale * seen.total, 1e-9)))
    if wanted < -8:
        raise UserError(f"sums of {scale * seen.total:.3g} weights given, expected at most {REACH * 256}: fewer features, or rarer spikes")
    return min(wanted, 0)


def _line(wanted: float) -> tuple[int, int]:
    """slope and shift with slope / 2^shift nearest to a number.

    Raises:
        UserError: it is too large, weights being coarse.
    """
    if wanted > 4095:
        raise UserError(f"a readout that needs {FINE / wanted:.2g} integer weights for 1 given, expected at least {FINE / 4095:.2g}")
    shift = min(24, max(0, math.floor(math.log2(4095 / wanted))))
    return min(4095, round(wanted * 2**shift)), shift


def _du(keep: float) -> int:
    return min(4095, max(0, round((1 - keep) * 4096) - 1))


def _blank(tau: float, steps: int) -> int:
    """Slots in which a full trace falls below half its smallest step."""
    return math.ceil(tau * math.log(2 * 127) / steps) if tau > 0.1 else 0
