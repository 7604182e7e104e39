"""A network whose readout learns on the chip: the rule's synapses lead from the last spikes to one neuron for each class.

    picture -> body -> features ~> out       a teacher of each class -> out       hush -| body

The input comes in slots of as many steps as a window has. A population is set to rest when its part of a slot begins, so that pictures
follow each other without a pause. `out` adds up what arrives and does not fire by itself; its potential at the end of a slot is the
answer. A teacher makes the neuron of the label spike (pairs, coincidences) or tells every neuron what it is to say (errors). Behind each
example stand slots in which lines of their own keep all populations of the body silent until the traces have run out.

    prototype  dw = k x0 y0: the number of spikes of each feature; the host takes |c|^2 of each class from its weights
    stdp       `rules.pair_rule`
    soel       `rules.sums`, L = sign(e) y (1 - y) where |e| is large, from the neuron's own current
    eprop      `rules.sums`, L = target - y likewise; y is a sigmoid, 1 / ways at rest, where the rule has a softmax

An error is known one step after the spikes that it is of, and meets the traces of that step: `signal_delay = 1` trains for that, as
`soel.output = "membrane"` does for a current that keeps what came with the weights of then.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np

from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Learning, Modulation, Population, Readout, Synapses, check
from neurometa.export.bundle.schema import LINES
from neurometa.export.learning import FINE, ONE
from neurometa.export.loihi.rules import refuse_eprop, sums
from neurometa.export.loihi.stage import ALWAYS
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

STRONG = 7
"""Exponent of synapses by which a line decides over a neuron whatever else arrives."""

OUT, READ, TEACH, HUSH = "out", "readout", "teacher", "hush"
"""The population of the answer; the synapses that learn, those of the teachers, and those that keep features silent."""


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


def attached(bundle: Bundle, rule: Taught, ways: int, support: int, queries: int) -> Bundle:
    """The network with its readout.

    Args:
        bundle: the body, whose last population's spikes are the features; it takes spikes.
        rule: as above.
        ways: classes of an episode.
        support, queries: numbers of its examples.
    Raises:
        UserError: the body does not end in spikes, or does not take them.
    """
    network = bundle.network
    last = next(one for one in network.populations if one.name == network.readout.population)
    if network.readout.read != "spikes" or network.input.kind != "spikes":
        given = f"features read as {network.readout.read}, an input of kind {network.input.kind}"
        raise UserError(f"{given} given, expected spikes of both where a readout learns on the chip: network.features = 'spikes'")
    _refuse_across(bundle)
    body = _body(bundle)
    lines = ways + len(body)
    n = math.prod(last.shape)
    arrays = {
        "readout.weight": np.zeros((ways, n), np.int32),
        "teacher.weight": np.zeros((ways, lines), np.int32),
    }
    arrays["teacher.weight"][:, :ways] = LARGEST * np.eye(ways) if rule.period else 4 * np.eye(ways) - 2
    for i, one in enumerate(body):
        arrays[f"{HUSH}-{one.name}.weight"] = np.zeros((math.prod(one.shape), lines), np.int32)
        arrays[f"{HUSH}-{one.name}.weight"][:, ways + i] = -LARGEST
    to, strong = ("current", STRONG) if rule.period else ("signal", 0)
    populations = [one if one.name == ALWAYS else _again(one, rule.steps) for one in network.populations]
    out = Population(OUT, (ways,), rule.decay, 0, 2 * REACH, onset=last.onset + 1, interval=rule.steps, modulation=rule.modulation)
    synapses = (
        Synapses(READ, last.name, OUT, "readout.weight", exponent=rule.exponent, learning=rule.learning),
        Synapses(TEACH, LINES, OUT, "teacher.weight", exponent=strong, to=to),
        *(Synapses(f"{HUSH}-{one.name}", LINES, one.name, f"{HUSH}-{one.name}.weight", exponent=STRONG) for one in body),
    )
    steps = rule.slots(support, queries) * rule.steps + out.onset
    read = Readout(OUT, "potential", 1 / (64 * rule.scale * 2.0**rule.exponent * rule.steps))
    made = {"steps": steps, "populations": (*populations, out), "synapses": (*network.synapses, *synapses), "readout": read}
    learner = Bundle(msgspec.structs.replace(network, lines=lines, **made), {**bundle.arrays, **arrays})
    check(learner)
    return learner


def _body(bundle: Bundle) -> list[Population]:
    """The populations that see pictures."""
    return [one for one in bundle.network.populations if one.name not in (ALWAYS, OUT)]


def _refuse_across(bundle: Bundle) -> None:
    """Refuse spikes of one picture that would arrive in the next one's slot."""
    onset = {one.name: one.onset for one in bundle.network.populations}
    for one in bundle.network.synapses:
        if one.source in onset and one.source != ALWAYS and onset[one.target] != onset[one.source] + 1:
            raise UserError(
                f"synapses {one.name}, by which spikes of one picture would arrive in the next, given where a readout learns on the chip: "
                "choose network.delay = 0 and layers that are not recurrent"
            )


def _again(one: Population, steps: int) -> Population:
    return msgspec.structs.replace(one, interval=steps)


def shown(bundle: Bundle, rule: Taught, support: np.ndarray, labels: np.ndarray, query: np.ndarray) -> np.ndarray:
    """What the chip is shown: the support set with its teachers, as often as the rule wants, then the queries.

    Args:
        bundle: as `attached` made it.
        rule: likewise.
        support, query: spikes, (examples, steps, n, batch).
        labels: of the support, (examples, batch).
    Returns:
        Spikes uint8 (time, n + lines, batch).
    """
    count, steps, n, batch = support.shape
    given = np.zeros((bundle.network.steps, n + bundle.network.lines, batch), np.uint8)
    onset = next(one.onset for one in bundle.network.populations if one.name == OUT)
    body, slot = _body(bundle), 0
    ways = bundle.network.lines - len(body)
    told, hush = labels[:, None] == np.arange(ways)[:, None], n + ways
    for i, one in enumerate(body):
        given[: one.onset - 1, hush + i] = 1  # what is sent at t arrives at t + 1
    for example in [*range(count)] * rule.passes:
        at = slot * steps
        given[at : at + steps, :n] = support[example]
        first = at + onset - (2 if rule.period else 1)  # a spike is to meet those of the features, what is to be said the answer
        given[first : first + steps : rule.period or 1, n:hush] = told[example]
        for i, one in enumerate(body):
            dark = at + steps + one.onset - 1
            given[dark : dark + rule.blank * steps, hush + i] = 1
        slot += 1 + rule.blank
    after = query.reshape(-1, n, batch)
    given[slot * steps : slot * steps + len(after), :n] = after
    return given


def answers(bundle: Bundle, rule: Taught, read: np.ndarray, weights: np.ndarray, queries: int) -> np.ndarray:
    """The class of each query, (queries, batch): the largest potential at the end of its slot, less what a prototype has beside it.

    Args:
        bundle, rule: as above.
        read: potentials of the answer after every step, (time, ways, batch).
        weights: of the readout after learning, (batch, ways, features).
        queries: at the end.
    """
    ends = len(read) - 1 - rule.steps * np.arange(queries - 1, -1, -1)
    found = read[ends].astype(np.float64)
    if rule.counted:  # 2 c.f - |c|^2 in units in which c is a weight
        length = np.square(weights.astype(np.float64)).sum(-1).T / (rule.scale * rule.counted)
        found = 2 * found / (64 * 2.0**rule.exponent) - length
    return found.argmax(1)
