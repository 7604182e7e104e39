"""A network's body in a chip's integers: weights, thresholds, decays, biases and potentials as an export writes and a chip computes them.

Behind each other stand synapses, a normalisation, neurons, a pool. Of each layer the linear parts are folded in float64 and rounded by
`fixed`, which keeps the sums of integer weights over spikes exact in single precision; `compiled.integer` runs the neurons. What is read
of neurons that only accumulate, or the mean of the last spikes, is handed on to the host's layers.
"""

from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from neurometa.core import fixed
from neurometa.core.check import vmapped
from neurometa.core.compiled.integer import Cells, straight, window
from neurometa.core.grid import factor_of, statistics_of
from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Norm, Pool, Spiking, TimeAverage, _late
from neurometa.core.neuron import IF, LIF
from neurometa.errors import UserError
from neurometa.types import Params, Signal

Layers = tuple[tuple[str, Layer], ...]


class Walk(NamedTuple):
    """Where we are.

    Attributes:
        x: what was sent: spikes, summed over the windows of the pools behind their population.
        pool, factor: of these pools: width of a window, and by what the float network multiplies its sum.
        average: of the spikes over time, once it was met.
        notes: what layers noted, by kind and layer.
    """

    x: Signal
    pool: int
    factor: float
    average: TimeAverage | None
    notes: dict[str, Params]

    def noted(self, name: str, **values: Tensor) -> "Walk":
        """With something noted of a layer."""
        return self._replace(notes={**self.notes, **{kind: {**self.notes.get(kind, {}), name: value} for kind, value in values.items()}})


class Folded(NamedTuple):
    """Synapses and the normalisation behind them: in float64 without gradient, and as tensors of the network's type with one.

    Attributes:
        own: weights as they are trained.
        weight, bias: float64; one bias a channel.
        gain: by what the normalisation and the pool before multiply each channel, a tensor (post, ...).
        shift: the bias, a tensor of the shape of a step's current or broadcast to it.
        measured: statistics of the normalisation, where it had none.
    """

    own: Tensor
    weight: np.ndarray
    bias: np.ndarray
    gain: Tensor
    shift: Tensor
    measured: Params


def run(layers: Layers, readout: str, bits: int, params: dict[str, Params], x: Signal) -> tuple[Signal, dict[str, Params], Layers]:
    """Run what a chip would.

    Args:
        layers: of the network.
        readout: name of the synapses that stay on the host.
        bits: of a weight.
        params: by layer.
        x: spikes.
    Returns:
        What the host is given, what was noted by kind and layer, and the host's layers.
    Raises:
        UserError: an input that is not 0 or 1, or a layer that does not fit; the message names it.
    """
    if vmapped():
        raise UserError("a network in integers given to vmap, expected tasks one after another: its weights are rounded outside of torch")
    if x.values.device.type != "cpu" or not bool(((x.values == 0) | (x.values == 1)).all()):
        raise UserError(f"an input on {x.values.device.type} given to a network in integers, expected one of 0 and 1 on cpu")
    walk = Walk(x, 1, 1.0, None, {})
    while layers:
        (name, layer), layers = layers[0], layers[1:]
        if isinstance(layer, Conv2d | Linear) and name != readout:
            norm = layers[0] if layers and isinstance(layers[0][1], Norm) else None
            layers = layers[1:] if norm else layers
            folded = _folded(walk, layer, params[name], norm and norm[1], params[norm[0]] if norm else {})
            walk = walk.noted(norm[0], **folded.measured) if norm else walk
            if layers and isinstance(layers[0][1], Spiking):
                walk = _fired(walk, name, layer, folded, layers[0], bits)
                layers = layers[1:]
                continue
            if layers and isinstance(layers[0][1], Pool):
                _refuse(name, "whose currents are pooled")
            return _summed(walk, name, layer, folded, bits), walk.notes, layers
        if name == readout or (walk.average and not isinstance(layer, Flatten)):
            layers = ((name, layer), *layers)
            break
        walk = _between(walk, name, layer)
    if walk.pool > 1 or walk.average is None:
        _refuse("before the readout", "where currents or single steps are read")
    return walk.average.apply({}, walk.x, {})[0], walk.notes, layers


def _refuse(name: str, what: str) -> NoReturn:
    raise UserError(
        f"layer {name}, {what}, given to a network in integers, expected what `neurometa export` takes, without pooled currents"
    )


def _between(walk: Walk, name: str, layer: Layer) -> Walk:
    """A layer without synapses: what pools make of spikes is a sum, whose factor goes into the weights behind it."""
    if isinstance(layer, TimeAverage) and not layer.decay and not layer.last:
        return walk._replace(average=layer)
    if isinstance(layer, Flatten):
        return walk._replace(x=layer.apply({}, walk.x, {})[0])
    if not isinstance(layer, Pool) or layer.kind == "max" or layer.stride not in (None, layer.size):
        _refuse(name, str(layer))
    summed = Pool(layer.size, "sum").apply({}, walk.x, {})[0]
    factor = 1 / layer.size**2 if layer.kind == "average" else 1.0
    return walk._replace(x=summed, pool=walk.pool * layer.size, factor=walk.factor * factor)


