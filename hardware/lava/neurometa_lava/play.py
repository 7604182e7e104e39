"""A bundle and its input as Lava processes, run for one window."""

import math
import pathlib
import tempfile
import time
import typing

import numpy as np

from neurometa_lava import compat
from neurometa_lava.bundle import Bundle, Refused, adapts, arriving, shapes

NEVER = 1 << 30
"""A reset interval longer than any window: LIFReset then resets once, at its offset."""


class Played(typing.NamedTuple):
    """Spikes (steps, n, batch) bool and last potentials (n, batch) by population, and seconds spent by part."""

    spikes: dict
    potential: dict
    timing: dict


def play(bundle: Bundle, given: np.ndarray, *, timed: bool, arithmetic: str = "fixed", stock: bool = False) -> Played:
    """Run a network from rest.

    Args:
        bundle: what to play.
        given: spikes, 0 or 1, (steps, n, batch) if timed, else (n, batch), held; or bias mantissas (n, batch), see the bundle's input.
        timed: whether it has a time axis.
        arithmetic: "fixed" for Loihi's integers, "float" for the network before it was rounded.
        stock: use Lava's own processes alone (RingBuffer, Dense, Sparse, LIFReset), one sample after another.
    """
    network = bundle.network
    size = math.prod(network["input"]["shape"]) + network.get("lines", 0)
    if given.ndim != 2 + timed or given.shape[-2] != size or (timed and network["input"].get("kind") == "bias"):
        raise Refused(f"input of shape {given.shape} given, expected ({'steps, ' if timed else ''}{size}, batch)")
    if arithmetic == "float" and not bundle.floats:
        raise Refused("this bundle does not hold the floating-point network: export it again with its floats")
    adaptive = [one["name"] for one in network["populations"] if adapts(one)]
    if stock and adaptive:
        raise Refused(f"{adaptive[0]} has an adaptive threshold, which none of Lava's own processes has: play it with stock = false")
    began = time.perf_counter()
    compat.apply()
    imported = time.perf_counter()
    steps = len(given) if timed else network["steps"]
    if not stock:
        played = _together(bundle, given, steps, arithmetic)
    else:
        each = [_one(bundle, given[..., i], steps, timed, arithmetic) for i in range(given.shape[-1])]
        spikes = {name: np.stack([one.spikes[name] for one in each], -1) for name in each[0].spikes}
        potential = {name: np.stack([one.potential[name] for one in each], -1) for name in each[0].potential}
        timing = {key: sum(one.timing[key] for one in each) for key in each[0].timing}
        played = Played(spikes, potential, timing)
    total = time.perf_counter() - began
    timing = {**played.timing, "import_s": imported - began, "total_s": total, "per_sample_ms": 1000 * total / given.shape[-1]}
    return played._replace(timing=timing)


def _together(bundle: Bundle, given: np.ndarray, steps: int, arithmetic: str) -> Played:
    """All samples at once: stock neurons, connections of our own that know a batch."""
    from neurometa_lava.processes.batch import BatchSynapses
    from neurometa_lava.processes.source import Source

    network, sizes, batch = bundle.network, shapes(bundle.network), given.shape[-1]
    with tempfile.TemporaryDirectory(prefix="neurometa-lava-") as folder:
        paths = {one["name"]: str(pathlib.Path(folder, f"{i}.npz")) for i, one in enumerate(network["populations"])}
        neurons = {}
        for one in network["populations"]:
            neurons[one["name"]] = neuron(bundle, one, given, batch, arithmetic, (steps, paths[one["name"]]))
        sources, rows = {}, arriving(network, given.astype(np.uint8))
        for one in network["synapses"]:
            if one.get("to") == "signal":
                continue  # nothing learns here
            weights = (bundle.floats if arithmetic == "float" else bundle.arrays)[one["weight"]]
            between = BatchSynapses(weights=weights, shapes=(sizes[one["source"]], sizes[one["target"]]), batch=batch, about=one)
            if one["source"] in rows and one["source"] not in sources:
                sources[one["source"]] = Source(spikes=rows[one["source"]])
            {**neurons, **sources}[one["source"]].s_out.connect(between.s_in)
            between.a_out.connect(neurons[one["target"]].a_in)
        last = neurons[network["populations"][-1]["name"]]
        timing = run(last, steps, arithmetic)
        spikes, potential = {}, {}
        for name, path in paths.items():
            with np.load(path) as kept:
                n = math.prod(sizes[name])
                spikes[name] = np.unpackbits(kept["spikes"], axis=1, count=n * batch).reshape(steps, n, batch).astype(bool)
                potential[name] = kept["potential"].reshape(n, batch)
    return Played(spikes, potential, timing)


