"""From layers to stages: all that is linear goes into weights and biases; what Loihi lacks is refused by name."""

import math
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from neurometa.core import fixed
from neurometa.core.constants import with_params
from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Norm, Offset, Pool, Scale, Spiking, TimeAverage
from neurometa.core.network import READOUT, Stack
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF
from neurometa.errors import UserError
from neurometa.export.bundle.schema import INPUT
from neurometa.export.loihi.stage import ALWAYS, Folded, Stage, Synapse
from neurometa.types import Params


def fold(network: Stack, params: Params, steps: int, kind: str = "spikes", *, hard_reset: bool = False) -> Folded:
    """Split a network into what a chip runs and what the host adds.

    With a delay of 0 between layers the chip's clock runs ahead of the float network's by one step a layer, with a delay of 1 by one step
    in all, see `Stage.onset`.

    Args:
        network: layers in a row, ending in the readout, which stays on the host.
        params: trained parameters, statistics of normalisation included.
        steps: time steps of a window.
        kind: of the input: "spikes", or "bias" where the host computes the first layer's currents, constant over the window.
        hard_reset: take a subtractive reset for a hard one, whatever that costs.
    Raises:
        UserError: Loihi lacks something; the message says what, and what to choose.
    """
    walk = _Walk(INPUT, network.shape, 1, 1.0, network.shape, 0 if kind == "bias" else 1, None)
    stages: list[Stage] = []
    layers = list(network.layers)
    averaged = False
    while layers:
        name, layer = layers[0]
        carries = any(isinstance(one, Conv2d | Linear) and name != READOUT for name, one in layers)
        if name == READOUT or (averaged and walk.pending is None and not (carries and isinstance(layer, Conv2d | Linear | Flatten))):
            break
        layers.pop(0)
        if isinstance(layer, Spiking):
            stage, walk = _population(walk, name, layer, _own(params, name), hard_reset)
            stages.append(stage)
        elif isinstance(layer, TimeAverage):
            if layer.decay:
                _refuse(f"layer {name} is a leaky readout", "a plain average: choose network.readout = 'rate'")
            if layer.last:
                _refuse(f"layer {name}, which averages the last {layer.last} steps alone,", "an average of all: choose network.last = 0")
            if walk.pending is not None:
                _refuse(f"layer {name} averages currents", "it before the last synapses or behind neurons")
            averaged = True
        else:
            walk = _linear(walk, name, layer, _own(params, name))
        if averaged and walk.pending is not None and (not layers or not isinstance(layers[0][1], Norm | Pool | Scale | Offset)):
            stages.append(_accumulator(walk))
            break
    if not stages:
        _refuse("a network without spiking neurons", "one that has some")
    if not averaged:
        _refuse("a network that does not average its answer over time", "one that does, as mlp and conv do")
    shape = stages[-1].shape
    rest = [pair for pair in layers if not (isinstance(pair[1], Flatten) and len(shape) == 1)]
    unread = 0 if stages[-1].accumulates else stages[-1].onset + 1 - walk.onset
    if any(one.source == ALWAYS for stage in stages for one in stage.synapses):
        stages.insert(0, _always())
    return Folded(network.shape, kind, tuple(stages), steps, unread, Stack(shape, tuple(rest), True))


class _Pending(NamedTuple):
    """Synapses without neurons yet: weights, the bias of each output, and their shape."""

    synapse: Synapse
    bias: np.ndarray
    shape: tuple[int, ...]


class _Walk(NamedTuple):
    """Where we are: the last population, its shape, the pool behind it and the factor that it leaves, the shape here, the next onset."""

    source: str
    source_shape: tuple[int, ...]
    pool: int
    factor: float
    shape: tuple[int, ...]
    onset: int
    pending: _Pending | None


def _refuse(given: str, expected: str) -> NoReturn:
    raise UserError(f"{given} cannot be exported to Loihi, expected {expected}")


def _own(params: Params, name: str) -> dict[str, np.ndarray]:
    start = f"{name}."
    return {key.removeprefix(start): _double(value) for key, value in params.items() if key.startswith(start)}


