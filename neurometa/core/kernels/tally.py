"""What a population did, read once: in which steps each neuron spiked, as bits, and how often its potential changed.

Compiled, because counting must cost little beside the run that it observes. Neurons lie channels last: positions, then channels.
"""

import numba
import numpy as np


@numba.njit(cache=True)
def mark(z, words):
    """Set bit t of words[b, i], (samples, neurons) int32 of zeros, where z[t, b, i] is not zero."""
    for b in range(z.shape[1]):
        row = words[b]
        for t in range(z.shape[0]):
            now = z[t, b]
            bit = np.int32(1) << np.int32(t)
            for i in range(len(now)):
                row[i] |= bit if now[i] != 0 else np.int32(0)


@numba.njit(cache=True)
def gather(words, by_position, by_neuron):
    """Add the number of bits set in words[b, p, c] to by_position[b, p] and to by_neuron[p, c]."""
    for b in range(words.shape[0]):
        for p in range(words.shape[1]):
            row, neurons = words[b, p], by_neuron[p]
            total = np.int32(0)
            for c in range(len(row)):
                x = np.uint32(row[c])
                x -= (x >> np.uint32(1)) & np.uint32(0x55555555)
                x = (x & np.uint32(0x33333333)) + ((x >> np.uint32(2)) & np.uint32(0x33333333))
                x = (x + (x >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
                count = np.int32((x * np.uint32(0x01010101) >> np.uint32(24)) & np.uint32(0xFF))  # the product is one of 64 bits
                neurons[c] += count
                total += count
            by_position[b, p] += total


@numba.njit(cache=True)
def changes(v, changed):
    """Add to changed[b], (samples,) int64, how often v[t, b, i] != v[t-1, b, i] for t >= 1."""
    for b in range(v.shape[1]):
        for t in range(1, v.shape[0]):
            new, old = v[t, b], v[t - 1, b]
            count = np.int32(0)
            for i in range(len(new)):
                count += np.int32(1) if new[i] != old[i] else np.int32(0)
            changed[b] += count