def _one(bundle: Bundle, given: np.ndarray, steps: int, timed: bool, arithmetic: str) -> Played:
    """One sample with nothing but Lava's own processes."""
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIFReset
    from lava.proc.sparse.process import Sparse

    from neurometa_lava.processes.batch import SIGNS
    from neurometa_lava.unrolled import unrolled

    network, sizes = bundle.network, shapes(bundle.network)
    neurons, sinks, sources = {}, {}, {}
    kept = given if timed else np.repeat(given[None], steps, 0)
    rows = arriving(network, kept[..., None]) if network["input"].get("kind") != "bias" else {}
    for one in network["populations"]:
        words = constants(bundle, one, given[:, None] if given.ndim == 1 else given, None, arithmetic)
        neurons[one["name"]] = LIFReset(**words)
        sinks[one["name"]] = Sink(shape=(math.prod(one["shape"]),), buffer=steps)
        neurons[one["name"]].s_out.connect(sinks[one["name"]].a_in)
    for one in network["synapses"]:
        if one.get("to") == "signal":
            continue
        weights = (bundle.floats if arithmetic == "float" else bundle.arrays)[one["weight"]]
        words = {"weight_exp": one.get("exponent", 0), "num_weight_bits": one.get("bits", 8), "sign_mode": SIGNS[one.get("sign", "mixed")]}
        words = words if arithmetic == "fixed" else {}
        if one.get("kind", "dense") == "conv":
            between = Sparse(weights=unrolled(weights, sizes[one["source"]], sizes[one["target"]], one), **words)
        else:
            between = Dense(weights=weights, **words)
        if one["source"] in rows and one["source"] not in sources:
            sources[one["source"]] = RingBuffer(data=rows[one["source"]][..., 0].T.astype(float if arithmetic == "float" else np.int32))
        {**neurons, **sources}[one["source"]].s_out.connect(between.s_in)
        between.a_out.connect(neurons[one["target"]].a_in)
    last = neurons[network["populations"][-1]["name"]]
    kept = {}

    def collect():
        for name in neurons:
            kept[name] = sinks[name].data.get().T.astype(bool), np.array(neurons[name].v.get())

    timing = run(last, steps, arithmetic, collect)
    return Played({name: spikes for name, (spikes, _) in kept.items()}, {name: v for name, (_, v) in kept.items()}, timing)


def neuron(bundle: Bundle, one: dict, given: np.ndarray, batch: "int | None", arithmetic: str, keep: tuple):
    """A population as the process that it takes; `keep` is how many steps it runs and the file for what it did."""
    from neurometa_lava.processes.adaptive import AdaptiveLIF, AdaptiveModulatedLIF
    from neurometa_lava.processes.modulated import ModulatedLIF
    from neurometa_lava.processes.recorded import RecordedLIF

    kinds = (ModulatedLIF, AdaptiveModulatedLIF) if one.get("modulation") and batch is None else (RecordedLIF, AdaptiveLIF)
    made = kinds[adapts(one)](**constants(bundle, one, given, batch, arithmetic))
    made.proc_params["keep"] = keep
    if adapts(one):
        made.proc_params["adaptation"] = tuple(constant(bundle, one, field, batch, arithmetic) for field in ("da", "beta"))
    return made


def constant(bundle: Bundle, one: dict, field: str, batch: "int | None", arithmetic: str) -> np.ndarray:
    """A constant of each neuron; with a batch axis where there is a batch."""
    value = one.get(field, 0)
    if arithmetic == "float":
        value = bundle.floats[f"{one['name']}.{field}"]
    elif isinstance(value, str):
        value = bundle.arrays[value]
    full = np.broadcast_to(np.asarray(value), (math.prod(one["shape"]),))
    return full[:, None] if batch else full


def constants(bundle: Bundle, one: dict, given: np.ndarray, batch: "int | None", arithmetic: str) -> dict:
    """What LIFReset is made of; with a batch axis where there is a batch."""
    n = math.prod(one["shape"])
    floating, biased = arithmetic == "float", bundle.network["input"].get("kind") == "bias" and bundle.network["input"]["target"] == one["name"]

    if biased:
        mantissa = given * (2.0 ** one.get("bias_exp", 0) * bundle.floats["input.scale"]) if floating else given
        mantissa = mantissa if batch else mantissa[:, 0]
    else:
        named = f"{one['name']}.bias" if floating else one.get("bias")
        mantissa = (bundle.floats if floating else bundle.arrays).get(named, np.zeros(n, float if floating else np.int32))
        mantissa = np.repeat(mantissa.reshape(n, 1), batch, 1) if batch else mantissa
    return {
        "shape": (n, batch) if batch else (n,),
        **{field: constant(bundle, one, field, batch, arithmetic) for field in ("du", "dv", "vth")},
        "v": one.get("start", 0),
        "bias_mant": mantissa,
        "bias_exp": 0 if floating else one.get("bias_exp", 0),
        "reset_interval": one.get("interval") or NEVER,
        "reset_offset": (one.get("onset", 0) + 1) % (one.get("interval") or NEVER),
    }


def run(process, steps: int, arithmetic: str, collect=lambda: None) -> dict:
    """Compile, run, collect, stop; seconds of each."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    began = time.perf_counter()
    configuration = Loihi2SimCfg(select_tag="fixed_pt" if arithmetic == "fixed" else "floating_pt")
    try:
        process.run(condition=RunSteps(num_steps=steps), run_cfg=configuration)
        ran = time.perf_counter()
        collect()
    finally:
        if getattr(process, "_runtime", None) is not None:  # otherwise it never came so far, and stopping would hide why
            process.stop()
    return {"run_s": ran - began, "collect_s": time.perf_counter() - ran}
