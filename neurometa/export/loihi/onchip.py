"""A learner that adapts on the chip: two layers of plastic synapses, and errors that return to them through synapses of their own.

    input -> features ~> hidden ~> out -> error        ~> learns
                           ^         ^       |
                           +--- signal ------+

`out` has a neuron for each class, `error` two: one fires while a class's teacher is on and its neuron silent, one while the neuron fires
and the teacher is off; both need the gate, so that nothing is learnt from a query. What they send is the third factor L of the synapses:
of `out` each neuron's own error, of `hidden` all errors through fixed feedback weights. Both layers learn by e-prop,

    dw = rate L e,   e = the synapse's eligibility trace

in `hidden` a tag: spikes x, filtered, times the surrogate of the neuron's potential, less the spike of the same step, which has not
arrived yet, and cleared where the neuron is reset; in `out` the filtered spikes alone. A spike of `out` comes back as an error after two
steps and meets the traces of that time, not of its own.

Source:
    Bellec et al. 2020, doi:10.1038/s41467-020-17236-y (e-prop with broadcast feedback; equation numbers not checked).
"""

from typing import NamedTuple

import numpy as np

from neurometa.export.bundle import Bundle, Input, Learning, Modulation, Network, Population, Readout, Synapses, check

FIRE = 200
"""A weight that makes a neuron of threshold 100 fire."""


class Shown(NamedTuple):
    """How examples follow each other.

    Attributes:
        steps: for which features arrive.
        pause: steps after it in which spikes and errors run out.
        passes: how often the support set is shown.
    """

    steps: int
    pause: int
    passes: int

    @property
    def period(self) -> int:
        """Steps from one example to the next."""
        return self.steps + self.pause


class Constants(NamedTuple):
    """Of neurons and rules, in Loihi's units.

    Attributes:
        hidden_decay, out_decay: `dv`.
        hidden_vth, out_vth: thresholds.
        hidden_exp, out_exp: exponents of the weights.
        width: potentials nearer to the threshold than this let a hidden synapse learn, in units of the threshold.
        tau: of presynaptic traces.
        hidden_rule: dw and dt of the synapses into `hidden`; "" for none.
        out_rule: dw of those into `out`.
        signal: third factor that an error brings to `out`, even.
    """

    hidden_decay: int = 2048
    out_decay: int = 256
    hidden_vth: int = 200
    out_vth: int = 300
    hidden_exp: int = 0
    out_exp: int = 0
    width: int = 150
    tau: float = 4.0
    hidden_rule: tuple[str, str] = ("2^-4*u0*t*y3 - 2^-4*u0*t*y2", "u0*x1*y1 - 4*x0*y1 - 2^-2*u0*t - y0*t")
    out_rule: str = "2^-6*u0*x1*y3 - 2^-6*u0*x1*y2"
    signal: int = 32


