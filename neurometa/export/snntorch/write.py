"""A network and its parameters as a snnTorch model."""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from neurometa.core.constants import with_params
from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Norm, Offset, Pool, Scale, Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.errors import UserError
from neurometa.export.snntorch import population
from neurometa.types import Params


def to_snntorch(network: Stack, params: Params) -> nn.Sequential:
    """Write a network as a `nn.Sequential` that is called once a time step, in evaluation mode.

    Every neuron keeps its own state (`init_hidden=True`): call `snntorch.utils.reset(module)` before each window. Where the last module
    is a neuron it returns (spikes, membrane). The average over time is left to the caller, who takes the mean of the outputs:

    mean over t of module(x[t]) = network.run(params, x).output

    snnTorch holds the reset constant in derivatives, whatever `reset_gradient` says; spikes and membranes do not change by that.
    Its spikes are float32 whatever the input, so a float64 module fails in torch's own layers: give float32 parameters.

    Args:
        network: of the layers that `from_snntorch` knows.
        params: its parameters, such as `{**slow, **fast}` after an adaptation; others, such as a rule's own, are not looked at.
    Raises:
        UserError: for what snnTorch has no module for; it names the layer and what to do.
    """
    modules: list[tuple[str, nn.Module]] = []
    shape, given = network.shape, population.Input()
    kind = next((value.dtype for value in params.values()), torch.get_default_dtype())
    for at, (name, layer) in enumerate(network.layers):
        own = {key.removeprefix(f"{name}."): value.detach() for key, value in params.items() if key.startswith(f"{name}.")}
        if isinstance(layer, TimeAverage):
            _check_average(name, layer, [after for _, after in network.layers[at + 1 :]])
        elif isinstance(layer, Scale):
            given = given._replace(scale=layer.factor)
        elif isinstance(layer, Offset):
            given = given._replace(bias=own["bias"])
        elif module := _module(name, layer, own, shape, given, kind):
            modules.append((name.replace(".", "_"), module))
            given = population.Input()
        shape = layer.init(torch.Generator(), shape)[1]
    last: Any = modules[-1][1] if modules else None
    if hasattr(last, "init_hidden"):
        last.output = True
    return nn.Sequential(OrderedDict(modules)).eval()


def _module(name: str, layer: Layer, own: Params, shape: tuple[int, ...], given: population.Input, kind: torch.dtype) -> nn.Module | None:
    if isinstance(layer, Spiking):
        if layer.delay:
            raise UserError(f"layer {name} has a delay of {layer.delay} steps, snnTorch's neurons have none: use delay 0")
        neuron, learnt = with_params(layer.neuron, layer.free, own), {free.name for free in layer.free if free.learnt}
        return population.write(name, neuron, learnt, given._replace(recurrent=own.get("recurrent")), kind)
    if given != population.Input():
        raise UserError(f"layer {name} follows a Scale or an Offset, which snnTorch has as a part of its neurons only: put neurons there")
    if isinstance(layer, Linear):
        weight = own.get("weight")
        if weight is None and layer.outputs is None:  # an unwritten readout passes its input on
            return None
        if weight is None:
            raise UserError(f"{name}.weight is missing: look for a misspelt name among the parameters")
        return _filled(nn.Linear(weight.shape[1], weight.shape[0], "bias" in own), own)
    if isinstance(layer, Conv2d):
        sides: dict[str, Any] = {"stride": layer.stride, "padding": layer.pad, "dilation": layer.dilation, "groups": layer.groups}
        return _filled(nn.Conv2d(shape[0], layer.channels, layer.kernel, bias=layer.bias, **sides), own)
    if isinstance(layer, Norm):
        return _norm(name, own, shape)
    if isinstance(layer, Pool):
        if layer.kind == "max":
            return nn.MaxPool2d(layer.size, layer.stride)
        return nn.AvgPool2d(layer.size, layer.stride, divisor_override=1 if layer.kind == "sum" else None)
    if isinstance(layer, Flatten):
        return nn.Flatten()
    raise UserError(
        f"layer {name} is {type(layer).__name__}, which snnTorch has no module for; expected a layer that from_snntorch can read"
    )


def _filled(module: nn.Module, own: Params) -> nn.Module:
    """The module with copies of these parameters, in their type."""
    state = {key: value.clone() for key, value in own.items()}
    module.load_state_dict(state, assign=True)
    return module


def _norm(name: str, own: Params, shape: tuple[int, ...]) -> nn.Module:
    if "mean" not in own:
        raise UserError(
            f"{name}.mean and .var are missing, so that each batch would be its own measure: add a run's statistics to the parameters"
        )
    state = {"weight": own["gain"], "bias": own["shift"], "running_mean": own["mean"], "running_var": own["var"]}
    kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    return _filled(kind(shape[0]), {**state, "num_batches_tracked": torch.tensor(0)})


def _check_average(name: str, layer: TimeAverage, after: list[Layer]) -> None:
    """Whether averaging can wait until the end."""
    if layer.decay != 0:
        raise UserError(
            f"layer {name} averages with a leak of {layer.decay}, which snnTorch's modules cannot; expected decay 0 (readout rate)"
        )
    if layer.last:
        raise UserError(f"layer {name} averages over the last {layer.last} steps alone, which modules cannot tell; expected all of them")
    for layer_after in after:
        linear = isinstance(layer_after, Linear | Conv2d | Norm | Flatten) or (isinstance(layer_after, Pool) and layer_after.kind != "max")
        if not linear:
            raise UserError(f"layer {name} averages over time before {type(layer_after).__name__}, so it cannot wait until the end")
