"""A network taken apart for local learning: populations, the synapses before each of them, and the readout behind the last."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import Flatten, Layer, Linear, Norm, Spiking
from neurometa.core.network import Stack
from neurometa.core.sparse import outer
from neurometa.errors import UserError
from neurometa.types import Params, Signal

SYNAPTIC = ("weight", "bias", "gain", "shift", "recurrent")
"""Parameters that a current depends on linearly: what eligibility is defined for."""


class Stage(NamedTuple):
    """A population and the synapses before it.

    Attributes:
        name, population: of the neurons.
        synapses: (name, layer) between the population before, or the input, and this one.
    """

    name: str
    population: Spiking
    synapses: tuple[tuple[str, Layer], ...]

    def owns(self, parameter: str) -> bool:
        """Whether a parameter shapes this population's current."""
        layer = parameter.rsplit(".", 1)[0]
        return layer == self.name or any(layer == name for name, _ in self.synapses)


class Parts(NamedTuple):
    """Stages from the input on, and the layers behind the last population: the readout."""

    stages: tuple[Stage, ...]
    readout: tuple[tuple[str, Layer], ...]


def parts(network: Any) -> Parts:
    """Take a row of layers apart.

    Raises:
        UserError: a network that is no row of layers, or has no spiking population.
    """
    if not isinstance(network, Stack):
        raise UserError(
            f"network {type(network).__name__} given, a row of layers expected: e-prop looks into it; choose segments 1, or rule bptt"
        )
    stages: list[Stage] = []
    pending: list[tuple[str, Layer]] = []
    for name, layer in network.layers:
        if isinstance(layer, Spiking):
            stages.append(Stage(name, layer, tuple(pending)))
            pending = []
        else:
            pending.append((name, layer))
    if not stages:
        raise UserError("a network without spiking neurons given, at least one population expected: e-prop learns from spikes; choose bptt")
    return Parts(tuple(stages), tuple(pending))


class Dense(NamedTuple):
    """A stage whose fast weights are those of one dense layer and no other.

    Attributes:
        name: of the layer.
        bias: whether its bias is fast, too.
        x: what it was given, (time, batch, pre).
    """

    name: str
    bias: bool
    x: Tensor

    def named(self, weight: Tensor, bias: Tensor) -> Params:
        """A gradient under the names of the fast weights."""
        return {f"{self.name}.weight": weight, **({f"{self.name}.bias": bias} if self.bias else {})}


class Shown(NamedTuple):
    """A stage after it was run.

    Attributes:
        stage, neuron: what was run, and its constants, learnt ones in their place.
        fields: the population's state over time, each field (time, batch, *shape).
        pull: gradient of the stage's fast weights from that of the current, (time, batch, *shape).
        statistics: normalisation statistics that the synapses measured.
        dense: what learns where that is one dense layer in time, None elsewhere.
    """

    stage: Stage
    neuron: Any
    fields: Any
    pull: Callable[[Tensor], Params]
    statistics: Params
    dense: Dense | None


def run(stage: Stage, params: Params, fast: Params, x: Signal, constant: bool = False) -> tuple[Signal, Shown]:
    """Run one stage from rest and keep what its weights' gradient needs.

    What the stage before sent counts as constant in that gradient; an outer gradient still passes through it, unless `constant`.

    Args:
        stage: what is run.
        params: parameters that do not move.
        fast: those that want a gradient, of any stage.
        x: what the stage before sent.
        constant: hold the presynaptic activity constant for outer gradients, too.
    Returns:
        What the population sends, and what is kept.
    """
    moving = {name: value for name, value in fast.items() if stage.owns(name) and not name.endswith(".recurrent")}
    statistics = measured(stage.synapses, {**params, **fast}, x)
    still = {**params, **statistics}
    dense = _dense(stage, moving, x, constant)
    if dense is not None:
        driven, pull = chained(stage.synapses, {**still, **moving}, x).values, _by_hand(dense)
    elif moving and not constant:
        driven, pull = torch.func.vjp(lambda weights: chained(stage.synapses, {**still, **weights}, x).values, moving)  # type: ignore[misc]
    else:
        driven, pull = chained(stage.synapses, {**still, **moving}, x).values, _nothing
    if moving and constant and dense is None:
        fixed, held = detached(still), Signal(x.values.detach(), x.timed)
        pull = torch.func.vjp(lambda weights: chained(stage.synapses, {**fixed, **weights}, held).values, detached(moving))[1]
    constants = own({**params, **fast}, stage.name)
    sent, noted = stage.population.apply(constants, Signal(driven, x.timed), {})
    neuron = stage.population.constants(constants)
    fields = type(neuron.rest(driven[0] if x.timed else driven))(**noted)
    learns = f"{stage.name}.recurrent" if f"{stage.name}.recurrent" in fast else None
    gradient = _pulled(pull, x.timed, learns, neuron.output(fields), constant)
    return sent, Shown(stage, neuron, fields, gradient, statistics, dense if x.timed and learns is None else None)


