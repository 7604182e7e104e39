"""One step of learning on integer synapses of many samples, compiled. `export/learning.py` has the equation."""

import numba
import numpy as np

ACCUMULATOR = 15
"""Bits of the sum, without its sign."""


@numba.njit(cache=True)
def arriving(w, spikes, total):
    """Sum of the weights of the neurons that spiked: w (batch, post, pre) int32, spikes (pre, batch); fills total (post, batch) int32."""
    active = np.empty(spikes.shape[0], np.int64)
    for b in range(w.shape[0]):
        count = 0
        for i in range(spikes.shape[0]):
            if spikes[i, b]:
                active[count] = i
                count += 1
        for j in range(w.shape[1]):
            found = 0
            for k in range(count):
                found += w[b, j, active[k]]
            total[j, b] = found


@numba.njit(cache=True)
def changed(old, w, t, pre, post, of_w, of_t, shift, left, random, low, high, new):
    """Apply a sum of products to one variable of every synapse.

    Args:
        old, new: the variable before and after, (batch, post, pre) int32; `new` is filled.
        w, t: weights and tags before the step, which products may hold.
        pre, post: share of each product that the two neurons have, (products, pre, batch) and (products, post, batch) int64; the number
            of the product lies in the latter.
        of_w, of_t, shift, left: of each product, how often w and t stand in it, and by how many bits it is shifted right, then left.
        random: of this step, 0 to 1.
        low, high: bounds of the variable.
    """
    least, most = -(1 << ACCUMULATOR) - 1, (1 << ACCUMULATOR) - 1
    for b in range(old.shape[0]):
        for j in range(old.shape[1]):
            moving = False
            for p in range(post.shape[0]):
                moving = moving or post[p, j, b] != 0
            if not moving:
                for i in range(old.shape[2]):
                    new[b, j, i] = min(max(old[b, j, i], low), high)
                continue
            for i in range(old.shape[2]):
                total = np.int64(old[b, j, i]) << 7
                for p in range(post.shape[0]):
                    made = post[p, j, b] * pre[p, i, b]
                    if made == 0:
                        continue
                    for _ in range(of_w[p]):
                        made *= w[b, j, i]
                    for _ in range(of_t[p]):
                        made *= t[b, j, i]
                    made = (made >> shift[p]) << left[p]
                    total = min(max(total + min(max(made, least), most), least), most)
                part = total & 127
                new[b, j, i] = min(max((total >> 7) + (1 if random < part / 128 else 0), low), high)