def onchip(hidden: np.ndarray, feedback: np.ndarray, constants: Constants, shown: Shown, examples: int) -> Bundle:
    """The learner as a bundle.

    Its input holds the features' spikes, a teacher for each class and the gate, in this order.

    Args:
        hidden: first weights, whole numbers (hidden, features).
        feedback: of the errors to the hidden neurons, even numbers (hidden, ways).
        constants, shown: as above.
        examples: how many are shown, passes and queries included.
    Raises:
        UserError: integers out of range.
    """
    (size, features), ways = hidden.shape, feedback.shape[1]
    one, zero = FIRE * np.eye(ways, dtype=np.int32), np.zeros((ways, features), np.int32)
    gate = np.full((ways, 1), FIRE // 2)
    arrays = {
        "features.weight": np.hstack([FIRE * np.eye(features, dtype=np.int32), np.zeros((features, ways + 1), np.int32)]),
        "hidden.weight": hidden,
        "out.weight": np.zeros((ways, size)),
        # missing: the teacher and half the gate reach the threshold, unless the neuron fires; wrong: the neuron and the gate, unless taught
        "teacher.weight": np.vstack([np.hstack([zero, one // 2, gate]), np.hstack([zero, -one, gate])]),
        "answer.weight": np.vstack([-one, one // 2]),
        "error-out.weight": constants.signal * np.hstack([np.eye(ways), -np.eye(ways)]),
        "error-hidden.weight": np.hstack([feedback, -feedback]),
    }
    height = Modulation("surrogate", "", 1, constants.width)
    populations = (
        Population("features", (features,), 4095, 4095, 100, onset=1, interval=shown.period),
        Population("hidden", (size,), 4095, constants.hidden_decay, constants.hidden_vth, "", 0, 2, 0, height, shown.period),
        Population("out", (ways,), 4095, constants.out_decay, constants.out_vth, "", 0, 3, 0, Modulation("trace"), shown.period),
        Population("error", (2 * ways,), 4095, 4095, 150, onset=4, interval=shown.period),
    )
    dw, dt = constants.hidden_rule
    first = Learning(dw, dt, 32, constants.tau, seed=1) if dw else None
    second = Learning(constants.out_rule, "", 32, constants.tau, seed=2)
    synapses = (
        Synapses("relay", "input", "features", "features.weight"),
        Synapses("hidden-in", "features", "hidden", "hidden.weight", exponent=constants.hidden_exp, learning=first),
        Synapses("readout", "hidden", "out", "out.weight", exponent=constants.out_exp, learning=second),
        Synapses("teacher", "input", "error", "teacher.weight"),
        Synapses("answer", "out", "error", "answer.weight"),
        Synapses("error-out", "error", "out", "error-out.weight", to="signal"),
        Synapses("error-hidden", "error", "hidden", "error-hidden.weight", to="signal"),
    )
    network = Network(
        "onchip", examples * shown.period, Input((features + ways + 1,)), populations, synapses, Readout("out", "spikes", 1 / shown.steps)
    )
    bundle = Bundle(network, {name: np.asarray(array).astype(np.int32) for name, array in arrays.items()})
    check(bundle)
    return bundle


def taught(support: np.ndarray, query: np.ndarray, labels: np.ndarray, ways: int, shown: Shown) -> np.ndarray:
    """What the learner is shown: the support set several times with teacher and gate on, then the queries without.

    Args:
        support: spikes of features, (steps, features, shots * ways, batch).
        query: likewise.
        labels: of the support, (shots * ways, batch).
        ways: number of classes.
        shown: order in time.
    Returns:
        Spikes uint8 (time, features + ways + 1, batch).
    """
    steps, features, examples, batch = support.shape
    total = shown.passes * examples + query.shape[2]
    given = np.zeros((total, shown.period, features + ways + 1, batch), np.uint8)
    told = labels[:, None] == np.arange(ways)[:, None]
    when = slice(LATE, LATE + steps)
    for turn in range(shown.passes):
        part = given[turn * examples : (turn + 1) * examples]
        part[:, :steps, :features] = support.transpose(2, 0, 1, 3)
        part[:, when, features : features + ways] = told[:, None]
        part[:, when, -1] = 1
    given[shown.passes * examples :, :steps, :features] = query.transpose(2, 0, 1, 3)
    return given.reshape(-1, features + ways + 1, batch)


LATE = 3
"""Steps from features to the answer, by which teacher and gate come later."""


def answers(out: np.ndarray, shown: Shown, queries: int) -> np.ndarray:
    """The class whose neuron spikes most while a query is shown, of equal ones the one that spiked earlier, (queries, batch).

    Args:
        out: spikes of the population `out` over the whole time, (time, ways, batch).
        shown: order in time.
        queries: number of examples at the end.
    """
    windows = out.reshape(-1, shown.period, *out.shape[1:])[-queries:].astype(np.int64)
    earlier = np.arange(shown.period, 0, -1)[:, None, None]
    score = windows.sum(1) * shown.period**2 + (windows * earlier).sum(1)
    return score.argmax(1)
