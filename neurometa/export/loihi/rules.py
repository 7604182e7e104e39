"""Rules of `neurometa.plasticity` as Loihi's sums of products; what does not fit is refused with the factor that does not."""

from collections.abc import Iterable

from neurometa.errors import UserError
from neurometa.export.bundle import Learning
from neurometa.plasticity.pairing import Pairing

IMPULSES = range(16, 33)
"""What a spike may add to a trace of 7 bits: much, so that rounding is fine; not so much that a few spikes saturate it."""

CLOSE = 0.02
"""Largest relative error of an amplitude."""


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
            raise UserError(f"pairing.{name} does not fit Loihi's learning rules: expected {instead}")
    up, rise = _number("a2_plus", float(rule.a2_plus) * scale)
    down, fall = _number("a2_minus", float(rule.a2_minus) * scale)
    terms = [(up, "", "y0*x1"), (down, "-", "x0*y1"), (down, "", f"{fall}*x0*y0")]
    terms += [] if rule.coincident else [(up, "-", f"{rise}*x0*y0")]
    dw = _sum((sign, number, product) for number, sign, product in terms if number)
    if not dw:
        raise UserError("a pair rule whose amplitudes are both 0 given, expected one that moves weights")
    return Learning(dw, "", rise, float(rule.tau_plus), 0, 0, fall, float(rule.tau_minus), seed=seed)


def _number(name: str, wanted: float) -> tuple[tuple[int, int] | None, int]:
    """m, e and an impulse with m 2**e impulse nearest to an amplitude in integer weights; no number for 0."""
    if wanted == 0:
        return None, IMPULSES[0]
    found = [(abs(m * 2.0**e * impulse / wanted - 1), m, e, impulse) for m in range(1, 8) for e in range(-7, 1) for impulse in IMPULSES]
    error, m, e, impulse = min(found)
    if error > CLOSE or wanted < 0:
        low, high = 2.0**-7 * IMPULSES[0], 7.0 * IMPULSES[-1]
        raise UserError(f"pairing.{name} is {wanted:.3g} integer weights a pair, expected {low:.3g} to {high:.3g}: change the amplitude")
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
