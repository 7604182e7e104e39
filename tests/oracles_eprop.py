"""e-prop as it is defined, in plain NumPy float64: a trace at every synapse, step by step forward in time, one example after another.

Written from Bellec et al. 2020, doi:10.1038/s41467-020-17236-y, and the authors' published code (`compute_eligibility_traces`): equations
22 and 23 for LIF, 24 and 25 for ALIF as public reimplementations number them; with psi the surrogate derivative at v - threshold - beta a,

    eps_v[t] = decay r[t-1] eps_v[t-1] + x_i[t]     r = 1 - z_j with hard reset, else 1; with a synaptic current its trace comes in for x_i
    eps_a[t] = (rho - beta psi[t-1]) eps_a[t-1] + psi[t-1] eps_v[t-1]      (before the step's own spike: a[t] = rho a[t-1] + z[t-1])
    e[t]     = psi[t] (eps_v[t] - beta eps_a[t])
    ebar[t]  = kappa ebar[t-1] + (1 - kappa) e[t]            or, of a running mean, the mean of that over the steps 1..t
    grad     = sum over t >= d of L_j[t-d] ebar_ji[t],     L_j[t] = sum over k of B_kj (softmax(y[t]) - onehot)_k / (T examples)

with d the steps that a signal is under way; a readout's trace is its filtered input in place of ebar.
"""

from typing import NamedTuple

import numpy as np

from tests.oracles import Array, surrogate_derivative


class Cell(NamedTuple):
    """A population's constants; beta = 0 is LIF, current_decay = None has no synaptic current."""

    decay: float
    threshold: float
    hard: bool
    kind: str
    slope: float
    beta: float = 0.0
    rho: float = 0.0
    current_decay: float | None = None


class Layer(NamedTuple):
    """Weights (post, pre) of a population, a bias (post,), recurrent weights (post, post) or None, and feedback B (outputs, post)."""

    cell: Cell
    weight: Array
    bias: Array
    recurrent: Array | None
    feedback: Array


class Gradient(NamedTuple):
    """dE/dw of one layer."""

    weight: Array
    bias: Array
    recurrent: Array


def eprop(
    x: Array,
    layers: list[Layer],
    readout: tuple[Array, Array],
    kappa: float,
    labels: Array,
    adaptive: bool = True,
    delay: int = 0,
    running: bool = False,
    told: list[Array] | None = None,
) -> tuple[list[Gradient], Gradient, float]:
    """Run a stack over every example, online.

    Args:
        x: (time, examples, inputs).
        layers: from the input on.
        readout: weights (outputs, neurons) and bias (outputs,).
        kappa: decay of the readout's filter.
        labels: class of each example.
        adaptive: whether traces know of the adaptation.
        delay: steps between a signal and the traces that it meets.
        running: whether the output is the mean of what was said so far.
        told: L of each layer in place of the broadcast error, (time, examples, post).
    Returns:
        The gradients of the layers, that of the readout, and the number of spikes.
    """
    steps, examples, _ = x.shape
    found = [Gradient(np.zeros_like(la.weight), np.zeros_like(la.bias), np.zeros((len(la.bias), len(la.bias)))) for la in layers]
    out = Gradient(np.zeros_like(readout[0]), np.zeros_like(readout[1]), np.zeros(0))
    spikes = 0.0
    for b in range(examples):
        cells = [_Synapses(layer, adaptive) for layer in layers]
        u = np.zeros(readout[0].shape[1])
        heard = np.zeros_like(u)  # sums of u and of each ebar over the steps so far
        sums = [np.zeros_like(cell.ebar) for cell in cells]
        errors: list[Array] = []
        for t in range(steps):
            sent = x[t, b]
            for cell in cells:
                sent = cell.step(sent, kappa)
                spikes += sent.sum()
            u = kappa * u + (1 - kappa) * sent
            heard += u
            for total, cell in zip(sums, cells, strict=True):
                total += cell.ebar
            y = readout[0] @ (heard / (t + 1) if running else u) + readout[1]
            p = np.exp(y - y.max())
            error = p / p.sum()
            error[labels[b]] -= 1
            errors.append(error / (steps * examples))
            if t < delay:
                continue
            arrived = errors[t - delay]
            out.weight[:] += np.outer(arrived, heard / (t + 1) if running else u)
            out.bias[:] += arrived
            for i, (layer, cell, g) in enumerate(zip(layers, cells, found, strict=True)):
                signal = layer.feedback.T @ arrived if told is None else told[i][t - delay, b]
                trace = sums[i] / (t + 1) if running else cell.ebar
                n = layer.weight.shape[1]
                g.weight[:] += signal[:, None] * trace[:, :n]
                g.bias[:] += signal * trace[:, n]
                g.recurrent[:] += signal[:, None] * trace[:, n + 1 :]
    return found, out, spikes


class _Synapses:
    """One population and the traces of all its synapses: inputs, the bias, then its own spikes of the step before."""

    def __init__(self, layer: Layer, adaptive: bool) -> None:
        self.layer, self.adaptive = layer, adaptive
        n, pre = layer.weight.shape
        self.v, self.z, self.a, self.i = (np.zeros(n) for _ in range(4))
        self.psi = np.zeros(n)
        self.eps_v, self.eps_a, self.eps_i, self.ebar = (np.zeros((n, pre + 1 + n)) for _ in range(4))

    def step(self, sent: Array, kappa: float) -> Array:
        layer, c = self.layer, self.layer.cell
        into = layer.weight @ sent + layer.bias + (0 if layer.recurrent is None else layer.recurrent @ self.z)
        pre = np.concatenate([sent, [1.0], self.z])
        self.eps_a = (c.rho - c.beta * self.psi)[:, None] * self.eps_a + self.psi[:, None] * self.eps_v
        self.a = c.rho * self.a + self.z
        kept = c.decay * (1 - self.z) if c.hard else np.full(len(self.z), c.decay)
        new = np.broadcast_to(pre, self.eps_v.shape)
        if c.current_decay is not None:
            self.i = c.current_decay * self.i + into
            self.eps_i = c.current_decay * self.eps_i + new
            into, new = self.i, self.eps_i
        self.eps_v = kept[:, None] * self.eps_v + new
        self.v = kept * self.v + into - (0 if c.hard else c.threshold * self.z)
        above = self.v - c.threshold - c.beta * self.a
        self.psi = surrogate_derivative(c.kind, c.slope, above)
        self.z = (above > 0).astype(float)
        self.ebar = kappa * self.ebar + (1 - kappa) * self.psi[:, None] * (self.eps_v - (c.beta * self.eps_a if self.adaptive else 0))
        return self.z
