"""Random networks within Loihi's limits, for comparing what plays them."""

import math

import numpy as np

from neurometa.export.bundle import Bundle, Input, Network, Population, Readout, Synapses
from neurometa.export.bundle.check import RANGES


def random_bundle(
    seed: int, *, recurrent: bool, conv: bool, layers: int, extreme: bool, steps: int = 24, adaptive: bool = False
) -> tuple[Bundle, np.ndarray]:
    """A network of a few neurons and its input (steps, n, 3).

    Args:
        recurrent: whether the populations hear themselves, and the first hears the last.
        conv: whether the first synapses are a convolution behind a summing pool.
        layers: number of populations.
        extreme: weights, biases and exponents of any size, so that states wrap and saturate; otherwise such that neurons fire now and then.
        adaptive: whether thresholds adapt, of one population in five not.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    shape: tuple[int, ...] = (2, 5, 5) if conv else (int(rng.integers(2, 9)),)
    given = Input(shape)
    populations, synapses = [], []

    def array(name: str, low: int, high: int, size: tuple[int, ...]) -> str:
        arrays[name] = rng.integers(low, high + 1, size).astype(np.int32)
        return name

    def constant(name: str, low: int, high: int, size: int) -> int | str:
        return array(name, low, high, (size,)) if rng.random() < 0.5 else int(rng.integers(low, high + 1))

    def join(name: str, source: str, target: str, pre: tuple[int, ...], post: tuple[int, ...]) -> None:
        sign = ("mixed", "excitatory", "inhibitory")[int(rng.choice(3, p=(0.4, 0.45, 0.15)))]
        exponent = int(rng.integers(6, 8) if extreme else rng.integers(-2, 3))
        low, high = RANGES[sign]
        bits = int(rng.integers(1, 9))
        if len(pre) == 3 and len(post) == 3:
            weight = array(f"{name}.w", low, high, (post[0], pre[0], 3, 3))
            synapses.append(Synapses(name, source, target, weight, "conv", exponent, sign, bits, 1, 1, 2))
        else:
            weight = array(f"{name}.w", low, high, (math.prod(post), math.prod(pre)))
            synapses.append(Synapses(name, source, target, weight, "dense", exponent, sign, bits))

    before, source = shape, "input"
    for i in range(1, layers + 1):
        here: tuple[int, ...] = (3, 2, 2) if conv and i == 1 else (int(rng.integers(2, 9)),)
        size, name = math.prod(here), f"p{i}"
        bias = array(f"{name}.bias", *((-4096, 4095) if extreme else (-60, 120)), (size,)) if rng.random() < 0.7 else ""
        threshold = constant(f"{name}.vth", *((0, 131071) if extreme else (20, 400)), size)
        decays = [constant(f"{name}.{field}", 0, 4095, size) if rng.random() < 0.7 else 4095 * (field == "du") for field in ("du", "dv")]
        exponent = int(rng.integers(0, 8) if extreme else rng.integers(0, 5))
        onset, start, own = int(rng.integers(0, 3)), int(rng.integers(-9000, 9000)), {}
        if adaptive and rng.random() < 0.8:
            most = (1000, 131071) if extreme else (4095, 300)
            own = {field: constant(f"{name}.{field}", 0, high, size) for field, high in zip(("da", "beta"), most, strict=True)}
        populations.append(Population(name, here, *decays, threshold, bias, exponent, onset, start, **own))
        join(f"s{i}", source, name, before, here)
        if recurrent:
            join(f"r{i}", name, name, (size,), (size,))
        before, source = here, name
    if recurrent and layers > 1:
        join("feedback", source, "p1", (math.prod(before),), (math.prod(populations[0].shape),))
    readout = Readout(source, "spikes", 1.0)
    network = Network(f"random-{seed}", steps, given, tuple(populations), tuple(synapses), readout)
    spikes = (rng.random((steps, math.prod(shape), 3)) < 0.4).astype(np.uint8)
    return Bundle(network, arrays), spikes
