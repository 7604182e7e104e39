"""A snnTorch model as a network and its parameters."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from neurometa.core.layer import EPSILON, Conv2d, Flatten, Layer, Linear, Norm, Pool, Spiking, TimeAverage
from neurometa.core.network import READOUT, Stack, stacked
from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError
from neurometa.export.snntorch import neuron
from neurometa.types import Params

DROPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
"""Modules that do nothing in evaluation."""


class Part(NamedTuple):
    """One layer under its name, and its parameters under theirs."""

    name: str
    layer: Layer
    params: Params


def from_snntorch(
    module: nn.Module,
    shape: tuple[int, ...] | None = None,
    steps: int = 25,
    *,
    embedding: bool = False,
    surrogate: Surrogate | None = None,
) -> tuple[Stack, Params]:
    """Read a `nn.Sequential` of torch's layers and snnTorch's neurons.

    Converted are Linear, Conv2d, MaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Flatten, and the neurons Leaky, Synaptic, Lapicque,
    and, all to all, RLeaky and RSynaptic, their constants shared or of each neuron. Dropout is left out: the network is the module in
    evaluation. A batch normalisation's running statistics become `<name>.mean` and `<name>.var`; constants that the module learns
    (`learn_beta`, `learn_threshold`, `learn_alpha`) become the parameters of `core.constants`, such as `<name>.logit_decay`. Names are the
    module's own, but the last Linear is called `readout`: what plasticity of the readout moves, and a recurrent neuron's weights are
    `<name>.recurrent` and `<name>-input.bias`. The network begins at rest, whatever state the module holds.

    The network's output is the mean over time of the last layer: a firing rate where the module ends in neurons. Step by step, the spikes
    and membranes in a run's record (`z`, `v`, before the reset, as snnTorch reports them) are snnTorch's own: exactly with a reset to
    zero, up to the order of three additions with a subtractive one, and of the synapses' sums, which are done for all steps at once.
    In float64, snnTorch rounds its reset to float32.

    Args:
        module: `nn.Sequential`, also nested, with `init_hidden` or without.
        shape: shape of one input, without time and batch; not needed where the first layer is Linear.
        steps: time steps for which an input without time axis is held.
        embedding: take the whole module's output, averaged over time, as features of a readout that plasticity writes (prototypes).
        surrogate: use this derivative of the spike in place of each neuron's own.
    Returns:
        The network, and its parameters: copies, to be trained or changed freely.
    Raises:
        UserError: for what cannot be converted; it names the layer and what to do.
    """
    found = [(name, child) for name, child in _children(module, "") if type(child) not in DROPPED]
    parts = [part for name, child in found for part in _part(name, child, steps, surrogate)]
    if shape is None:
        shape = _features(found)
    parts = _with_embedding_readout(parts, shape) if embedding else _with_own_readout(parts)
    network = stacked(shape, [(part.name, part.layer) for part in parts])
    params = {f"{part.name}.{key}": value.detach().clone() for part in parts for key, value in part.params.items()}
    _check_shapes(network, params)
    return network, params


def _children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Leaves of nested Sequentials in order, under the names they have in the state dictionary."""
    if type(module) is not nn.Sequential:
        raise UserError(
            f"{type(module).__name__} given, nn.Sequential expected: the order of another module's layers stands in its forward alone; "
            "give nn.Sequential(net.fc1, net.lif1, ...), or use neurometa.from_module"
        )
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            yield from _children(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _part(name: str, module: nn.Module, steps: int, surrogate: Surrogate | None) -> list[Part]:
    kind = type(module).__name__
    where = f"layer {name}"
    if module._forward_hooks or module._forward_pre_hooks:
        raise UserError(f"{where} ({kind}) has forward hooks, which cannot be converted: remove them, such as by remove_weight_norm")
    if type(module) in SYNAPSES:
        layer = SYNAPSES[type(module)](module, where)
        return [Part(name, layer, _params(module))]
    if type(module).__module__.startswith("snntorch.") and kind in neuron.READERS:
        read = neuron.READERS[kind](module, where, steps, surrogate)
        before = [] if read.before is None else [Part(f"{name}-input", read.before, read.params_before or {})]
        return [*before, Part(name, read.layer, read.params)]
    known = ", ".join([*(known.__name__ for known in SYNAPSES), *(known.__name__ for known in DROPPED), *neuron.READERS])
    raise UserError(f"{where} is {kind}, which cannot be converted; expected one of {known}: change it, or use neurometa.from_module")


def _params(module: Any) -> Params:
    """Weights and statistics under our names; the normalisation of a module without affine has gain 1 and shift 0."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        statistics: Any = module.running_mean
        gain = torch.ones_like(statistics) if module.weight is None else module.weight
        shift = torch.zeros_like(statistics) if module.bias is None else module.bias
        return {"gain": gain, "shift": shift, "mean": statistics, "var": cast("torch.Tensor", module.running_var)}
    return dict(module.named_parameters())


def _linear(module: nn.Linear, where: str) -> Layer:
    return Linear(module.out_features, module.bias is not None)


def _conv(module: nn.Conv2d, where: str) -> Layer:
    kernel, stride, dilation = (_square(getattr(module, name), f"{where}.{name}") for name in ("kernel_size", "stride", "dilation"))
    if module.padding_mode != "zeros":
        raise UserError(f'{where}.padding_mode = "{module.padding_mode}" given, "zeros" expected: pad the input instead')
    if module.padding == "same" and kernel % 2 == 0:
        raise UserError(f'{where} has padding "same" with an even kernel of {kernel}, which pads one side more: use an odd one')
    named = {"valid": 0, "same": dilation * (kernel // 2)}
    padding = named[module.padding] if isinstance(module.padding, str) else _square(module.padding, f"{where}.padding")
    return Conv2d(module.out_channels, kernel, stride, module.bias is not None, padding, dilation, module.groups)


def _pool(module: Any, where: str) -> Layer:
    plain = {"padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False}
    for name, expected in plain.items():
        given = getattr(module, name, expected)
        if given not in (expected, (expected, expected)):
            raise UserError(f"{where}.{name} = {given} given, {expected} expected: pad or crop the input instead")
    divisor = getattr(module, "divisor_override", None)
    if divisor not in (None, 1):
        raise UserError(f"{where}.divisor_override = {divisor} given, None or 1 expected: scale the next layer's weights")
    kind = "max" if isinstance(module, nn.MaxPool2d) else "sum" if divisor == 1 else "average"
    size, stride = (_square(getattr(module, name), f"{where}.{name}") for name in ("kernel_size", "stride"))
    return Pool(size, kind, None if stride == size else stride)


def _norm(module: Any, where: str) -> Layer:
    if module.running_mean is None:
        raise UserError(f"{where} keeps no running statistics, so each batch would be its own measure: use track_running_stats=True")
    if module.eps != EPSILON:
        raise UserError(f"{where}.eps = {module.eps} given, {EPSILON} expected: add the difference to running_var and set eps={EPSILON}")
    return Norm()


def _flatten(module: nn.Flatten, where: str) -> Layer:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise UserError(f"{where} flattens axes {module.start_dim} to {module.end_dim}, 1 to -1 expected: use nn.Flatten()")
    return Flatten()


SYNAPSES: dict[type[nn.Module], Callable[[Any, str], Layer]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.Flatten: _flatten,
}


def _square(value: Any, where: str) -> int:
    """One number of two equal ones."""
    pair = value if isinstance(value, tuple) else (value, value)
    if pair[0] != pair[1]:
        raise UserError(f"{where} = {value} given, the same in both directions expected")
    return int(pair[0])


def _features(found: list[tuple[str, nn.Module]]) -> tuple[int]:
    if not found or not isinstance(found[0][1], nn.Linear):
        raise UserError("no shape given and the first layer is not Linear: give the shape of one input, such as shape=(1, 28, 28)")
    return (found[0][1].in_features,)


def _with_own_readout(parts: list[Part]) -> list[Part]:
    """Call the last Linear `readout` and average over time: before it where no neuron follows, which changes nothing, or at the end."""
    synapses = [i for i, part in enumerate(parts) if isinstance(part.layer, Linear)]
    if not synapses:
        raise UserError("the module has no Linear layer, whose weights would be the readout: add one, or give embedding=True")
    at = synapses[-1]
    parts = [*parts[:at], parts[at]._replace(name=READOUT), *parts[at + 1 :]]
    fires = any(isinstance(part.layer, Spiking) for part in parts[at:])
    when = len(parts) if fires else at
    return [*parts[:when], Part("average", TimeAverage(), {}), *parts[when:]]


def _with_embedding_readout(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
    added: list[tuple[str, Layer]] = [("average", TimeAverage()), ("flatten", Flatten()), (READOUT, Linear(None))]
    return [*parts, *(Part(name, layer, {}) for name, layer in added)]


def _check_shapes(network: Stack, params: Params) -> None:
    """Whether each layer's parameters fit what comes before it."""
    shape = network.shape
    for name, layer in network.layers:
        if isinstance(layer, Linear) and len(shape) != 1:
            raise UserError(f"layer {name} is Linear on an input of shape {shape}: put nn.Flatten() before it")
        expected, shape_after = layer.init(torch.Generator(), shape)
        for key, value in expected.items():
            given = params[f"{name}.{key}"]
            if given.shape != value.shape:
                raise UserError(f"{name}.{key} has shape {tuple(given.shape)}, but an input of shape {shape} needs {tuple(value.shape)}")
        shape = shape_after