def _double(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def _linear(walk: _Walk, name: str, layer: Layer, own: dict[str, np.ndarray]) -> _Walk:
    """One layer without time."""
    if isinstance(layer, Conv2d | Linear):
        if walk.pending is not None:
            _refuse(f"layer {name} follows synapses without neurons between", "neurons there")
        return _synapses(walk, name, layer, own)
    if isinstance(layer, Flatten):
        return walk._replace(shape=(math.prod(walk.shape),))
    if isinstance(layer, Pool):
        return _pool(walk, name, layer)
    if walk.pending is None:
        _refuse(f"layer {name} ({type(layer).__name__}) follows no synapses", "it behind Linear or Conv2d")
    if isinstance(layer, Norm):
        if "mean" not in own:
            _refuse(f"layer {name}, a normalisation without statistics,", "a trained network")
        return _scaled(walk, *fixed.affine(own))
    if isinstance(layer, Scale):
        return _scaled(walk, np.full(walk.pending.shape[0], layer.factor), np.zeros(walk.pending.shape[0]))
    if isinstance(layer, Offset):
        return walk._replace(pending=walk.pending._replace(bias=walk.pending.bias + own["bias"].ravel()))
    _refuse(f"layer {name} ({type(layer).__name__})", "Linear, Conv2d, Norm, Pool, Flatten or Spiking")


def _synapses(walk: _Walk, name: str, layer: Conv2d | Linear, own: dict[str, np.ndarray]) -> _Walk:
    """Weights and what is folded into them."""
    if isinstance(layer, Conv2d):
        weight, shape = _dilated(_grouped(own["weight"], layer.groups), layer.dilation), layer.init(torch.Generator(), walk.shape)[1]
        synapse = Synapse(name, walk.source, weight * walk.factor, layer.stride, layer.pad, walk.pool)
    else:
        weight, shape = own["weight"], (len(own["weight"]),)
        synapse = Synapse(name, walk.source, _spread(weight, walk) * walk.factor)
    bias = np.repeat(own.get("bias", np.zeros(shape[0])), math.prod(shape) // shape[0])
    return walk._replace(pending=_Pending(synapse, bias, shape), shape=shape, pool=1, factor=1.0)


def _grouped(weight: np.ndarray, groups: int) -> np.ndarray:
    """A convolution in groups as one over all channels, with zeros between groups."""
    if groups == 1:
        return weight
    post, pre, *kernel = weight.shape
    full = np.zeros((post, pre * groups, *kernel))
    for g in range(groups):
        rows = slice(g * post // groups, (g + 1) * post // groups)
        full[rows, g * pre : (g + 1) * pre] = weight[rows]
    return full


def _dilated(weight: np.ndarray, dilation: int) -> np.ndarray:
    """A dilated kernel with its zeros."""
    size = (weight.shape[-1] - 1) * dilation + 1
    full = np.zeros((*weight.shape[:2], size, size))
    full[:, :, ::dilation, ::dilation] = weight
    return full


def _spread(weight: np.ndarray, walk: _Walk) -> np.ndarray:
    """Dense weights on pooled spikes as weights on the spikes themselves."""
    if walk.pool == 1:
        return weight
    channels, height, width = walk.source_shape
    rows, columns = height // walk.pool, width // walk.pool
    grid = weight.reshape(len(weight), channels, rows, columns).repeat(walk.pool, 2).repeat(walk.pool, 3)
    full = np.zeros((len(weight), channels, height, width))
    full[:, :, : rows * walk.pool, : columns * walk.pool] = grid
    return full.reshape(len(weight), -1)


def _pool(walk: _Walk, name: str, layer: Pool) -> _Walk:
    """A pool of spikes goes into the synapses behind it, one of currents into those before."""
    if layer.kind == "max":
        _refuse(f"layer {name} takes the maximum of a window, which", "pooling = 'average' or 'sum': train so")
    if layer.stride not in (None, layer.size):
        _refuse(f"layer {name} has overlapping windows, which", "windows side by side")
    factor = 1 / layer.size**2 if layer.kind == "average" else 1.0
    shape = layer.init(torch.Generator(), walk.shape)[1]
    if walk.pending is None:
        return walk._replace(pool=walk.pool * layer.size, factor=walk.factor * factor, shape=shape)
    before, bias, _ = walk.pending
    size = before.weight.shape[-1]
    weight = np.zeros((*before.weight.shape[:2], *[size + before.stride * (layer.size - 1)] * 2))
    for i in range(layer.size):
        for j in range(layer.size):
            weight[:, :, i * before.stride :, j * before.stride :][:, :, :size, :size] += before.weight * factor
    synapse = before._replace(weight=weight, stride=before.stride * layer.size)
    each = bias.reshape(walk.pending.shape[0], -1)[:, 0] * factor * layer.size**2
    return walk._replace(pending=_Pending(synapse, np.repeat(each, math.prod(shape[1:])), shape), shape=shape)


def _scaled(walk: _Walk, scale: np.ndarray, shift: np.ndarray) -> _Walk:
    """y = scale x + shift, one of each a channel."""
    pending = walk.pending
    if pending is None:
        _refuse("a scale without synapses", "synapses before it")
    each = math.prod(pending.shape) // len(scale)
    weight = pending.synapse.weight * scale.reshape(-1, *[1] * (pending.synapse.weight.ndim - 1))
    bias = pending.bias * np.repeat(scale, each) + np.repeat(shift, each)
    return walk._replace(pending=pending._replace(synapse=pending.synapse._replace(weight=weight), bias=bias))


def _population(walk: _Walk, name: str, layer: Spiking, own: dict[str, np.ndarray], hard_reset: bool) -> tuple[Stage, _Walk]:
    """Neurons, with the synapses that wait for them."""
    if walk.pending is None:
        _refuse(f"layer {name}, neurons without synapses before them,", "Linear or Conv2d there")
    neuron: Any = with_params(layer.neuron, layer.free, {key: torch.from_numpy(value) for key, value in own.items()})
    _refuse_neuron(name, neuron, hard_reset)
    shape, n = walk.pending.shape, math.prod(walk.pending.shape)
    synapses, bias = [walk.pending.synapse], np.broadcast_to(walk.pending.bias, (n,))
    if layer.recurrent:
        synapses.append(Synapse(f"{name}-recurrent", name, own["recurrent"]))
    decay, filtered, threshold = (_each(value, shape) for value in (neuron.decay, getattr(neuron, "current_decay", 0.0), neuron.threshold))
    if filtered.any() and bias.any():  # Loihi adds a bias to the potential, behind the filter of the current
        if walk.onset == 0:
            _refuse(f"layer {name}, whose current is filtered, with an input of bias currents,", "an input of spikes: give --input spikes")
        synapses.insert(1, Synapse(f"{name}-bias", ALWAYS, bias[:, None].copy()))
        bias = np.zeros(n)
    stage = Stage(name, shape, tuple(synapses), bias, decay, filtered, threshold, walk.onset, name)
    if isinstance(neuron, ALIF):
        stage = stage._replace(beta=_each(neuron.beta, shape), rho=_each(neuron.rho, shape))
    return stage, _Walk(name, shape, 1, 1.0, shape, walk.onset + 1 - layer.delay, None)


def _refuse_neuron(name: str, neuron: Any, hard_reset: bool) -> None:
    kind = type(neuron).__name__
    if not isinstance(neuron, LIF | IF | CurrentLIF | ALIF):
        _refuse(f"layer {name} of {kind}, which Loihi's neuron is not,", "neuron lif, if, current-lif or alif")
    if not neuron.hard_reset and not hard_reset:
        _refuse(
            f"layer {name}, whose reset subtracts the threshold while Loihi's sets the potential to 0,",
            "network.neuron.reset = 'hard': train so, or give --hard-reset, which exports it with a hard one and measures what that costs",
        )


def _each(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A constant as one number a neuron."""
    array = _double(value) if isinstance(value, Tensor) else np.array(float(value))
    return np.broadcast_to(array, shape).ravel().astype(np.float64)


def _always() -> Stage:
    """One neuron that its bias makes fire in every step."""
    zero, one = np.zeros(1), np.ones(1)
    return Stage(ALWAYS, (1,), (), one, zero, zero, one / 2, 0, "")


def _accumulator(walk: _Walk) -> Stage:
    """The last synapses feed neurons that only add up."""
    if walk.pending is None:
        _refuse("a readout without synapses", "synapses before it")
    n = math.prod(walk.pending.shape)
    ones, zeros, never = np.ones(n), np.zeros(n), np.full(n, np.inf)
    name = f"{walk.pending.synapse.name}-sum"
    return Stage(name, walk.pending.shape, (walk.pending.synapse,), walk.pending.bias, ones, zeros, never, walk.onset, "")
