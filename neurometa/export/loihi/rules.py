"""Rules of `neurometa.plasticity` as Loihi's sums of products; what does not fit is refused with the factor that does not."""

import math
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from neurometa.core.network import READOUT
from neurometa.errors import UserError
from neurometa.export.bundle import Learning
from neurometa.export.learning import ONE
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.pairing import Pairing
from neurometa.plasticity.reward import RewardModulated
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP

IMPULSES = range(16, 33)
"""What a spike may add to a trace of 7 bits: much, so that rounding is fine; not so much that a few spikes saturate it."""

CLOSE = 0.02
"""Largest relative error of an amplitude."""

TAU = 0.05
"""Time constant of a trace that forgets at once, as the chip's model takes it: exp(-1 / TAU) is nothing."""


class Sums(NamedTuple):
    """A rule in Loihi's grammar.

    Attributes:
        learning: the rule of the synapses.
        told: third factor L on the chip that stands for 1; 0 for a rule of two factors.
        third: what L is, of each postsynaptic neuron.
    """

    learning: Learning
    told: int
    third: str


def sums(rule: Plasticity, scale: float, steps: int = 1, decay: float = 0.0, seed: int = 1) -> Sums:
    """A rule of a readout as sums of products; weights move while an example is shown, and traces run out in a pause behind it.

    stdp     see `pair_rule`
    soel     dw = rate M y (1 - y) p every `every` steps        L = M y (1 - y), of the neuron
    eprop    dw = rate / steps L[t] p[t] every step             L = -dE/dy, the target less what is said, of the neuron (times `ways`
                                                                where the loss is)

    p is the presynaptic trace, decay p + (1 - decay) z.

    Args:
        rule: its constants; a `rates` that is learnt counts as its beginning.
        scale: integer weights over float ones.
        steps: of a window over which `eprop` takes the mean of the loss.
        decay: of the readout's own filter, which is eprop's trace; 0 for none.
        seed: of the stochastic rounding.
    Raises:
        UserError: the rule does not fit; the message names the factor that does not.
    """
    if isinstance(rule, STDP):
        if rule.gains != "one":
            _unfit(f"stdp.gains = {rule.gains!r}", "'one': all synapses of a connection follow the same rule")
        return Sums(pair_rule(rule.pairing, scale, seed), 0, "")
    if isinstance(rule, SOEL):
        every = round(math.log2(rule.every))
        if 2**every != rule.every or every > 9:
            _unfit(f"soel.every = {rule.every}", "a power of two up to 512: a product holds every 2^k steps")
        return _three(rule.rate * scale, math.exp(-1 / rule.tau), every, "sign of the error where it triggers, times y (1 - y)", seed)
    if isinstance(rule, EProp):
        refuse_eprop(rule)
        return _three(rule.rate * (rule.ways or 1) * scale / steps, decay, 0, "target less output, of the readout neuron", seed)
    if isinstance(rule, RewardModulated):
        local = "factors of one synapse and its two neurons: p_j is normalised over all neurons, x_i by the length of all features"
        _unfit("reward's eligibility (a_j - p_j) x_i", local)
    _unfit(f"plasticity {type(rule).__name__.lower()}", "stdp, soel or eprop")


def _unfit(given: str, expected: str) -> NoReturn:
    raise UserError(f"{given} does not fit Loihi's learning rules: expected {expected}")


def refuse_eprop(rule: EProp) -> None:
    """Refuse e-prop that is not of a readout at every step.

    Raises:
        UserError: the message names the field.
    """
    lacking = {
        "fast": (any(not name.startswith(f"{READOUT}.") for name in rule.fast), "['readout.weight']: `onchip` writes hidden synapses"),
        "columns": (bool(rule.columns), "(): every synapse of the readout follows the same rule"),
        "output": (rule.output != "membrane", "'membrane': what is said at a step, which the neuron knows then"),
        "examples": (rule.examples != "single", "'single': a chip moves weights while it is shown an example"),
        "regularisation": (bool(rule.regularisation), "0: no trace holds a firing rate over the whole window"),
    }
    for name, (given, instead) in lacking.items():
        if given:
            _unfit(f"eprop.{name} = {getattr(rule, name)!r}", instead)


