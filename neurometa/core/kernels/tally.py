"""What a population did, read once: how often each neuron spiked and its potential changed, and what is left of that behind a pool.

Compiled, because counting must cost little beside the run that it observes. Neurons lie channels last. Loops as plain as those here become
vector instructions; the rest is arranged around them, in blocks of neurons that stay in the first-level cache.
"""

import numba
import numpy as np

BLOCK = 1024
"""Neurons read at a time, about, and four steps of them."""


@numba.njit(cache=True, error_model="numpy")
def look(x, threshold, size, by_position, behind, by_neuron, numbers):
    """Count the spikes and changes of a window.

    Args:
        x: spikes, or potentials that are above a threshold just where a neuron spikes, (steps, samples, height, width, channels).
        threshold: a number of x's type, compared as the scan compares it; 0 for spikes.
        size: of the square windows of a pool behind the neurons; 1 for none.
        by_position: float64 of zeros, (samples, height, width): spikes over steps and channels.
        behind: float64 of zeros, (samples, height // size, width // size): over steps and channels, windows in which one spikes; where
            size is 1 nothing is written.
        by_neuron: int32 of zeros, (height * width * channels,): spikes over steps and samples.
        numbers: float64 of zeros, (2, samples): spikes, and how often x[t] != x[t-1] for t >= 1.
    """
    steps, samples, height, width, channels = x.shape
    line, last = width * channels, steps - 1
    rows = size * max(1, BLOCK // (size * line))
    bits, counts = np.empty(rows * line, np.int32), np.empty(rows * line, np.int32)
    joined = np.empty(line, np.int32)
    for b in range(samples):
        for y in range(0, height, rows):
            stop = min(y + rows, height)
            some = counts[: (stop - y) * line]
            some[:] = 0
            for t in range(0, steps, 4):
                before, first = x[max(t - 1, 0), b, y:stop].reshape(-1), x[t, b, y:stop].reshape(-1)
                second, third = x[min(t + 1, last), b, y:stop].reshape(-1), x[min(t + 2, last), b, y:stop].reshape(-1)
                fourth = x[min(t + 3, last), b, y:stop].reshape(-1)
                numbers[1, b] += _four(before, first, second, third, fourth, t > 0, min(last - t, 3), threshold, bits, some)
                if size > 1:
                    for top in range(y, stop - size + 1, size):
                        _pool(bits[(top - y) * line : (top - y + size) * line], size, channels, joined, behind[b, top // size])
            numbers[0, b] += _add(some, by_neuron[y * line : stop * line], by_position[b, y:stop].reshape(-1))


@numba.njit(cache=True)
def _four(before, x0, x1, x2, x3, behind, more, threshold, bits, counts):
    """Four steps: note their spikes as bits, add them to the counts, return the changes.

    There is a step `before` them if they are `behind` one; of the last three only `more` are real.
    """
    m0, m1, m2, m3 = np.int32(behind), np.int32(more > 0), np.int32(more > 1), np.int32(more > 2)
    changes = np.int32(0)
    for i in range(len(counts)):
        a, b = np.int32(x0[i] - threshold > 0), np.int32(x1[i] - threshold > 0) & m1
        c, d = np.int32(x2[i] - threshold > 0) & m2, np.int32(x3[i] - threshold > 0) & m3
        bits[i] = a | b << np.int32(1) | c << np.int32(2) | d << np.int32(3)
        changes += (np.int32(before[i] != x0[i]) & m0) + (np.int32(x0[i] != x1[i]) & m1)
        changes += (np.int32(x1[i] != x2[i]) & m2) + (np.int32(x2[i] != x3[i]) & m3)
    for i in range(len(counts)):  # apart, because one loop with two results takes longer
        x = (bits[i] & np.int32(5)) + ((bits[i] >> np.int32(1)) & np.int32(5))
        counts[i] += (x & np.int32(3)) + (x >> np.int32(2))
    return changes


@numba.njit(cache=True)
def _pool(bits, size, channels, joined, behind):
    """Add the bits that are set in one of each window, of one row of windows; `joined` is scratch for one line of neurons."""
    line = len(joined)
    joined[:] = bits[:line]
    for i in range(1, size):
        row = bits[i * line : (i + 1) * line]
        for k in range(line):
            joined[k] |= row[k]
    for p in range(len(behind)):
        first = joined[p * size * channels : (p * size + 1) * channels]
        for j in range(1, size):
            other = joined[(p * size + j) * channels : (p * size + j + 1) * channels]
            for c in range(channels):
                first[c] |= other[c]
        total = np.int32(0)
        for c in range(channels):
            x = first[c]
            x = (x & np.int32(5)) + ((x >> np.int32(1)) & np.int32(5))
            total += (x & np.int32(3)) + (x >> np.int32(2))
        behind[p] += total


@numba.njit(cache=True)
def _add(counts, by_neuron, by_position):
    """Add by neuron and by position; return all of them."""
    for i in range(len(counts)):
        by_neuron[i] += counts[i]
    channels, whole = len(counts) // len(by_position), 0
    if channels == 1:
        for p in range(len(counts)):
            by_position[p] += counts[p]
            whole += counts[p]
        return whole
    for p in range(len(by_position)):
        part = counts[p * channels : (p + 1) * channels]
        total = np.int32(0)
        for i in range(len(part)):
            total += part[i]
        by_position[p] += total
        whole += total
    return whole


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
