"""A bundle whose synapses learn, one sample, in Lava's fixed-point model: LearningDense with the bundle's own rules."""

import math
import typing

import numpy as np

from neurometa_lava import compat
from neurometa_lava.bundle import Bundle, Refused, shapes


class Learned(typing.NamedTuple):
    """Spikes (steps, n) bool by population, weights and tags (post, pre) of the synapses that learn, seconds by part."""

    spikes: dict
    weights: dict
    tags: dict
    timing: dict


def learn(bundle: Bundle, given: np.ndarray, signals: dict) -> Learned:
    """Run a network from rest. `given` is spikes (steps, n), `signals` third factors (steps, n) by name."""
    compat.apply()
    from lava.proc.dense.process import Dense, LearningDense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIFReset

    from neurometa_lava.play import constants, run
    from neurometa_lava.processes.batch import SIGNS
    from neurometa_lava.processes.modulated import ModulatedLIF

    network, sizes, steps = bundle.network, shapes(bundle.network), len(given)
    if given.ndim != 2 or given.shape[1] != math.prod(sizes["input"]):
        raise Refused(f"input of shape {given.shape} given, expected (steps, {math.prod(sizes['input'])})")
    neurons, sinks, plastic, about = {}, {}, {}, {one["name"]: one for one in network["populations"]}
    for name, one in about.items():
        words = constants(bundle, one, given.T, None, "fixed")
        if one.get("modulation"):
            neurons[name] = ModulatedLIF(**words)
            neurons[name].proc_params["modulation"] = one["modulation"]
            neurons[name].proc_params["signal"] = np.asarray(signals[one["modulation"]["signal"]], dtype=np.int32)
        else:
            neurons[name] = LIFReset(**words)
        sinks[name] = Sink(shape=(math.prod(one["shape"]),), buffer=steps)
        neurons[name].s_out.connect(sinks[name].a_in)
    source = RingBuffer(data=given.T.astype(np.int32))
    for one in network["synapses"]:
        words = {"weight_exp": one.get("exponent", 0), "num_weight_bits": one.get("bits", 8), "sign_mode": SIGNS[one.get("sign", "mixed")]}
        weights, post = bundle.arrays[one["weight"]], neurons[one["target"]]
        if one.get("learning"):
            sent = bool(about[one["target"]].get("modulation"))
            between = plastic[one["name"]] = LearningDense(weights=weights, learning_rule=rule_of(one["learning"], sent), **words)
            if sent:
                post.s_out_bap.connect(between.s_in_bap)
                for i in (1, 2, 3):
                    getattr(post, f"s_out_y{i}").connect(getattr(between, f"s_in_y{i}"))
            else:
                post.s_out.connect(between.s_in_bap)
        else:
            between = Dense(weights=weights, **words)
        (source if one["source"] == "input" else neurons[one["source"]]).s_out.connect(between.s_in)
        between.a_out.connect(post.a_in)
    kept = {}

    def collect():
        kept["spikes"] = {name: sink.data.get().T.astype(bool) for name, sink in sinks.items()}
        kept["weights"] = {name: np.array(one.weights.get(), dtype=np.int32) for name, one in plastic.items()}
        kept["tags"] = {name: np.array(one.tag_1.get(), dtype=np.int32) for name, one in plastic.items()}

    timing = run(next(iter(neurons.values())), steps, "fixed", collect)
    return Learned(kept["spikes"], kept["weights"], kept["tags"], timing)


def rule_of(learning: dict, sent: bool):
    """The bundle's rule as Lava's object."""
    from lava.magma.core.learning.learning_rule import Loihi2FLearningRule, Loihi3FLearningRule

    words = {key: learning.get(key) or None for key in ("dw", "dt")}
    traces = ("x1", "x2") if sent else ("x1", "x2", "y1", "y2", "y3")
    words.update({f"{x}_{what}": learning.get(f"{x}_{what}", 0) for x in traces for what in ("impulse", "tau")})
    kind = Loihi3FLearningRule if sent else Loihi2FLearningRule
    return kind(**words, t_epoch=1, rng_seed=learning.get("seed", 1))
