"""Any `nn.Module` that keeps no state across calls, as a network."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neurometa.core.layer import Layer, Linear
from neurometa.core.network import READOUT, Stack
from neurometa.errors import UserError
from neurometa.types import Params, Record, Signal


class Module(NamedTuple):
    """A module's forward, then a readout; made by `from_module`. Its record has an output only.

    Attributes:
        shape: shape of one input, without time and batch.
        body: what computes the features; in evaluation mode, its buffers constant.
        start: initial parameters, the readout's included if it has any.
        readout: the last synapses, None in the body of a split.
        features: number of inputs of the readout.
        vmappable: whether tasks with weights of their own run under vmap, not one after another.
    """

    shape: tuple[int, ...]
    body: nn.Module
    start: Params
    readout: Linear | None
    features: int
    vmappable: bool

    def init(self, generator: torch.Generator) -> Params:
        """Copies of the parameters that the module came with; nothing is drawn."""
        return {name: value.clone() for name, value in self.start.items()}

    def signal(self, x: Tensor) -> Signal:
        """`x` as a signal: timed if it has a time axis before the batch axis."""
        return Stack(self.shape, (), self.vmappable).signal(x)

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Call the module on all of `x` at once: on (batch, *shape), or where timed on (time, batch, *shape)."""
        own = {name: params[name] for name, value in self.body.named_parameters() if value.requires_grad}
        output = functional_call(self.body, {**dict(self.body.named_buffers()), **own}, (x.values,))
        if self.readout is not None:
            weights = {key: params[name] for key in ("weight", "bias") if (name := f"{READOUT}.{key}") in params}
            output = self.readout.apply(weights, Signal(output, False), {})[0].values
        return Record(output, {}, {}, {}, {})

    def split(self) -> tuple["Module", Stack]:
        """The module before its readout, and the readout alone."""
        layers: tuple[tuple[str, Layer], ...] = () if self.readout is None else ((READOUT, self.readout),)
        body = {name: value for name, value in self.start.items() if not name.startswith(f"{READOUT}.")}
        return self._replace(start=body, readout=None), Stack((self.features,), layers, True)


def from_module(module: nn.Module, shape: tuple[int, ...], readout: str | None, *, vmappable: bool = False) -> Module:
    """Admit a module as a network, to be meta-trained by any rule and estimator.

    The network is a copy of the module in evaluation mode: dropout is off, and the buffers (a batch normalisation's running statistics)
    stay as they are, whatever is shown; so do parameters that require no gradient. The others keep their names, but
    the readout's are called `readout.weight` and `readout.bias`.

    Args:
        module: its forward takes (batch, *shape) and returns (batch, n); it must answer the same input always alike.
        shape: shape of one input, without batch.
        readout: name of the Linear submodule whose output is the module's. None if the output is features, for a readout that plasticity
            writes (prototypes), or the scores of classes, for a rule that moves the module's own weights.
        vmappable: run the tasks of a step under vmap. Faster for small dense modules; the forward must then not branch on values.
    Raises:
        UserError: where the module keeps state across calls, is random, normalises by the batch at hand, cannot be differentiated by
            torch.func, or returns something else; and where `readout` is not what it should be.
    """
    name = type(module).__name__
    body = _copied(module, name)
    _check_normalisation(body, name)
    first, second = (torch.rand(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=_type(body)) for seed in (0, 1))
    whole = _answer(body, first, name)
    _check_memory(body, first, second, name)
    start = {key: value.detach().clone() for key, value in body.named_parameters() if value.requires_grad}
    if any(key.startswith(f"{READOUT}.") for key in start) and readout != READOUT:
        raise UserError(f"{name} has parameters called {READOUT}.*, which are the readout's here: give readout={READOUT!r} or rename it")
    head = Linear(None)
    if readout is not None:
        layer = _submodule(body, readout, name)
        if f"{readout}.weight" not in start:
            raise UserError(
                f"{name}.{readout} has a weight that is frozen or shared with another module: "
                "give the readout a weight of its own that may train"
            )
        start = {_renamed(key, readout): value for key, value in start.items()}
        head = Linear(layer.out_features, layer.bias is not None)
        body.set_submodule(readout, nn.Identity())
        _check_last(body, layer, first, whole, f"{name}.{readout}")
    network = Module(shape, body, start, head, _answer(body, first, name).shape[1], vmappable)
    _check_derivative(network, first, name)
    return network


