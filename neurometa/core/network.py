"""Networks: named layers in a row, as one `Network`."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core import onchip
from neurometa.core.check import check_finite, check_floats
from neurometa.core.constants import Free
from neurometa.core.grid import factor_of, on_grid, statistics_of
from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Norm, Pool, Spiking, TimeAverage
from neurometa.core.neuron import Neuron
from neurometa.errors import UserError
from neurometa.types import Params, Record, Signal

VMAP_LIMIT = 1_500_000
"""Products of one example in one time step up to which convolutions of several tasks run faster as one grouped convolution than one
after another. Measured on two x86-64 cores with 5 inner steps: 1.8 times faster at 1.0 million, 1.2 times slower at 2.0 million."""

STATISTICS = ("mean", "var")
"""What a layer notes of its batch; anything else that it notes is state over time."""

READOUT = "readout"
"""Name of the last synapses: what prototypes write and readout-only plasticity moves."""


class Stack(NamedTuple):
    """Layers in a row; those that are recurrent hear themselves.

    Attributes:
        shape: shape of one input, without time and batch.
        layers: (name, layer) in order; a layer's parameters are called `<name>.<parameter>`.
        vmappable: whether tasks with weights of their own run faster under vmap than one after another.
        bits: of the weights on a chip's grid, readout apart, see `grid`; 0 for weights as they are.
        integers: whether all below the readout is computed in a chip's integers, see `onchip`; needs `bits`.
    """

    shape: tuple[int, ...]
    layers: tuple[tuple[str, Layer], ...]
    vmappable: bool
    bits: int = 0
    integers: bool = False

    def init(self, generator: torch.Generator) -> Params:
        """Draw initial parameters, layer by layer."""
        params, shape = {}, self.shape
        for name, layer in self.layers:
            own, shape = layer.init(generator, shape)
            params |= {f"{name}.{key}": value for key, value in own.items()}
        return params

    def signal(self, x: Tensor) -> Signal:
        """`x` as a signal: timed if it has a time axis before the batch axis.

        Raises:
            UserError: another shape, no example, no time step, whole numbers, or NaN (which vmap hides).
        """
        check_floats("input", x)
        check_finite("input", x)
        axes = x.ndim - len(self.shape)
        if axes not in (1, 2) or tuple(x.shape[axes:]) != self.shape:
            raise UserError(f"input of shape {tuple(x.shape)} given, ([time,] batch, {', '.join(map(str, self.shape))}) expected")
        return Signal(x, axes == 2)

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Simulate the whole window.

        Args:
            params: parameters by name; with `<norm>.mean` and `.var` these statistics are used, else the batch's own.
            x: input, see `Signal`.
            state: a record's final state to continue from, default rest.
        Returns:
            The record; its output has shape (batch, outputs).
        """
        notes: dict[str, Params] = {key: {} for key in ("z", "v", *STATISTICS)}
        measured: Params = {}
        layers = self.layers
        if self.integers:
            if state:
                raise UserError("a state to continue from given to a network in integers, expected none: they begin at rest")
            own = {name: _own(params, name) for name, _ in layers}
            x, found, layers = onchip.run(layers, READOUT, self.bits, own, x)
            notes |= found
        for at, (name, layer) in enumerate(layers):
            own, known = {**_own(params, name), **measured}, measured
            measured = {}
            if self.bits and not self.integers and name != READOUT and "weight" in own:
                own["weight"], measured = self._rounded(at, params, own, x)
            x, noted = layer.apply(own, x, _own(state or {}, name))
            noted = {**noted, **known}
            for key, value in noted.items():
                notes.setdefault(key, {})[name] = value
        statistics = {f"{name}.{key}": value for key in STATISTICS for name, value in notes[key].items()}
        kept = [key for key in notes if key not in STATISTICS]
        last = {f"{name}.{key}": notes[key][name][-1] for name in notes["v"] for key in kept if name in notes[key]}
        return Record(x.values, notes["z"], notes["v"], last, statistics)

    def _rounded(self, at: int, params: Params, own: Params, x: Signal) -> tuple[Tensor, Params]:
        """Weights of a layer on the grid, and the statistics that the normalisation behind it is to use where it has none."""
        behind_name, behind = self.layers[at + 1] if at + 1 < len(self.layers) else ("", None)
        if not isinstance(behind, Norm):
            return on_grid(own["weight"], None, self.bits), {}
        norm = _own(params, behind_name)
        measured = statistics_of(self.layers[at][1], own, x, behind, norm)
        return on_grid(own["weight"], factor_of({**norm, **measured}), self.bits), measured

    @property
    def features(self) -> int:
        """Number of inputs of the readout."""
        return self.split()[1].shape[0]

    def on(self, kernel: str | None) -> "Stack":
        """The same network with every population run by that kernel of the scan, see `scan`; the reference multiplies densely too.

        Raises:
            UserError: the kernel does not know a population.
        """

        def one(name: str, layer: Layer) -> Layer:
            if isinstance(layer, Linear):
                return layer._replace(dense=kernel == "reference")
            if not isinstance(layer, Spiking):
                return layer
            if not layer.runs_on(kernel):
                what = f"{'recurrent ' * layer.recurrent}{type(layer.neuron).__name__}"
                raise UserError(f"kernel {kernel} given, which does not know the {what} of layer {name}: choose kernel auto or reference")
            return layer._replace(kernel=kernel)

        return self._replace(layers=tuple((name, one(name, layer)) for name, layer in self.layers))

    def split(self) -> tuple["Stack", "Stack"]:
        """The network before its readout, and the readout with what follows it; nothing follows where there is no readout."""
        names, shape = [name for name, _ in self.layers], self.shape
        at = names.index(READOUT) if READOUT in names else len(names)
        for _, layer in self.layers[:at]:
            shape = layer.init(torch.Generator(), shape)[1]
        return self._replace(layers=self.layers[:at]), Stack(shape, self.layers[at:], True)


