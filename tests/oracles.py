"""What the package must compute, in plain NumPy float64, written from the equations and not from its code."""

import numpy as np

Array = np.ndarray


def lif(current: Array, decay: float, threshold: float, hard: bool) -> tuple[Array, Array]:
    """Leaky integrate-and-fire from rest; potentials are those before the reset.

    A neuron above its threshold fires; then it is set to 0 (hard) or loses `threshold` (subtractive).

    Args:
        current: (time, n).
    Returns:
        Spikes z and potentials v, (time, n).
    """
    z, v = np.zeros(current.shape), np.zeros(current.shape)
    for t, now in enumerate(current):
        if t == 0:
            v[t] = now
        elif hard:
            v[t] = np.where(z[t - 1] == 1, 0.0, decay * v[t - 1]) + now
        else:
            v[t] = decay * v[t - 1] - threshold * z[t - 1] + now
        z[t] = np.where(v[t] > threshold, 1.0, 0.0)
    return z, v


def lif_jacobian(
    current: Array, decay: float, threshold: float, hard: bool, through_reset: bool, kind: str, slope: float
) -> tuple[Array, Array]:
    """How each spike and potential moves with each current, carried forward in time (the package goes backward).

    dz = psi dv;   hard: dv' = decay ((1 - z) dv - v dz) + dI;   subtractive: dv' = decay dv - threshold dz + dI
    (dz in the reset counts only with `through_reset`)

    Returns:
        dz[t] / dI[s] and dv[t] / dI[s], (time t, time s, n).
    """
    z, v = lif(current, decay, threshold, hard)
    steps, n = current.shape
    dz, dv = np.zeros((steps, steps, n)), np.zeros((steps, steps, n))
    for t in range(steps):
        if t > 0:
            reset = dz[t - 1] if through_reset else 0.0
            dv[t] = decay * ((1 - z[t - 1]) * dv[t - 1] - v[t - 1] * reset) if hard else decay * dv[t - 1] - threshold * reset
        dv[t, t] += 1
        dz[t] = surrogate_derivative(kind, slope, v[t] - threshold) * dv[t]
    return dz, dv


def alif(current: Array, decay: Array, threshold: Array, beta: Array, rho: Array, hard: bool) -> tuple[Array, Array, Array]:
    """Adaptive LIF from rest; the adaptation is summed over all past spikes, one that is s steps old counting rho^(s-1).

    Returns:
        Spikes z, potentials v before the reset, adaptations a, (time, n).
    """
    z, v, a = np.zeros(current.shape), np.zeros(current.shape), np.zeros(current.shape)
    for t, now in enumerate(current):
        a[t] = sum((rho ** (t - 1 - s) * z[s] for s in range(t)), np.zeros(current.shape[1:]))
        if t == 0:
            v[t] = now
        elif hard:
            v[t] = np.where(z[t - 1] == 1, 0.0, decay * v[t - 1]) + now
        else:
            v[t] = decay * v[t - 1] - threshold * z[t - 1] + now
        z[t] = np.where(v[t] > threshold + beta * a[t], 1.0, 0.0)
    return z, v, a


def low_pass(x: Array, decay: Array) -> Array:
    """Sum of all past inputs, one that is s steps old counting decay^s, (time, n)."""
    return np.stack([sum((decay ** (t - s) * x[s] for s in range(t + 1)), np.zeros(x.shape[1:])) for t in range(len(x))])


def refractory_lif(current: Array, decay: float, threshold: float, rest: int, hard: bool) -> tuple[Array, Array]:
    """LIF that takes no input and cannot fire in the `rest` steps after a spike, one neuron after another.

    Returns:
        Spikes z and potentials v, (time, n).
    """
    z, v = np.zeros(current.shape), np.zeros(current.shape)
    for n in range(current.shape[1]):
        ready, kept = 0, 0.0
        for t in range(len(current)):
            v[t, n] = kept + (current[t, n] if t >= ready else 0.0)
            z[t, n] = float(t >= ready and v[t, n] > threshold)
            if z[t, n]:
                ready = t + rest + 1
            kept = decay * v[t, n] - threshold * z[t, n]
            if hard and z[t, n]:
                kept = 0.0
    return z, v


def sigma_delta(level: Array, threshold: float) -> tuple[Array, Array]:
    """Messages z and their sums, (time, n): max(0, level) is told wherever it is off by more than `threshold` from what was told."""
    z, sent = np.zeros(level.shape), np.zeros(level.shape)
    told = np.zeros(level.shape[1:])
    for t, now in enumerate(level):
        off = np.maximum(now, 0) - told
        z[t] = off * (np.abs(off) > threshold)
        told = told + z[t]
        sent[t] = told
    return z, sent


