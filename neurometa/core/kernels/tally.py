"""What a population did, read once: in which steps each neuron spiked, as bits, how often, and how often its potential changed.

Compiled, because counting must cost little beside the run that it observes. Neurons lie channels last: positions, then channels.
"""

import numba
import numpy as np

BITS = 31
"""Steps that one word holds; the sign bit stays free."""

BLOCK = 1024
"""Neurons read at a time, about and over the whole window, so that what was read a step before still lies in the first-level cache."""


@numba.njit(cache=True, error_model="numpy")
def look(z, v, threshold, words, by_position, by_neuron, changed):
    """Note spikes and changes of a window.

    Args:
        z: spikes, (steps, samples, neurons); no steps where a neuron spikes just when its potential is above `threshold`: then the
            potentials alone are read, which takes half as long.
        v: potentials of the same shape; no steps where they are not wanted.
        threshold: a number of v's type.
        words: int32, (words, samples, neurons), filled: bit t % 31 of word t // 31 is set where z[t] is not zero.
        by_position: int32 of zeros, (samples, positions): spikes over the window and the channels of a position.
        by_neuron: int32 of zeros, (neurons,): spikes over the window and all samples.
        changed: int64 of zeros, (samples,): how often v[t] != v[t-1] for t >= 1.
    """
    neurons, by_potential = words.shape[2], len(z) == 0
    channels = neurons // by_position.shape[1]
    block = max(1, BLOCK // channels) * channels
    counts = np.empty(block, np.int32)
    for b in range(words.shape[1]):
        for start in range(0, neurons, block):
            stop = min(start + block, neurons)
            for t in range(max(len(z), len(v))):
                row, bit = words[t // BITS, b, start:stop], np.int32(1) << np.int32(t % BITS)
                if t % BITS == 0:
                    row[:] = 0
                if by_potential:
                    _mark_above(v[t, b, start:stop], threshold, row, bit)
                else:
                    _mark(z[t, b, start:stop], row, bit)
                if 0 < t < len(v):
                    changed[b] += _differing(v[t, b, start:stop], v[t - 1, b, start:stop])
            for k in range(words.shape[0]):
                places = by_position[b, start // channels : stop // channels]
                _gather(words[k, b, start:stop], counts, by_neuron[start:stop], places)


@numba.njit(cache=True)
def _mark(now, row, bit):
    """Set a bit where a neuron spikes; loops as plain as this one become vector instructions."""
    for i in range(len(now)):
        row[i] |= bit if now[i] != 0 else np.int32(0)


@numba.njit(cache=True)
def _mark_above(now, threshold, row, bit):
    """The same by the potential, compared as the scan compares it."""
    for i in range(len(now)):
        row[i] |= bit if now[i] - threshold > 0 else np.int32(0)


@numba.njit(cache=True)
def _gather(row, counts, by_neuron, by_position):
    """Add the number of bits set, by neuron and by position; all of it in 32 bits, so that it becomes vector instructions."""
    for i in range(len(row)):
        x = row[i]
        x -= (x >> np.int32(1)) & np.int32(0x55555555)
        x = (x & np.int32(0x33333333)) + ((x >> np.int32(2)) & np.int32(0x33333333))
        x = (x + (x >> np.int32(4))) & np.int32(0x0F0F0F0F)
        x += x >> np.int32(8)
        x += x >> np.int32(16)
        counts[i] = x & np.int32(0x3F)
        by_neuron[i] += counts[i]
    channels = len(row) // len(by_position)
    for p in range(len(by_position)):
        part = counts[p * channels : (p + 1) * channels]
        total = np.int32(0)
        for i in range(len(part)):
            total += part[i]
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