def _own(params: Params, name: str) -> Params:
    start = len(name) + 1
    return {key[start:]: value for key, value in params.items() if key.startswith(f"{name}.")}


def conv_network(
    shape: tuple[int, ...],
    channels: tuple[int, ...],
    strides: tuple[int, ...],
    pools: tuple[int, ...],
    *,
    kernel: int = 3,
    pooling: str = "average",
    pool_before_neuron: bool = False,
    normalise: bool = True,
    neuron: Neuron | Layer,
    free: tuple[Free, ...] = (),
    steps: int,
    features: str = "current",
    readout_decay: float = 0.0,
    normalise_features: bool = False,
    hidden: tuple[int, ...] = (),
    delay: int = 0,
    outputs: int | None = None,
) -> Stack:
    """Stack of convolution, normalisation, neuron and pooling; dense layers of neurons behind it where `hidden` names their widths.

    Args:
        shape: (channels, height, width) of the input.
        channels, strides, pools: one entry a layer; a pool of 1 is none.
        pool_before_neuron: pool currents instead of spikes.
        neuron: constants of the neurons, or a stateless layer such as `baselines.relu.ReLU()`.
        free: constants of the neurons that are parameters of each layer, see `constants.Free`.
        steps: time steps for which an untimed input is held.
        features: "current" leaves the last layer without neurons, its current averaged over time; "spikes" counts its spikes.
        readout_decay: leak of the readout over time, see `TimeAverage`.
        normalise_features: normalise each input of the readout, so that what all pictures have in common does not slow its descent.
        hidden: widths of dense layers of neurons behind the convolutions, `linear<i>` counted on; with `normalise_features` the features
            are normalised before the first of them, and the last of them are what the readout sees.
        delay: time steps that a spike takes to the next layer, 0, or 1 as on Loihi. The input itself arrives at once.
        outputs: size of the readout; None leaves it to be written by plasticity.
    Raises:
        UserError: if the lists differ in length or the picture shrinks to nothing.
    """
    if not len(channels) == len(strides) == len(pools):
        lengths = f"{len(channels)}, {len(strides)} and {len(pools)}"
        raise UserError(f"channels, strides and pools have {lengths} entries; give one of each a layer")
    layers: list[tuple[str, Layer]] = []
    last = len(channels)
    for i, (n, stride, pool) in enumerate(zip(channels, strides, pools, strict=True), 1):
        accumulate = i == last and features == "current"
        if accumulate and not hidden:
            layers.append(("average", TimeAverage(readout_decay)))
        layers.append((f"conv{i}", Conv2d(n, kernel, stride, bias=not normalise)))
        layers += [(f"norm{i}", Norm())] if normalise else []
        fire = [] if accumulate else [(f"{_kind(neuron)}{i}", _population(neuron, free, steps, delay=delay))]
        shrink: list[tuple[str, Layer]] = [(f"pool{i}", Pool(pool, pooling))] if pool > 1 else []
        stage = [*shrink, *fire] if pool_before_neuron else [*fire, *shrink]
        if i == last and not accumulate and not hidden:
            commutes = stage[0] in fire and pooling != "max"  # one average over time is pooled instead of the spikes of every step
            stage.insert(1 if commutes else len(stage), ("average", TimeAverage(readout_decay)))
        layers += stage
    layers.append(("flatten", Flatten()))
    if not hidden:
        return _finished(shape, layers, normalise_features, outputs)
    layers += [("features", Norm())] if normalise_features else []
    for i, width in enumerate(hidden, last + 1):
        layers += [(f"linear{i}", Linear(width)), (f"{_kind(neuron)}{i}", _population(neuron, free, steps, delay=delay))]
    return _finished(shape, [*layers, ("average", TimeAverage(readout_decay))], False, outputs)


