"""A network whose readout learns on the chip: the rule's synapses lead from the last spikes to one neuron for each class.

    picture -> body -> features ~> out       a teacher of each class -> out       hush -| body

The input comes in slots of as many steps as a window has. A population is set to rest when its part of a slot begins, so that pictures
follow each other without a pause. `out` adds up what arrives and does not fire by itself; its potential at the end of a slot is the
answer. A teacher makes the neuron of the label spike (pairs, coincidences) or tells every neuron what it is to say (errors). Behind each
example stand slots in which lines of their own keep all populations of the body silent until the traces have run out.
"""

import math

import msgspec
import numpy as np

from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Population, Readout, Synapses, check
from neurometa.export.bundle.schema import LINES
from neurometa.export.loihi.stage import ALWAYS
from neurometa.export.loihi.taught import LARGEST, REACH, Taught

STRONG = 7
"""Exponent of synapses by which a line decides over a neuron whatever else arrives."""

OUT, READ, TEACH, HUSH = "out", "readout", "teacher", "hush"
"""The population of the answer; the synapses that learn, those of the teachers, and those that keep the body silent."""


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