def surrogate_value(kind: str, k: float, x: Array) -> Array:
    """The smooth step that stands behind each surrogate."""
    if kind == "fast-sigmoid":
        return 0.5 + x / (1 + k * np.abs(x))
    if kind == "arctan":
        return 0.5 + np.arctan(np.pi * k * x / 2) / np.pi
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-k * x))
    if kind == "box":
        return 0.5 + np.clip(x, -1 / k, 1 / k)
    rise = np.where(x < 0, (1 + k * x) ** 2, 2 - (1 - k * x) ** 2) / (2 * k)  # the two parabolas under a triangle of base 2/k
    return 0.5 - 1 / (2 * k) + np.where(x <= -1 / k, 0.0, np.where(x >= 1 / k, 1 / k, rise))


def surrogate_derivative(kind: str, k: float, x: Array) -> Array:
    """Derivative of the smooth step."""
    if kind == "fast-sigmoid":
        return 1 / (1 + k * np.abs(x)) ** 2
    if kind == "arctan":
        return (k / 2) / (1 + (np.pi * k * x / 2) ** 2)
    if kind == "sigmoid":
        e = np.exp(-k * np.abs(x))
        return k * e / (1 + e) ** 2
    if kind == "box":
        return np.where(np.abs(x) < 1 / k, 1.0, 0.0)
    return np.maximum(0.0, 1 - k * np.abs(x))


def convolve(x: Array, weight: Array, stride: int) -> Array:
    """Cross-correlation with half padding, one output number after another.

    Args:
        x: (batch, pre, height, width).
        weight: (post, pre, kernel, kernel).
    """
    kernel = weight.shape[-1]
    pad = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((padded.shape[axis] - kernel) // stride + 1 for axis in (2, 3))
    y = np.zeros((len(x), len(weight), rows, columns))
    for b, o, i, j in np.ndindex(*y.shape):
        window = padded[b, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        y[b, o, i, j] = (window * weight[o]).sum()
    return y


def pool(x: Array, size: int, how: str) -> Array:
    """Pooling of the last two axes over whole windows; what does not fill one is left out."""
    rows, columns = (n // size for n in x.shape[-2:])
    windows = x[..., : rows * size, : columns * size].reshape(*x.shape[:-2], rows, size, columns, size)
    return {"average": np.mean, "sum": np.sum, "max": np.max}[how](windows, axis=(-3, -1))


def normalise(x: Array, gain: Array, shift: Array, axis: int, epsilon: float = 1e-5) -> Array:
    """Batch normalisation with the batch's own biased statistics; `axis` is the channel's."""
    others = tuple(a for a in range(x.ndim) if a != axis)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    mean, var = x.mean(others, keepdims=True), x.var(others, keepdims=True)
    return gain.reshape(shape) * (x - mean) / np.sqrt(var + epsilon) + shift.reshape(shape)


def leaky_mean(x: Array, decay: float) -> Array:
    """Mean over time of u[t] = decay u[t-1] + (1 - decay) x[t], from u = 0."""
    u, total = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    for now in x:
        u = decay * u + (1 - decay) * now
        total += u
    return total / len(x)


def class_centres(features: Array, y: Array, ways: int) -> Array:
    """Mean feature of each class, (ways, features)."""
    return np.stack([features[y == way].mean(0) for way in range(ways)])


def squared_distances(queries: Array, centres: Array) -> Array:
    """(queries, ways)."""
    return np.array([[((query - centre) ** 2).sum() for centre in centres] for query in queries])


def cross_entropy(logits: Array, y: Array) -> float:
    """Mean of -log softmax(logits)[y]."""
    return float(-np.mean([row[label] - np.log(np.exp(row).sum()) for row, label in zip(logits, y, strict=True)]))


def softmax_descent(
    x: Array, y: Array, weight: Array, bias: Array, steps: int, rate_weight: Array | float, rate_bias: Array | float
) -> tuple[Array, Array]:
    """Gradient descent of a softmax readout on its mean cross-entropy; rates are numbers or one for each parameter."""
    for _ in range(steps):
        power = np.exp(x @ weight.T + bias)
        error = power / power.sum(1, keepdims=True) - np.eye(len(bias))[y]
        weight, bias = weight - rate_weight * (error.T @ x) / len(x), bias - rate_bias * error.mean(0)
    return weight, bias


def recurrent_lif(
    current: Array, weight: Array, decay: float, threshold: float, beta: float, rho: float, hard: bool
) -> tuple[Array, Array]:
    """LIF neurons (with beta > 0, of adaptive threshold) that hear each other's last spikes; from rest.

    Args:
        current: (time, n).
        weight: (n, n), the effect of the column's neuron on the row's.
    Returns:
        Spikes z and potentials v before the reset, (time, n).
    """
    z, v, a = (np.zeros(current.shape) for _ in range(3))
    for t, now in enumerate(current):
        for j in range(current.shape[1]):
            heard = 0.0 if t == 0 else sum(weight[j, i] * z[t - 1, i] for i in range(current.shape[1]))
            left = 0.0 if t == 0 else decay * v[t - 1, j]
            if t > 0 and z[t - 1, j] == 1:
                left = 0.0 if hard else left - threshold
            a[t, j] = 0.0 if t == 0 else rho * a[t - 1, j] + z[t - 1, j]
            v[t, j] = left + now[j] + heard
            z[t, j] = 1.0 if v[t, j] > threshold + beta * a[t, j] else 0.0
    return z, v
