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


def stdp_pairs(pre: list[int], post: list[int], a_plus: float, a_minus: float, tau_plus: float, tau_minus: float, nearest: bool) -> float:
    """Change of a weight without bounds: the sum over pairs of spike times, those in one step counted as pre before post.

    dw = A+ exp(-d / tau+) for d = t_post - t_pre >= 0,   -A- exp(-|d| / tau-) for d < 0
    """
    change = 0.0
    for t in post:
        earlier = [s for s in pre if s <= t]
        change += sum(a_plus * np.exp(-(t - s) / tau_plus) for s in (earlier[-1:] if nearest else earlier))
    for t in pre:
        earlier = [s for s in post if s < t]
        change -= sum(a_minus * np.exp(-(t - s) / tau_minus) for s in (earlier[-1:] if nearest else earlier))
    return change


def stdp_triplets(pre: list[int], post: list[int], a2: tuple[float, float], a3: tuple[float, float], taus: dict[str, float]) -> float:
    """Pfister & Gerstner's all-to-all triplet rule: every postsynaptic spike sees r1 and the postsynaptic past, and the other way round."""
    change = 0.0
    for t in post:
        r1 = sum(np.exp(-(t - s) / taus["plus"]) for s in pre if s <= t)
        o2 = sum(np.exp(-(t - s) / taus["y"]) for s in post if s < t)
        change += r1 * (a2[0] + a3[0] * o2)
    for t in pre:
        o1 = sum(np.exp(-(t - s) / taus["minus"]) for s in post if s < t)
        r2 = sum(np.exp(-(t - s) / taus["x"]) for s in pre if s < t)
        change -= o1 * (a2[1] + a3[1] * r2)
    return change


def reward_walk(x: Array, labels: Array, noise: Array, ways: int, rate: float, greed: float, forget: float, baseline: float) -> Array:
    """REINFORCE of a linear softmax policy, one trial after another, examples in turns; the winner is the largest perturbed drive."""
    w, expected = np.zeros((ways, x.shape[1])), baseline
    for trial in range(len(noise)):
        at = trial % len(x)
        drive = greed * w @ x[at]
        chosen = int(np.argmax(drive + noise[trial]))
        p = np.exp(drive - drive.max()) / np.exp(drive - drive.max()).sum()
        surprise = float(chosen == labels[at]) - expected
        for j in range(ways):
            w[j] += rate * surprise * ((1.0 if j == chosen else 0.0) - p[j]) * x[at]
        expected += forget * surprise
    return w


def soel_walk(
    z: Array,
    labels: Array,
    ways: int,
    rate: float,
    tau: float,
    threshold: float,
    every: int,
    passes: int,
    delay: int = 0,
    output: str = "trace",
) -> tuple[Array, int]:
    """Weights of an error-triggered readout, and how many neurons asked for an update; z is (time, n, features)."""
    w, asked, keep = np.zeros((ways, z.shape[2])), 0, np.exp(-1 / tau)
    for _ in range(passes):
        for k in range(z.shape[1]):
            p, u, told = np.zeros(z.shape[2]), np.zeros(ways), np.zeros((len(z) + 2 * delay, ways))  # what is told of a step, `delay` later
            for t in range(len(z) + delay):
                p = keep * p + (1 - keep) * (z[t, k] if t < len(z) else 0)
                if t < len(z):
                    u = keep * u + (1 - keep) * (w @ z[t, k])
                    y = 1 / (1 + np.exp(-(u if output == "membrane" else w @ p)))
                    e = (np.arange(ways) == labels[k]) - y
                    told[t + delay] = np.where(np.abs(e) > threshold, np.sign(e) * y * (1 - y), 0)
                if (t + 1) % every == 0:
                    w += rate * np.outer(told[t], p)
                    asked += int((told[t] != 0).sum())
    return w, asked
