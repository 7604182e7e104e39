"""What a population did, read once: in which steps each neuron spiked, as bits, how often, and how often its potential changed.

Compiled, because counting must cost little beside the run that it observes. Neurons lie channels last: positions, then channels.
"""

import numba
import numpy as np

BITS = 31
"""Steps that one word holds; the sign bit stays free."""


@numba.njit(cache=True)
def look(z, v, words, by_position, by_neuron, changed):
    """Note spikes and changes of a window.

    Args:
        z: spikes, (steps, samples, neurons).
        v: potentials of the same shape; no steps where they are not wanted.
        words: int32 of zeros, (words, samples, neurons); bit t % 31 of word t // 31 is set where z[t] is not zero.
        by_position: int32 of zeros, (samples, positions): spikes over the window and the channels of a position.
        by_neuron: int32 of zeros, (neurons,): spikes over the window and all samples.
        changed: int64 of zeros, (samples,): how often v[t] != v[t-1] for t >= 1.
    """
    counts = np.empty(z.shape[2], np.int32)
    for b in range(z.shape[1]):
        for t in range(z.shape[0]):
            _mark(z[t, b], words[t // BITS, b], np.int32(1) << np.int32(t % BITS))
        for k in range(words.shape[0]):
            _gather(words[k, b], counts, by_neuron, by_position[b])
        for t in range(1, v.shape[0]):
            changed[b] += _differing(v[t, b], v[t - 1, b])


@numba.njit(cache=True)
def _mark(now, row, bit):
    """Set a bit where a neuron spikes; loops as plain as this one become vector instructions."""
    for i in range(len(now)):
        row[i] |= bit if now[i] != 0 else np.int32(0)


@numba.njit(cache=True)
def _gather(row, counts, by_neuron, by_position):
    """Add the number of bits set, by neuron and by position."""
    for i in range(len(row)):
        x = np.uint32(row[i])
        x -= (x >> np.uint32(1)) & np.uint32(0x55555555)
        x = (x & np.uint32(0x33333333)) + ((x >> np.uint32(2)) & np.uint32(0x33333333))
        x = (x + (x >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
        counts[i] = np.int32((x * np.uint32(0x01010101) >> np.uint32(24)) & np.uint32(0xFF))  # the product is one of 64 bits
        by_neuron[i] += counts[i]
    channels = len(row) // len(by_position)
    for p in range(len(by_position)):
        total = np.int32(0)
        for i in range(p * channels, (p + 1) * channels):
            total += counts[i]
        by_position[p] += total


@numba.njit(cache=True)
def _differing(new, old):
    count = np.int32(0)
    for i in range(len(new)):
        count += np.int32(1) if new[i] != old[i] else np.int32(0)
    return count


@numba.njit(cache=True)
def pool(words, pooled, by_position, size):
    """Join words over windows of `size` x `size`, and count their bits.

    Args:
        words: (samples, height, width, channels), int32.
        pooled: of zeros, (samples, height // size, width // size, channels): a bit is set where it is in one of the window.
        by_position: int32, (samples, positions behind the pool): bits set there are added.
    """
    samples, height, width, channels = pooled.shape
    counts, unused = np.empty(height * width * channels, np.int32), np.zeros(height * width * channels, np.int32)
    for b in range(samples):
        for y in range(height):
            for x in range(width):
                row = pooled[b, y, x]
                for i in range(size):
                    for j in range(size):
                        seen = words[b, y * size + i, x * size + j]
                        for c in range(channels):
                            row[c] |= seen[c]
        _gather(pooled[b].reshape(-1), counts, unused, by_position[b])
