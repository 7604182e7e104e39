"""What a network says at every step, and the loss of it: causal, so that an error at t knows nothing of what comes later."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.layer import Flatten, Layer, Linear, TimeAverage
from neurometa.core.learnt import Broadcast
from neurometa.core.lowpass import lowpass
from neurometa.plasticity.stages import Shown, chained, detached, measured
from neurometa.types import Params, Signal

CAUSAL = ("membrane", "running-mean")
"""Outputs at t that depend on no step after t."""

OUTPUTS = (*CAUSAL, "time-mean")
"""Every kind of output that a loss can be taken of; the last is offline: its error is known at the end of the window only."""


class OverTime(NamedTuple):
    """Stands in for `TimeAverage` and keeps the time axis. With u the leaky integrator of the average's `decay`, or x itself at decay 0,

    membrane       y[t] = u[t]
    running-mean   y[t] = mean of u[1..t]
    time-mean      y    = mean of u over the window, untimed

    Attributes:
        average: what it stands in for.
        kind: one of `OUTPUTS`.
    """

    average: TimeAverage
    kind: str

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Filter the time axis."""
        if not x.timed or self.kind == "time-mean":
            return self.average.apply(params, x, state)
        u = lowpass(x.values, self.average.decay)
        if self.kind == "membrane":
            return Signal(u, True), {}
        return Signal(u.cumsum(0) / _so_far(u), True), {}

    def back(self, error: Tensor) -> Tensor:
        """The transposed map of a timed signal: from dE/dy[t] to dE/dx[t], the same filter from the last step to the first."""
        reverse = error.flip(0) if self.kind == "membrane" else (error / _so_far(error)).flip(0).cumsum(0)
        return lowpass(reverse, self.average.decay).flip(0)


class Spoken(NamedTuple):
    """A readout after it was run.

    Attributes:
        output: (time, batch, out), or (batch, out) of a time mean.
        pull: from dE/doutput, the gradient of the readout's fast weights and of the last population's output (time, batch, *shape).
        back: dE/doutput carried back through the filter over time alone, (time, batch, out): what feedback weights broadcast.
        statistics: normalisation statistics that the readout measured.
    """

    output: Tensor
    pull: Callable[[Tensor], tuple[Params, Tensor | Broadcast]]
    back: Callable[[Tensor], Tensor]
    statistics: Params


def spoken(
    readout: tuple[tuple[str, Layer], ...], kind: str, params: Params, fast: Params, shown: Shown, x: Signal, constant: bool
) -> Spoken:
    """Run the layers behind the last population.

    Args:
        readout: these layers.
        kind: one of `OUTPUTS`.
        params, fast: parameters that do not move, and those that want a gradient.
        shown: the last population; `x`, what it sends.
        constant: hold its activity constant in outer gradients of the weights' gradient; that of the output itself is not cut.
    """
    filters = [OverTime(layer, kind) for _, layer in readout if isinstance(layer, TimeAverage)]
    layers = tuple((name, OverTime(layer, kind) if isinstance(layer, TimeAverage) else layer) for name, layer in readout)
    moving = {name: value for name, value in fast.items() if not _elsewhere(name, layers)}
    statistics = measured(layers, {**params, **fast}, x)
    still = {**params, **statistics}

    def output(weights: Params, values: Tensor) -> Tensor:
        return chained(layers, {**still, **weights}, Signal(values, True)).values

    def back(error: Tensor) -> Tensor:
        return _back(filters, error, len(x.values))

    if kind in CAUSAL and _dense(layers):
        return _dense_spoken(layers, {**still, **moving}, moving, x.values, back, constant)
    y, pull = torch.func.vjp(output, moving, x.values)  # type: ignore[misc]
    if constant:
        still = detached(still)
        pull_constant = torch.func.vjp(output, detached(moving), x.values.detach())[1]
        weights_of = pull

        def pull(error: Tensor) -> tuple[Params, Tensor]:  # the weights' share holds the traces constant, feedback weights stay attached
            return pull_constant(error)[0], weights_of(error)[1]

    return Spoken(y, pull, back, statistics)


def _dense(layers: tuple[tuple[str, Layer], ...]) -> bool:
    """Whether the readout is an average over time and one dense layer."""
    kinds = [type(layer) for _, layer in layers if not isinstance(layer, Flatten)]
    return kinds == [OverTime, Linear]


def _dense_spoken(layers: Any, params: Params, moving: Params, z: Tensor, back: Callable[[Tensor], Tensor], constant: bool) -> Spoken:
    """The same, with the filter behind the dense layer, where it has the readout's width: a linear map commutes with it."""
    name = layers[-1][0]
    over = next(layer for _, layer in layers if isinstance(layer, OverTime))
    weight, flat = params[f"{name}.weight"], z.flatten(2)
    y = over.apply({}, Signal(flat @ weight.mT, True), {})[0].values + params.get(f"{name}.bias", 0)

    def pull(error: Tensor) -> tuple[Params, Broadcast]:
        arrived = back(error)
        sent = flat.detach() if constant else flat
        found = {f"{name}.weight": arrived.flatten(0, 1).mT @ sent.flatten(0, 1), f"{name}.bias": error.sum((0, 1))}
        return {key: value for key, value in found.items() if key in moving}, Broadcast(arrived, weight)

    return Spoken(y, pull, back, {})


def _elsewhere(name: str, layers: tuple[tuple[str, Layer], ...]) -> bool:
    return all(not name.startswith(f"{layer}.") for layer, _ in layers)


def _so_far(x: Tensor) -> Tensor:
    """1, 2, 3, ... over the time axis of x."""
    return torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


def _back(filters: list[OverTime], error: Tensor, steps: int) -> Tensor:
    if all(layer.kind in CAUSAL for layer in filters):
        for layer in reversed(filters):
            error = layer.back(error)
        return error
    shape = error.shape if error.ndim > 2 else (steps, *error.shape)

    def filtered(values: Tensor) -> Tensor:
        x = Signal(values, True)
        for layer in filters:
            x = layer.apply({}, x, {})[0]
        return x.values

    return torch.func.vjp(filtered, error.new_zeros(shape))[1](error)[0]


class Window(NamedTuple):
    """Which steps of a window an output covers, and which of the window count.

    Attributes:
        steps: of the whole window.
        last: steps at its end that count; 0 for all.
        start: step at which the output begins.
    """

    steps: int
    last: int = 0
    start: int = 0


def error(output: Tensor, y: Tensor, window: Window, factor: float = 1.0) -> Tensor:
    """dE/doutput, with E the mean over steps and examples of the loss at each step.

    classes    loss = -log softmax(output)[y]              error = softmax(output) - onehot(y)
    numbers    loss = mean over outputs of (output - y)^2   error = 2 (output - y) / outputs

    Args:
        output: (time, batch, out), or (batch, out).
        y: classes (batch,), or numbers (batch, out).
        window: where in time it lies.
        factor: what E is multiplied by.
    Returns:
        Same shape as `output`.
    """
    if y.is_floating_point():
        difference = 2 * (output - y) / output.shape[-1]
    else:
        difference = output.softmax(-1) - F.one_hot(y, output.shape[-1]).to(output)
    batch = output.shape[-2]
    if output.ndim == 2:
        return factor / batch * difference
    counted = min(window.last or window.steps, window.steps)
    silent = torch.arange(window.start, window.start + len(output), device=output.device) < window.steps - counted
    return (factor / (batch * counted) * difference).masked_fill(silent.reshape(-1, 1, 1), 0.0)