def _copied(module: nn.Module, name: str) -> nn.Module:
    try:
        return copy.deepcopy(module).eval()
    except RuntimeError as error:
        raise UserError(f"{name} holds tensors with a history, so it keeps state across calls: reset its state, or return it") from error


def _type(module: nn.Module) -> torch.dtype:
    return next((value.dtype for value in module.parameters()), torch.get_default_dtype())


def _check_normalisation(module: nn.Module, name: str) -> None:
    for key, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
            raise UserError(
                f"{name}.{key} is {type(part).__name__} without running statistics, so queries would be normalised by one another: "
                "use track_running_stats=True, whose statistics stay as they are, or GroupNorm"
            )


@torch.no_grad()
def _answer(module: nn.Module, x: Tensor, name: str) -> Tensor:
    try:
        y: Any = module(x)
    except Exception as error:
        raise UserError(f"{name} fails on an input of shape {tuple(x.shape)}: {' '.join(str(error).split())}") from error
    if not isinstance(y, Tensor) or y.ndim != 2 or len(y) != len(x):
        given = f"a tensor of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise UserError(f"{name} returns {given} for an input of shape {tuple(x.shape)}, one tensor of shape ({len(x)}, n) expected")
    return y


def _check_memory(module: nn.Module, first: Tensor, second: Tensor, name: str) -> None:
    """Whether what was shown before changes an answer: by showing, and by moving every tensor that a call leaves changed."""
    module = copy.deepcopy(module)
    answer, seen = _answer(module, first, name), _held(module)
    _answer(module, second, name)
    changed = [key for key, value in _held(module).items() if key not in seen or not torch.equal(value, seen[key])]
    alike = torch.equal(answer, _answer(module, first, name))
    for shift in (1e3, -1e3):
        for value in _held(module, changed, copies=False).values():
            value.add_(shift)
        alike = alike and torch.equal(answer, _answer(module, first, name))
    if not alike:
        where = f" (in {', '.join(changed)})" if changed else ""
        raise UserError(
            f"{name} does not answer the same input always alike: it keeps state across calls{where}, or is random. Expected a module that "
            "begins afresh in every forward; a nn.Sequential of snnTorch neurons goes through neurometa.from_snntorch"
        )


def _held(module: nn.Module, names: list[str] | None = None, *, copies: bool = True) -> dict[str, Tensor]:
    """Tensors of numbers that the module holds beside its parameters, buffers or plain attributes, all or those named."""
    found = {f"{key}.{name}".removeprefix("."): value for key, part in module.named_modules() for name, value in vars(part).items()}
    found |= dict(module.named_buffers())
    kept = {name: value for name, value in found.items() if isinstance(value, Tensor) and value.is_floating_point()}
    return {name: value.clone() if copies else value for name, value in kept.items() if names is None or name in names}


def _submodule(module: nn.Module, readout: str, name: str) -> nn.Linear:
    found = dict(module.named_modules()).get(readout)
    if type(found) is not nn.Linear:
        known = [key for key, part in module.named_modules() if type(part) is nn.Linear]
        given = "no submodule" if found is None else type(found).__name__
        raise UserError(
            f"{name}.{readout} is {given}, Linear expected: one of {', '.join(known) or 'none in this module'}, or readout=None"
        )
    return found


def _renamed(name: str, readout: str) -> str:
    return f"{READOUT}.{name.removeprefix(f'{readout}.')}" if name.startswith(f"{readout}.") else name


def _check_last(body: nn.Module, layer: nn.Linear, x: Tensor, whole: Tensor, name: str) -> None:
    """Whether `layer` on the features is the whole answer."""
    try:
        features = _answer(body, x, name)
        last = features.shape[1] == layer.in_features and torch.allclose(layer(features), whole)
    except UserError:
        last = False
    if not last:
        raise UserError(
            f"{name} is not the last thing in the forward, expected the module's output to be its: name another, or readout=None"
        )


def _check_derivative(network: Module, x: Tensor, name: str) -> None:
    def total(params: Params) -> Tensor:
        return network.run(params, network.signal(x)).output.sum()

    try:
        torch.func.grad(total)(network.start)
    except RuntimeError as error:
        raise UserError(
            f"{name} cannot be differentiated by torch.func: {' '.join(str(error).split())[:200]}. snnTorch's surrogates cannot: "
            "use neurometa.core.surrogate.spike, or neurometa.from_snntorch"
        ) from error
