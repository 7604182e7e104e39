"""A convolution as the list of its synapses."""

import math

import numpy as np


def unrolled(weights: np.ndarray, source: tuple, target: tuple, about: dict):
    """The sparse matrix (post, pre) of a convolution over summed windows; see `pool` in the bundle's synapses.

    Args:
        weights: (post, pre, kernel, kernel).
        source, target: (channels, height, width).
        about: the synapses' entry in bundle.json.
    """
    from scipy.sparse import csr_matrix

    stride, padding, pool, kernel = about.get("stride", 1), about.get("padding", 0), about.get("pool", 1), weights.shape[-1]
    rows, columns = source[1] // pool, source[2] // pool
    posts, pres, values = [], [], []
    y, x = np.indices(target[1:])
    for dy in range(kernel):
        for dx in range(kernel):
            row, column = y * stride - padding + dy, x * stride - padding + dx
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            post = (y * target[2] + x)[inside]
            for i in range(pool):
                for j in range(pool):
                    pre = ((row * pool + i) * source[2] + column * pool + j)[inside]
                    for o in range(target[0]):
                        for c in range(source[0]):
                            posts.append(o * target[1] * target[2] + post)
                            pres.append(c * source[1] * source[2] + pre)
                            values.append(np.full(len(post), weights[o, c, dy, dx]))
    size = (math.prod(target), math.prod(source))
    return csr_matrix((np.concatenate(values), (np.concatenate(posts), np.concatenate(pres))), shape=size)
