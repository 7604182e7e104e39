"""The learners that are compared: one hidden layer of plastic synapses between features and answer, begun and taught in several ways.

`copy` begins with a hidden layer that copies the features, `random` with random weights. Both layers learn by e-prop; in those called
`-readout` the hidden one stays as it is. Constants were chosen on training characters of Omniglot alone.
"""

from typing import NamedTuple

import numpy as np

from neurometa.export.bundle import Bundle
from neurometa.export.loihi.onchip import Constants, Shown, onchip

FEATURES, WAYS = 64, 5
REACH = 16
"""Largest feedback weight."""


class Kind(NamedTuple):
    """A learner.

    Attributes:
        hidden: number of hidden neurons; 0 for one that copies each feature.
        constants, shown: see `onchip`.
        seed: of the random weights, those of the feedback included.
    """

    hidden: int
    constants: Constants
    shown: Shown = Shown(steps=6, pause=6, passes=4)
    seed: int = 1


def rule(exponent: int) -> tuple[str, str]:
    """e-prop of the hidden synapses with a rate of 2**-exponent."""
    return f"2^-{exponent}*u0*t*y3 - 2^-{exponent}*u0*t*y2", "u0*x1*y1 - 4*x0*y1 - 2^-2*u0*t - y0*t"


OUT = "2^-6*u0*x1*y3 - 2^-6*u0*x1*y2"
COPY = Constants(hidden_rule=rule(4), out_rule=OUT, out_vth=300, hidden_vth=200, width=150)
RANDOM = Constants(hidden_rule=rule(1), out_rule=OUT, out_vth=300, hidden_vth=150, width=100)
STILL = ("", "")

LEARNERS = {
    "copy": Kind(0, COPY),
    "copy-readout": Kind(0, COPY._replace(hidden_rule=STILL)),
    "random": Kind(128, RANDOM),
    "random-readout": Kind(128, RANDOM._replace(hidden_rule=STILL)),
}


def learner(kind: Kind, examples: int) -> Bundle:
    """The bundle that is shown so many examples, passes and queries included."""
    rng = np.random.default_rng(kind.seed)
    hidden = 240 * np.eye(FEATURES) if kind.hidden == 0 else rng.normal(0, 40, (kind.hidden, FEATURES)).clip(-254, 254) // 2 * 2
    feedback = rng.integers(-REACH // 2, REACH // 2 + 1, (len(hidden), WAYS)) * 2
    return onchip(hidden.astype(np.int32), feedback, kind.constants, kind.shown, examples)
