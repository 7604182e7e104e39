"""Loihi's arithmetic in plain NumPy, one sample and one neuron at a time, written from the published semantics and not from the package."""

import math
from fractions import Fraction

import numpy as np

Array = np.ndarray


def weights(given: Array, sign: str, bits: int) -> Array:
    """Each weight on its own: clipped, then its lowest bits cut off; an inhibitory one loses bits of its magnitude."""
    out = []
    for w in given.ravel().tolist():
        if sign == "mixed":
            lost = 2 ** (9 - bits)
            out.append(math.floor(min(max(w, -256), 255) / lost) * lost)
        else:
            lost, size = 2 ** (8 - bits), min(max(w if sign == "excitatory" else -w, 0), 255)
            out.append((size // lost * lost) * (1 if sign == "excitatory" else -1))
    return np.array(out, dtype=object).reshape(given.shape)


def unrolled(kernel: Array, source: tuple[int, int, int], target: tuple[int, int, int], stride: int, padding: int, pool: int) -> Array:
    """A convolution over summed windows as the matrix (post, pre) of its synapses."""
    matrix = np.zeros((math.prod(target), math.prod(source)), dtype=object)
    size = kernel.shape[-1]
    rows, columns = source[1] // pool, source[2] // pool
    for post, (o, y, x) in enumerate(np.ndindex(*target)):
        for pre, (c, i, j) in enumerate(np.ndindex(*source)):
            row, column = i // pool, j // pool
            dy, dx = row - (y * stride - padding), column - (x * stride - padding)
            if row < rows and column < columns and 0 <= dy < size and 0 <= dx < size:
                matrix[post, pre] = kernel[o, c, dy, dx]
    return matrix


def decayed(x: int, keep: int) -> int:
    """x keep / 4096 towards zero."""
    return int(Fraction(x * keep, 4096))


def play(
    populations: dict[str, dict],
    synapses: list[tuple[str, str, Array, int]],
    spikes: Array,
    onsets: dict[str, int],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Step a network of populations {du, dv, vth, bias: lists; size} joined by (source, target, matrix as stored, exponent).

    A population with lists da and beta adapts: b[t] = b[t-1] (4096 - da) / 4096 towards zero, and 64 beta more where it spiked at t-1, held
    below 2**23; it fires where v exceeds 64 vth + b[t]. What it spiked before its onset is forgotten there.

    Args:
        spikes: input of one sample, (steps, n).
        onsets: step before which a population is set to zero.
    Returns:
        Spikes (steps, n) and last potentials of each population.
    """
    state = {name: ([0] * p["size"], [p.get("start", 0)] * p["size"]) for name, p in populations.items()}
    rise = {name: [0] * p["size"] for name, p in populations.items()}
    sent = {"input": [0] * spikes.shape[1], **{name: [0] * p["size"] for name, p in populations.items()}}
    kept: dict[str, list] = {name: [] for name in populations}
    for t in range(len(spikes)):
        arriving = {name: [0] * p["size"] for name, p in populations.items()}
        for source, target, matrix, exponent in synapses:
            for post in range(len(matrix)):
                total = sum(int(w) for w, s in zip(matrix[post], sent[source], strict=True) if s)
                arriving[target][post] += total * 2**exponent if exponent > 0 else math.floor(Fraction(total, 2**-exponent))
        sent["input"] = spikes[t].tolist()
        for name, p in populations.items():
            fresh, fired = t == onsets[name], []
            u, v = state[name] if not fresh else ([0] * p["size"], [0] * p["size"])
            for i in range(p["size"]):
                now = decayed(u[i], 4096 - p["du"][i] - 1) + arriving[name][i] * 64
                u[i] = now - 2**24 if now > 2**23 else now + 2**24 if now <= -(2**23) else now
                v[i] = min(max(decayed(v[i], 4096 - p["dv"][i]) + u[i] + p["bias"][i], -(2**23) + 1), 2**23 - 1)
                if "beta" in p:
                    more = 64 * p["beta"][i] if sent[name][i] else 0
                    rise[name][i] = 0 if fresh else min(decayed(rise[name][i], 4096 - p["da"][i]) + more, 2**23 - 1)
                fired.append(int(v[i] > p["vth"][i] * 64 + rise[name][i]))
                v[i] = 0 if fired[-1] else v[i]
            state[name], sent[name] = (u, v), fired
            kept[name].append(fired)
    return {name: np.array(rows) for name, rows in kept.items()}, {name: np.array(state[name][1]) for name in populations}