def _three(amplitude: float, decay: float, every: int, third: str, seed: int) -> Sums:
    """dw = amplitude L/ONE p every 2**every steps; p is x1 (1 - decay) / impulse, and a product of two traces loses 3 bits."""
    number, impulse = _number("rate", 8 * amplitude * (1 - decay) / ONE, top=5)
    if number is None:
        _unfit("a rate of 0", "one that moves weights")
    m, e = number
    dw = f"{m}*2^{e}*u{every}*x1*y3 - {m}*2^{e}*u{every}*x1*y2"
    return Sums(Learning(dw, "", impulse, -1 / math.log(decay) if decay else TAU, seed=seed), ONE, third)


def pair_rule(rule: Pairing, scale: float, seed: int = 1) -> Learning:
    """The pair rule, each amplitude A as m 2**e times what a spike adds to its trace.

    dw = A2+ y0 r1 - A2- x0 o1;   a trace of Loihi holds this step's spike, so that the pair of one step is taken out again where the
    rule does not count it: of o1 always, of r1 where not `coincident`

    Args:
        rule: its constants.
        scale: integer weights over float ones.
        seed: of the stochastic rounding.
    Raises:
        UserError: a factor that the grammar or a chip's trace lacks, or an amplitude that no m 2**e times an impulse comes near.
    """
    lacking = {
        "a3_plus": (bool(rule.a3_plus), "pairs alone: set it to 0"),
        "a3_minus": (bool(rule.a3_minus), "pairs alone: set it to 0"),
        "offset": (bool(rule.offset), "0: no product holds at a postsynaptic spike alone with a trace below a number"),
        "multiplicative": (rule.multiplicative, "false: bounds are those of 9 bits"),
        "nearest": (rule.nearest, "false: a spike adds to a trace of Loihi, it does not set it"),
    }
    for name, (given, instead) in lacking.items():
        if given:
            _unfit(f"pairing.{name}", instead)
    up, rise = _number("pairing.a2_plus", float(rule.a2_plus) * scale)
    down, fall = _number("pairing.a2_minus", float(rule.a2_minus) * scale)
    terms = [(up, "", "y0*x1"), (down, "-", "x0*y1"), (down, "", f"{fall}*x0*y0")]
    terms += [] if rule.coincident else [(up, "-", f"{rise}*x0*y0")]
    dw = _sum((sign, number, product) for number, sign, product in terms if number)
    if not dw:
        raise UserError("a pair rule whose amplitudes are both 0 given, expected one that moves weights")
    return Learning(dw, "", rise, float(rule.tau_plus), 0, 0, fall, float(rule.tau_minus), seed=seed)


def _number(name: str, wanted: float, top: int = 0) -> tuple[tuple[int, int] | None, int]:
    """m, e (at most `top`) and an impulse with m 2**e times it nearest to a change in integer weights; no number for 0."""
    if wanted == 0:
        return None, IMPULSES[0]
    each = [(m, e, impulse) for m in range(1, 8) for e in range(-7, top + 1) for impulse in IMPULSES]
    found = [(abs(m * 2.0**e * impulse / wanted - 1), m, e, impulse) for m, e, impulse in each]
    error, m, e, impulse = min(found)
    if error > CLOSE or wanted < 0:
        low, high = 2.0**-7 * IMPULSES[0], 7.0 * 2**top * IMPULSES[-1]
        raise UserError(f"{name} is {wanted:.3g} integer weights at a time, expected {low:.3g} to {high:.3g}: change it")
    return (m, e), impulse


def _sum(terms: Iterable[tuple[str, tuple[int, int], str]]) -> str:
    """The grammar's words; a number that stands in a product joins its mantissa, which the grammar wants below 8."""
    words = []
    for sign, (m, e), product in terms:
        head, _, rest = product.partition("*")
        if not head.isdigit():
            words.append((sign, f"{m}*2^{e}*{product}"))
            continue
        left = m * int(head)
        for bit in range(left.bit_length() // 3 + 1):  # three bits of the number at a time
            part = left >> (3 * bit) & 7
            if part:
                words.append((sign, f"{part}*2^{e + 3 * bit}*{rest}"))
    return " ".join(f"{sign or ('+' if i else '')} {text}".strip() for i, (sign, text) in enumerate(words))
