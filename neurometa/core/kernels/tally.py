"""What a population did, read once: in which steps each neuron spiked, as bits, how often, and how often its potential changed.

Compiled, because counting must cost little beside the run that it observes. Neurons lie channels last: positions, then channels. Loops as
plain as those here become vector instructions; the rest is arranged around them.
"""

import numba
import numpy as np

BITS = 8
"""Steps that one word holds: a multiple of the four that are read at once, and few, because what is written has to be read again."""

BLOCK = 1024
"""Neurons read at a time, about and over the whole window, so that what was read a step before still lies in the first-level cache."""


@numba.njit(cache=True, error_model="numpy")
def look(x, threshold, words, by_position, by_neuron, numbers):
    """Note spikes and changes of a window.

    Args:
        x: spikes, or potentials that are above a threshold just where a neuron spikes, (steps, samples, neurons).
        threshold: a number of x's type, compared as the scan compares it; 0 for spikes.
        words: uint8, (words, samples, neurons), filled: bit t % 8 of word t // 8 is set where x[t] is above the threshold.
        by_position: float64 of zeros, (samples, positions): spikes over the window and the channels of a position.
        by_neuron: int32 of zeros, (neurons,): spikes over the window and all samples.
        numbers: float64 of zeros, (2, samples): spikes, and how often x[t] != x[t-1] for t >= 1.
    """
    neurons, last = words.shape[2], len(x) - 1
    channels = neurons // by_position.shape[1]
    block = max(1, BLOCK // channels) * channels
    counts = np.empty(block, np.int32)
    for b in range(words.shape[1]):
        for start in range(0, neurons, block):
            stop = min(start + block, neurons)
            some = counts[: stop - start]
            some[:] = 0
            for t in range(0, len(x), 4):
                row = words[t // BITS, b, start:stop]
                if t % BITS == 0:
                    row[:] = 0
                before, first = x[max(t - 1, 0), b, start:stop], x[t, b, start:stop]
                rest = x[min(t + 1, last), b, start:stop], x[min(t + 2, last), b, start:stop], x[min(t + 3, last), b, start:stop]
                numbers[1, b] += _four(before, first, *rest, min(last - t, 3), threshold, row, np.int32(t % BITS), some)
            numbers[0, b] += _add(some, by_neuron[start:stop], by_position[b, start // channels : stop // channels])


@numba.njit(cache=True)
def _four(before, x0, x1, x2, x3, more, threshold, row, bit, counts):
    """Four steps: set their bits, add them to the counts, return the changes; of the last three only `more` are real, others repeat."""
    m1, m2, m3 = np.int32(more > 0), np.int32(more > 1), np.int32(more > 2)
    changes = np.int32(0)
    for i in range(len(row)):
        a, b = np.int32(x0[i] - threshold > 0), np.int32(x1[i] - threshold > 0) & m1
        c, d = np.int32(x2[i] - threshold > 0) & m2, np.int32(x3[i] - threshold > 0) & m3
        row[i] = np.uint8(np.int32(row[i]) | (a | b << np.int32(1) | c << np.int32(2) | d << np.int32(3)) << bit)
        counts[i] += a + b + c + d
        changes += np.int32(before[i] != x0[i]) + np.int32(x0[i] != x1[i]) + np.int32(x1[i] != x2[i]) + np.int32(x2[i] != x3[i])
    return changes


@numba.njit(cache=True)
def _add(counts, by_neuron, by_position):
    """Add by neuron and by position; return all of them."""
    for i in range(len(counts)):
        by_neuron[i] += counts[i]
    channels, whole = len(counts) // len(by_position), 0
    for p in range(len(by_position)):
        part = counts[p * channels : (p + 1) * channels]
        total = np.int32(0)
        for i in range(len(part)):
            total += part[i]
        by_position[p] += total
        whole += total
    return whole


@numba.njit(cache=True)
def pool(words, by_position, size):
    """Count the bits that are set in one of each window of `size` x `size`.

    Args:
        words: uint8, (samples, height, width, channels).
        by_position: float64, (samples, positions behind the pool): the bits are added there.
    """
    samples, _, width, channels = words.shape
    columns = width // size
    joined = np.empty(channels, np.uint8)
    for b in range(samples):
        for p in range(by_position.shape[1]):
            y, x = p // columns * size, p % columns * size
            joined[:] = 0
            for i in range(size):
                for j in range(size):
                    seen = words[b, y + i, x + j]
                    for c in range(channels):
                        joined[c] |= seen[c]
            by_position[b, p] += _bits(joined)


@numba.njit(cache=True)
def _bits(words):
    """How many bits are set; in 32 bits, so that it becomes vector instructions."""
    total = np.int32(0)
    for i in range(len(words)):
        x = np.int32(words[i])
        x -= (x >> np.int32(1)) & np.int32(0x55)
        x = (x & np.int32(0x33)) + ((x >> np.int32(2)) & np.int32(0x33))
        total += (x + (x >> np.int32(4))) & np.int32(0x0F)
    return total


@numba.njit(cache=True)
def present(values, by_position, size):
    """In how many channels something is not zero in a window of `size` x `size`.

    Args:
        values: (samples, height, width, channels).
        by_position: float64, (samples, windows), filled.
    """
    samples, _, width, channels = values.shape
    columns = width // size
    joined = np.empty(channels, np.int32)
    for b in range(samples):
        for p in range(by_position.shape[1]):
            y, x = p // columns * size, p % columns * size
            joined[:] = 0
            for i in range(size):
                for j in range(size):
                    seen = values[b, y + i, x + j]
                    for c in range(channels):
                        joined[c] |= np.int32(seen[c] != 0)
            total = np.int32(0)
            for c in range(channels):
                total += joined[c]
            by_position[b, p] = total