class Heard(NamedTuple):
    """What the first populations with fast weights hear, which no update changes: `x`, and the stages before them as `shown`."""

    x: Signal
    shown: tuple[Shown, ...]


def still(taken: Parts, params: Params, fast: Params, x: Signal) -> Heard:
    """Run the stages before the first that has fast weights; arguments as for `run`."""
    shown: list[Shown] = []
    for stage in taken.stages:
        if any(stage.owns(name) for name in fast):
            break
        x, one = run(stage, params, fast, x)
        shown.append(one)
    return Heard(x, tuple(shown))


def _dense(stage: Stage, moving: Params, x: Signal, constant: bool) -> Dense | None:
    """The stage as one dense layer behind nothing but a change of shape, if it is."""
    *before, (name, last) = stage.synapses or (("", Flatten()),)
    alone = isinstance(last, Linear) and all(isinstance(layer, Flatten) for _, layer in before)
    if not alone or f"{name}.weight" not in moving:
        return None
    shown = x.values.flatten(2 if x.timed else 1)
    return Dense(name, f"{name}.bias" in moving, shown.detach() if constant else shown)


def _by_hand(dense: Dense) -> Callable[[Tensor], tuple[Params]]:
    """The gradient of one dense layer: an outer product, without the forward product that a general derivative would repeat."""

    def pull(current: Tensor) -> tuple[Params]:
        timed = dense.x.ndim > 2
        rows, g = (dense.x.flatten(0, 1), current.flatten(0, 1)) if timed else (dense.x, current)
        return (dense.named(outer(g, rows), g.sum(0)),)

    return pull


def chained(layers: tuple[tuple[str, Layer], ...], params: Params, x: Signal) -> Signal:
    """The signal behind layers without state."""
    for name, layer in layers:
        x = layer.apply(own(params, name), x, {})[0]
    return x


def measured(layers: tuple[tuple[str, Layer], ...], params: Params, x: Signal) -> Params:
    """Normalisation statistics that `params` carry none of, measured on this signal."""
    if all(f"{name}.mean" in params for name, layer in layers if isinstance(layer, Norm)):
        return {}
    return Stack((), layers, True).run(params, x).statistics


def detached(params: Params) -> Params:
    """The same values with no history."""
    return {name: value.detach() for name, value in params.items()}


def _pulled(pull: Callable, timed: bool, recurrent: str | None, z: Tensor, constant: bool) -> Callable[[Tensor], Params]:
    """The gradient of all fast weights of a stage: its synapses', and that of the weights through which its own spikes return."""

    def gradient(current: Tensor) -> Params:
        found = pull(current if timed else current.sum(0))[0]
        if recurrent is None:
            return found
        sent = z.detach() if constant else z
        return {**found, recurrent: outer(current[1:].flatten(0, 1), sent[:-1].flatten(0, 1))}

    return gradient


def _nothing(current: Tensor) -> tuple[Params]:
    return ({},)


def own(params: Params, name: str) -> Params:
    """The parameters of one layer by their own names."""
    start = len(name) + 1
    return {key[start:]: value for key, value in params.items() if key.startswith(f"{name}.")}