def mlp_network(
    shape: tuple[int, ...],
    widths: tuple[int, ...],
    *,
    normalise: bool = False,
    neuron: Neuron | Layer,
    free: tuple[Free, ...] = (),
    steps: int,
    features: str = "spikes",
    readout_decay: float = 0.0,
    normalise_features: bool = False,
    recurrent: bool | tuple[bool, ...] = False,
    delay: int = 0,
    last: int = 0,
    outputs: int | None = None,
) -> Stack:
    """Stack of dense layers; arguments as for `conv_network`.

    Args:
        last: steps at the end of the window over which the readout is averaged; 0 for all.
        recurrent: whether neurons hear the last spikes of their own layer, through weights `<layer>.recurrent`; one answer for every
            layer that has neurons, or one a layer.
    Raises:
        UserError: if there are more or fewer answers than layers, or a layer without neurons is to be recurrent.
    """
    loops = _loops(recurrent, len(widths), len(widths) - (features == "current"))
    layers: list[tuple[str, Layer]] = [("flatten", Flatten())]
    for i, width in enumerate(widths, 1):
        accumulate = i == len(widths) and features == "current"
        if accumulate:
            layers.append(("average", TimeAverage(readout_decay, last)))
        layers.append((f"linear{i}", Linear(width, bias=not normalise)))
        layers += [(f"norm{i}", Norm())] if normalise else []
        layers += [] if accumulate else [(f"{_kind(neuron)}{i}", _population(neuron, free, steps, loops[i - 1], delay))]
    if features != "current":
        layers.append(("average", TimeAverage(readout_decay, last)))
    return _finished(shape, layers, normalise_features, outputs)


def _kind(neuron: Neuron | Layer) -> str:
    return type(neuron).__name__.lower()


def _loops(recurrent: bool | tuple[bool, ...], layers: int, spiking: int) -> tuple[bool, ...]:
    """Whether each layer is recurrent."""
    each = (recurrent,) * spiking + (False,) * (layers - spiking) if isinstance(recurrent, bool) else recurrent
    if len(each) != layers:
        raise UserError(f"recurrent has {len(each)} entries for {layers} layers; give one a layer, or one for all")
    if any(each[spiking:]) or (recurrent is True and not any(each)):
        raise UserError("recurrent asked of the last layer, which has no neurons with features = 'current'; choose features = 'spikes'")
    return each


def _population(neuron: Any, free: tuple[Free, ...], steps: int, recurrent: bool = False, delay: int = 0) -> Layer:
    if not hasattr(neuron, "apply"):
        return Spiking(neuron, steps, free, recurrent, delay)
    if recurrent or delay:
        raise UserError(f"{_kind(neuron)} has no time, a recurrent or delayed layer needs it: choose a spiking neuron, or leave both out")
    return neuron


def _finished(shape: tuple[int, ...], layers: list[tuple[str, Layer]], normalise_features: bool, outputs: int | None) -> Stack:
    """Add the readout, and the normalisation of its inputs."""
    features: list[tuple[str, Layer]] = [("features", Norm())] if normalise_features else []
    return stacked(shape, [*layers, *features, (READOUT, Linear(outputs))])


def stacked(shape: tuple[int, ...], layers: list[tuple[str, Layer]]) -> Stack:
    """A network of these layers, weighed up: whether its tasks run faster together.

    Raises:
        UserError: if two layers have one name, or some layer's output is empty.
    """
    names = [name for name, _ in layers]
    if len(set(names)) < len(names):
        twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        raise UserError(f"two layers are called {twice}: give each layer a name of its own; {READOUT} is the last layer's")
    size, products = shape, 0
    for name, layer in layers:
        params, size = layer.init(torch.Generator(), size)
        if 0 in size:
            raise UserError(f"layer {name} has an output of shape {size}; use fewer or smaller pools and strides")
        if isinstance(layer, Conv2d):
            products += params["weight"].numel() * math.prod(size[1:])
    return Stack(shape, tuple(layers), products <= VMAP_LIMIT)


def averaged_last(network: Stack) -> Stack:
    """The same network with its time average behind the readout, with which it commutes: what reaches the readout is then a window in time.

    Raises:
        UserError: it has no time average.
    """
    average = [layer for layer in network.layers if isinstance(layer[1], TimeAverage)]
    if not average:
        raise UserError("a network without a time average given, one with spiking layers expected: choose a spiking neuron")
    rest = tuple(layer for layer in network.layers if layer not in average)
    return network._replace(layers=(*rest, *average))
