"""A bundle whose synapses learn, in Lava's fixed-point model: LearningDense with the bundle's own rules."""

import math
import tempfile
import typing

import numpy as np

from neurometa_lava import compat
from neurometa_lava.bundle import Bundle, Refused, arriving, shapes


class Learned(typing.NamedTuple):
    """Spikes (steps, n, batch) and last potentials (n, batch) by population, weights and tags (batch, post, pre), seconds by part; potentials
    after every step, (steps, n, batch), of the population that is read out, where its potential is.

    Of one sample there is no batch axis.
    """

    spikes: dict
    potential: dict
    weights: dict
    tags: dict
    read: dict
    timing: dict


def learn(bundle: Bundle, given: np.ndarray, signals: dict) -> Learned:
    """Run a network from rest, sample after sample.

    Args:
        bundle: what learns.
        given: spikes (steps, n, batch).
        signals: third factors (steps, n, batch) by name.
    """
    compat.apply()
    size = math.prod(bundle.network["input"]["shape"]) + bundle.network.get("lines", 0)
    if given.ndim != 3 or given.shape[1] != size:
        raise Refused(f"input of shape {given.shape} given, expected (steps, {size}, batch)")
    each = [_one(bundle, given[..., i], {key: signal[..., i] for key, signal in signals.items()}) for i in range(given.shape[-1])]
    after = [{name: np.stack([getattr(one, what)[name] for one in each], -1) for name in each[0].spikes} for what in ("spikes", "potential")]
    moved = [{name: np.stack([getattr(one, what)[name] for one in each]) for name in each[0].weights} for what in ("weights", "tags")]
    read = {name: np.stack([one.read[name] for one in each], -1) for name in each[0].read}
    return Learned(*after, *moved, read, {key: sum(one.timing[key] for one in each) for key in each[0].timing})


def _one(bundle: Bundle, given: np.ndarray, signals: dict) -> Learned:
    """One sample, (steps, n)."""
    from lava.proc.dense.process import Dense
    from lava.proc.io.source import RingBuffer

    from neurometa_lava.play import neuron, run
    from neurometa_lava.processes.batch import SIGNS, BatchSynapses
    from neurometa_lava.processes.learning import RecordedLearning

    network, sizes, steps = bundle.network, shapes(bundle.network), len(given)
    neurons, plastic, about = {}, {}, {one["name"]: one for one in network["populations"]}
    watched = [network["readout"]["population"]] if network["readout"]["read"] == "potential" else []
    sources, rows = {}, arriving(network, given[..., None].astype(np.int32))
    with tempfile.TemporaryDirectory(prefix="neurometa-lava-") as folder:
        for i, (name, one) in enumerate(about.items()):
            rule = one.get("modulation")
            neurons[name] = neuron(bundle, one, given.T, None, "fixed", (steps, f"{folder}/p{i}.npz"))
            neurons[name].proc_params["watch"] = name in watched
            if rule:
                outside = signals[rule["signal"]] if rule.get("signal") else None
                neurons[name].proc_params["modulation"] = rule
                neurons[name].proc_params["signal"] = None if outside is None else np.asarray(outside, dtype=np.int32)
        for i, one in enumerate(network["synapses"]):
            words = {"weight_exp": one.get("exponent", 0), "num_weight_bits": one.get("bits", 8), "sign_mode": SIGNS[one.get("sign", "mixed")]}
            weights, post = bundle.arrays[one["weight"]], neurons[one["target"]]
            if one.get("learning"):
                sent = bool(about[one["target"]].get("modulation"))
                between = plastic[one["name"]] = RecordedLearning(weights=weights, learning_rule=rule_of(one["learning"], sent), **words)
                between.proc_params["keep"] = (steps, f"{folder}/s{i}.npz")
                if sent:
                    post.s_out_bap.connect(between.s_in_bap)
                    for k in (1, 2, 3):
                        getattr(post, f"s_out_y{k}").connect(getattr(between, f"s_in_y{k}"))
                else:
                    post.s_out.connect(between.s_in_bap)
            elif one.get("kind", "dense") == "conv":
                between = BatchSynapses(weights=weights, shapes=(sizes[one["source"]], sizes[one["target"]]), batch=1, about=one)
            else:
                between = Dense(weights=weights, **words)
            if one["source"] in rows and one["source"] not in sources:
                sources[one["source"]] = RingBuffer(data=rows[one["source"]][..., 0].T)
            before, after = {**neurons, **sources}[one["source"]].s_out, post.a_signal if one.get("to") == "signal" else post.a_in
            before.reshape(between.s_in.shape).connect(between.s_in)
            between.a_out.reshape(after.shape).connect(after)
        timing = run(next(iter(neurons.values())), steps, "fixed")
        spikes, potential, weights, tags, read = {}, {}, {}, {}, {}
        for i, name in enumerate(about):
            with np.load(f"{folder}/p{i}.npz") as kept:
                spikes[name] = np.unpackbits(kept["spikes"], axis=1, count=math.prod(sizes[name]))
                potential[name] = kept["potential"].astype(np.int32)
                if name in watched:
                    read[name] = kept["read"].astype(np.int32)
        for i, one in enumerate(network["synapses"]):
            if one["name"] in plastic:
                with np.load(f"{folder}/s{i}.npz") as kept:
                    weights[one["name"]], tags[one["name"]] = (kept[key].astype(np.int32) for key in ("weights", "tags"))
    return Learned(spikes, potential, weights, tags, read, timing)


def rule_of(learning: dict, sent: bool):
    """The bundle's rule as Lava's object."""
    from lava.magma.core.learning.learning_rule import Loihi2FLearningRule, Loihi3FLearningRule

    words = {key: learning.get(key) or None for key in ("dw", "dt")}
    traces = ("x1", "x2") if sent else ("x1", "x2", "y1", "y2", "y3")
    words.update({f"{x}_{what}": learning.get(f"{x}_{what}", 0) for x in traces for what in ("impulse", "tau")})
    kind = Loihi3FLearningRule if sent else Loihi2FLearningRule
    return kind(**words, t_epoch=1, rng_seed=learning.get("seed", 1))
