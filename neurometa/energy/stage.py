"""A network as a chip sees it: populations of neurons, each fed by one layer of synapses from an earlier population.

Normalisation folds into the synapses before it, that of the readout's inputs into the readout. Average and sum pooling are linear and fold
into the synapses beside them, so that a spike goes straight to the neurons it reaches and pooling costs nothing of its own. Averages over
time fold as well: where the simulator averages spikes and multiplies once, a chip sends every spike through the synapses at its own time
step into neurons that only accumulate.
Maximum pooling cannot be folded: it is carried out between, and not counted.

A recurrent population is fed by a second stage, from itself. Spikes that come back, and those of a population with a delay, arrive one
step later; what is sent at the last step of the window does not arrive in it.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Norm, Pool, Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.core.neuron import IF, LIF, CurrentLIF, SigmaDelta
from neurometa.energy import reach
from neurometa.energy.reach import Reach
from neurometa.errors import UserError
from neurometa.types import Params

INPUT = "input"
"""Name of what feeds the first stage."""


class Stage(NamedTuple):
    """Synapses and the population that they feed.

    Attributes:
        name: layer that holds the weights; of recurrent ones, `<population>.recurrent`.
        weight: name of the weights among the parameters.
        population: layer of the neurons, or "" where they only accumulate.
        source: population whose output the synapses carry, or "input".
        kind: "conv", "dense", or "recurrent" where a population feeds itself.
        pools: the pools between source and synapses.
        source_shape, input_shape, shape: of the source, of what the weights multiply, of the population. Where one of the pools takes the
            maximum it leaves new spikes behind it: then the source is what the weights multiply.
        reach: from the source's positions to the population's, pools folded in.
        taps: from the positions that the weights multiply to those they make: one pair for each product and pair of channels.
        kernel, stride: of a convolution, else 1.
        maximum: "before" or "behind", where a pool that takes the maximum stands there, which is not counted; else "".
        late: time steps that spikes take to arrive here.
        threshold: the potential above which the population spikes, where that is one number and all that decides; else None.
        arriving: for one spike from each position of the source, the neurons that it reaches, and whether there are any, (2, positions),
            float64.
        products: for one input that is not zero at each position that the weights multiply, its products, (positions,), float64.
    """

    name: str
    weight: str
    population: str
    source: str
    kind: str
    pools: tuple[Pool, ...]
    source_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    shape: tuple[int, ...]
    reach: Reach
    taps: Reach
    kernel: int
    stride: int
    maximum: str
    late: int
    threshold: float | None
    arriving: Tensor
    products: Tensor

    @property
    def neurons(self) -> int:
        """Size of the population; none where they were counted with the stage before."""
        return 0 if self.kind == "recurrent" else math.prod(self.shape)

    @property
    def passes(self) -> int:
        """Time steps by which what passes here is delayed on a chip that delays each layer by one, beyond what is simulated."""
        return 0 if self.kind == "recurrent" else 1 - self.late

    @property
    def synapses(self) -> int:
        """Connections, each counted as often as it is used in space."""
        return self.source_shape[0] * self.reach.pairs * self.shape[0]

    @property
    def weights(self) -> int:
        """Stored weights; a kernel once, however often it is used."""
        if self.kind == "conv":
            return self.input_shape[0] * self.shape[0] * self.kernel**2
        return math.prod(self.input_shape) * self.shape[0]

    @property
    def macs(self) -> int:
        """Products of one pass, zeros included, padding not."""
        return self.input_shape[0] * self.taps.pairs * self.shape[0]


def stages(network: Stack, params: Params) -> tuple[Stage, ...]:
    """Split a network into stages, in order; the same network is walked through once.

    Args:
        network: layers in a row.
        params: parameters; a readout that plasticity writes has the size found here, and is left out where there is none.
    Raises:
        UserError: a layer is not one whose synapses can be counted.
    """
    written = [(name, params.get(f"{name}.weight")) for name, layer in network.layers if isinstance(layer, Linear)]
    outputs = tuple((name, weight.shape[0]) for name, weight in written if weight is not None)
    try:
        hash(network)
    except TypeError:
        return _walked.__wrapped__(network, outputs)
    return _walked(network, outputs)


@lru_cache(maxsize=16)
def _walked(network: Stack, outputs: tuple[tuple[str, int], ...]) -> tuple[Stage, ...]:
    """The stages; `outputs` are the sizes of the dense layers that are written."""
    found: list[Stage] = []
    walk = _Walk(INPUT, network.shape, (), network.shape, 0)
    layers, sizes = list(network.layers), dict(outputs)
    for name, layer in layers:
        _refuse_unreached(name, layer)
    while layers:
        name, layer = layers.pop(0)
        if isinstance(layer, Linear) and name not in sizes:
            continue
        if isinstance(layer, Conv2d | Linear):
            walk, made = _synapses(walk, name, layer, sizes, layers)
            found += made
        elif isinstance(layer, Pool):
            walk = walk._replace(pools=(*walk.pools, layer), shape=_through((layer,), walk.shape))
        elif isinstance(layer, Flatten):
            walk = walk._replace(shape=(math.prod(walk.shape),))
        elif not isinstance(layer, TimeAverage | Norm):
            raise UserError(f"layer {name} ({type(layer).__name__}) has no synapses before it: its energy cannot be counted")
    return tuple(found)


class _Walk(NamedTuple):
    """Where we are: the last population, its shape, the pools since, the shape here, and how late its spikes come."""

    source: str
    source_shape: tuple[int, ...]
    pools: tuple[Pool, ...]
    shape: tuple[int, ...]
    late: int


class _Fed(NamedTuple):
    """What synapses feed: name and layer of the neurons, if there are any, whether a maximum stands between, reach and shape."""

    population: str
    layer: Layer | None
    maximum: bool
    reach: Reach
    shape: tuple[int, ...]


def _synapses(walk: _Walk, name: str, layer: Conv2d | Linear, sizes: dict[str, int], layers: list) -> tuple[_Walk, list[Stage]]:
    """The weights and what folds into them, and those of a recurrent population; takes all that off `layers`."""
    if isinstance(layer, Conv2d):
        given, shape = walk.shape, layer.init(torch.Generator(), walk.shape)[1]
        taps, kernel, stride = reach.convolution(given, layer.kernel, layer.stride), layer.kernel, layer.stride
    else:
        given, shape = _through(walk.pools, walk.source_shape), (sizes[name],)
        taps, kernel, stride = reach.everywhere(given), 1, 1
    before = any(pool.kind == "max" for pool in walk.pools)
    whole = taps if before else _pooled(walk).then(taps)
    fed = _population(layers, whole, shape)
    maximum = "behind" if fed.maximum else "before" if before else ""
    kind = "conv" if isinstance(layer, Conv2d) else "dense"
    seen = given if before else walk.source_shape
    made = [
        _stage(name, f"{name}.weight", fed.population, walk.source, kind, walk.pools, seen, given, fed.shape, fed.reach, taps, kernel,
               stride, maximum, walk.late, _threshold(fed.layer))
    ]  # fmt: skip
    late = 0
    if isinstance(fed.layer, Spiking):
        late = fed.layer.delay
        if fed.layer.recurrent:
            again, own = f"{fed.population}.recurrent", reach.everywhere(fed.shape)
            made.append(_stage(again, again, fed.population, fed.population, "recurrent", (), fed.shape, fed.shape, fed.shape, own, own,
                               1, 1, "", 1, _threshold(fed.layer)))  # fmt: skip
    return _Walk(fed.population or name, fed.shape, (), fed.shape, late), made


def _stage(name: str, weight: str, population: str, source: str, kind: str, pools: tuple[Pool, ...], source_shape: tuple[int, ...],
           input_shape: tuple[int, ...], shape: tuple[int, ...], whole: Reach, taps: Reach, kernel: int, stride: int, maximum: str,
           late: int, threshold: float | None) -> Stage:  # fmt: skip
    out, products = (torch.from_numpy(one.fan_out()).double() for one in (whole, taps))
    out, products = torch.stack([out * shape[0], (out > 0).double()]), products * shape[0]
    return Stage(name, weight, population, source, kind, pools, source_shape, input_shape, shape, whole, taps, kernel, stride, maximum,
                 late, threshold, out, products)  # fmt: skip


def _threshold(layer: Layer | None) -> float | None:
    """Of a layer whose neurons spike just when their potential is above one and the same number."""
    if not isinstance(layer, Spiking) or layer.free or not isinstance(layer.neuron, LIF | IF | CurrentLIF):
        return None
    level, smooth = layer.neuron.threshold, layer.neuron.surrogate.smooth
    return None if smooth or isinstance(level, Tensor) else float(level)


def _population(layers: list[tuple[str, Layer]], whole: Reach, shape: tuple[int, ...]) -> _Fed:
    """Take off `layers` what belongs to the synapses, and the neurons."""
    maximum = False
    while layers and not isinstance(layers[0][1], Conv2d | Linear | Flatten | TimeAverage):
        name, layer = layers.pop(0)
        if isinstance(layer, Pool):
            maximum |= layer.kind == "max"
            whole = whole if maximum else whole.then(reach.pooling(shape, layer.size))
            shape = _through((layer,), shape)
        elif not isinstance(layer, Norm):
            _refuse_uncounted(name, layer, shape)
            return _Fed(name, layer, maximum, whole, shape)
    return _Fed("", None, maximum, whole, shape)


def _refuse_uncounted(name: str, layer: Layer, shape: tuple[int, ...]) -> None:
    """Neurons whose spikes are of a size that is not counted."""
    if not isinstance(layer, Spiking):
        if any(value.ndim > 1 for value in layer.init(torch.Generator(), shape)[0].values()):
            raise UserError(f"layer {name} ({type(layer).__name__}) has synapses of its own: its energy cannot be counted yet")
        return
    if isinstance(layer.neuron, SigmaDelta):
        reason = "sends messages of any size, and the published figures are of single spikes"
        raise UserError(f"layer {name} {reason}: its energy cannot be counted yet; estimate a network without")


def _refuse_unreached(name: str, layer: Layer) -> None:
    """Synapses whose reach is not counted: it knows half padding and windows side by side."""
    usual = True
    if isinstance(layer, Conv2d):
        usual = layer.padding in (None, layer.kernel // 2) and layer.dilation == 1 and layer.groups == 1
    if isinstance(layer, Pool):
        usual = layer.stride in (None, layer.size)
    if not usual:
        raise UserError(
            f"layer {name} has a padding, dilation, groups or pooling stride of its own: its energy cannot be counted yet; "
            "expected half padding, and pooling windows side by side"
        )


def _pooled(walk: _Walk) -> Reach:
    """From the source's positions to those behind the pools."""
    whole, shape = reach.same(walk.source_shape), walk.source_shape
    for pool in walk.pools:
        whole, shape = whole.then(reach.pooling(shape, pool.size)), _through((pool,), shape)
    return whole


def _through(pools: tuple[Pool, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    for pool in pools:
        shape = pool.init(torch.Generator(), shape)[1]
    return shape
