"""What the local rules must compute, in plain NumPy float64, synapse by synapse, written from the equations and not from the package."""

import numpy as np

Array = np.ndarray


def hebbian_trace(kind: str, pre: Array, post: Array, eta: float, keep: float, thirds: Array, held: float) -> Array:
    """Trace of every synapse after all examples.

    hebb    H' = (1 - eta) H + eta y x;   oja    H' = H + eta y (x - y H);   memory    H' = lambda H + eta y x
    The third factor multiplies H' - H; with `held` > 0 it multiplies a fading sum of such changes.

    Args:
        pre: (n, features); post: (n, outputs); thirds: (n,).
    """
    trace, pending = np.zeros((post.shape[1], pre.shape[1])), np.zeros((post.shape[1], pre.shape[1]))
    for k in range(len(pre)):
        for j in range(post.shape[1]):
            for i in range(pre.shape[1]):
                h, x, y = trace[j, i], pre[k, i], post[k, j]
                new = {"hebb": (1 - eta) * h + eta * y * x, "oja": h + eta * y * (x - y * h), "memory": keep * h + eta * y * x}[kind]
                pending[j, i] = held * pending[j, i] + (new - h)
                trace[j, i] = h + thirds[k] * pending[j, i]
    return trace