def _folded(walk: Walk, layer: Conv2d | Linear, own: Params, norm: Any, known: Params) -> Folded:
    """Fold as the export does, operation by operation."""
    weight, bias = _double(own["weight"]) * walk.factor, _double(own["bias"]) if "bias" in own else np.zeros(len(own["weight"]))
    gain, each = own["weight"].new_full((len(weight),), walk.factor), [-1, *[1] * (weight.ndim - 1)]
    shift, measured = own.get("bias", torch.zeros_like(gain)), {}
    if norm is not None:
        seen = walk.x if walk.average is None else walk.average.apply({}, walk.x, {})[0]
        measured = statistics_of(layer, {**own, "weight": own["weight"] * walk.factor}, seen, norm, known)
        known = {**known, **measured}
        scale, offset = fixed.affine({key: _double(value) for key, value in known.items()})
        weight, bias = weight * scale.reshape(each), bias * scale + offset
        soft = factor_of(known)
        gain, shift = gain * soft, known["shift"] + (shift - known["mean"]) * soft
    spread = [-1, 1, 1] if isinstance(layer, Conv2d) else [-1]
    return Folded(own["weight"], weight, bias, gain.reshape(each), shift.reshape(spread), measured)


def _double(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def _arriving(layer: Conv2d | Linear, folded: Folded, grid: fixed.Grid, x: Signal) -> Tensor:
    """Sums of integer weights over spikes, exact in any order; their gradient is that of the unrounded weights."""
    soft = folded.own * (folded.gain * (grid.scale / 2.0**grid.exponent))
    weight = straight(torch.from_numpy(grid.weight).to(soft), soft)
    return layer.apply({"weight": weight}, x, {})[0].values


def _fired(walk: Walk, name: str, layer: Conv2d | Linear, folded: Folded, unit: tuple[str, Any], bits: int) -> Walk:
    """Neurons, and the spikes that they send."""
    called, population = unit
    neuron = population.neuron
    _check(called, population)
    steps = len(walk.x.values) if walk.x.timed else population.steps
    dv = int(fixed.decays(neuron.decay))
    grid = fixed.safe(called, folded.weight, walk.pool, folded.bias, fixed.Cell(dv, neuron.threshold, False, steps), bits)
    mantissas, shift = fixed.biases(folded.bias, grid.scale)
    vth = int(fixed.thresholds(neuron.threshold, grid.scale))
    bias = torch.from_numpy(mantissas * 2.0**shift).reshape(folded.shift.shape)
    real = neuron._replace(threshold=vth / grid.scale)
    cells = Cells(real, steps, 1 - dv / 4096, vth, 2.0**grid.exponent, grid.scale, bias)
    arriving = _arriving(layer, folded, grid, walk.x)
    z, v = window(arriving if walk.x.timed else arriving.unsqueeze(0), folded.shift, cells)
    return walk.noted(called, z=z, v=v)._replace(x=Signal(_late(z, None) if population.delay else z, True), pool=1, factor=1.0)


def _check(name: str, population: Any) -> None:
    neuron = population.neuron
    if not isinstance(neuron, LIF | IF) or not neuron.hard_reset:
        _refuse(name, f"neurons of {type(neuron).__name__} with hard_reset = {getattr(neuron, 'hard_reset', False)}")
    if population.free or population.recurrent or isinstance(neuron.decay, Tensor) or isinstance(neuron.threshold, Tensor):
        _refuse(name, "recurrent or with constants of each neuron's own")


def _summed(walk: Walk, name: str, layer: Conv2d | Linear, folded: Folded, bits: int) -> Signal:
    """What neurons that only accumulate hold at the end, over 64 S and the number of steps: the mean current."""
    if walk.average is None or not walk.x.timed:
        _refuse(name, "synapses without neurons behind them or a time average before them")
    steps = len(walk.x.values)
    grid = fixed.safe(name, folded.weight, walk.pool, folded.bias, fixed.Cell(0, 0.0, True, steps), bits)
    mantissas, shift = fixed.biases(folded.bias, grid.scale)
    factor = 2.0**grid.exponent
    whole = fixed.range_of(folded.weight, bits)[2] * factor >= 1
    if whole:  # nothing is rounded down, so that the sum over time may come first; it is as exact as that of one step
        total = _arriving(layer, folded, grid, Signal(walk.x.values.sum(0), False))
        potential = 64 * factor * total.detach().double()
    else:
        each = _arriving(layer, folded, grid, walk.x)
        potential, total = 64 * (factor * each.detach().double()).floor().sum(0), each.sum(0)
    bias = torch.from_numpy(mantissas * 2.0**shift).reshape(folded.shift.shape)
    read = (potential + steps * bias) * (1 / (64 * grid.scale * steps))
    soft = (factor / (grid.scale * steps)) * total.to(folded.own) + folded.shift
    return Signal(straight(read.to(folded.own), soft), False)
