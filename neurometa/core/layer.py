"""Layers: small immutable descriptions with pure `init` and `apply`. Everything stateless works on time and batch as one axis."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.check import check_constants
from neurometa.core.compiled import windows
from neurometa.core.constants import Free, with_params
from neurometa.core.neuron import Neuron
from neurometa.core.recurrent_scan import FUSED, recurrent_states
from neurometa.core.scan import states
from neurometa.core.sparse import linear
from neurometa.errors import UserError
from neurometa.types import Params, Signal

EPSILON = 1e-5
"""Added to a variance before its square root."""


class Layer(Protocol):
    """One stage of a network."""

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """Draw parameters for input of `shape` (no time, no batch) and say the shape of the output."""
        ...

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Transform the signal; the second value is what to note in the record: `mean` and `var`, or `z`, `v` and other state over time."""
        ...


def _each(x: Signal, function: Callable[[Tensor], Tensor]) -> Signal:
    """Apply a function of (batch, *shape) to every time step at once."""
    if not x.timed:
        return Signal(function(x.values), False)
    steps, batch = x.values.shape[:2]
    y = function(x.values.flatten(0, 1))
    return Signal(y.unflatten(0, (steps, batch)), True)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """Uniform on +-sqrt(6 / fan_in): He et al. 2015, doi:10.1109/ICCV.2015.123, equation 10 as a uniform law."""
    return (torch.rand(shape, generator=generator) * 2 - 1) * math.sqrt(6 / fan_in)


class Linear(NamedTuple):
    """y = x W^T + b, with W of shape (post, pre).

    With `outputs` None it has no parameters and passes its input on until plasticity has written some: a prototype's readout.

    Attributes:
        outputs, bias: as their names say.
        dense: always multiply, never sum rows of W, see `sparse.linear`.
    """

    outputs: int | None
    bias: bool = True
    dense: bool = False

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """Weights (outputs, inputs) and a zero bias."""
        if self.outputs is None:
            return {}, shape
        params = {"weight": _uniform((self.outputs, shape[0]), shape[0], generator)}
        if self.bias:
            params["bias"] = torch.zeros(self.outputs)
        return params, (self.outputs,)

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Multiply the last axis."""
        if "weight" not in params and self.outputs is None:
            return x, {}
        if "weight" not in params:
            raise UserError(f"a dense layer of {self.outputs} outputs without its parameter `weight` given: look for a misspelt name")
        product = F.linear if self.dense else linear
        return _each(x, lambda values: product(values, params["weight"], params.get("bias"))), {}


class Conv2d(NamedTuple):
    """Two-dimensional convolution; W of shape (post, pre / groups, kernel, kernel).

    Attributes:
        channels, kernel, stride, bias: as their names say; kernels are square.
        padding: zeros added on every side, None for half of what the kernel reaches.
        dilation: distance between the pixels under the kernel.
        groups: parts into which the channels fall, each convolved on its own.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    bias: bool = False
    padding: int | None = None
    dilation: int = 1
    groups: int = 1

    @property
    def pad(self) -> int:
        """Zeros added on every side."""
        return self.dilation * (self.kernel // 2) if self.padding is None else self.padding

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """Weights and, if wanted, a zero bias."""
        pre, *size = shape
        pre //= self.groups
        params = {"weight": _uniform((self.channels, pre, self.kernel, self.kernel), pre * self.kernel**2, generator)}
        if self.bias:
            params["bias"] = torch.zeros(self.channels)
        reach = self.dilation * (self.kernel - 1) + 1
        return params, (self.channels, *(max(0, (n + 2 * self.pad - reach) // self.stride + 1) for n in size))

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Convolve; kept channels-last, which is up to twice as fast on CPU."""
        weight = _channels_last(params["weight"])

        def convolve(values: Tensor) -> Tensor:
            values = _channels_last(values)
            y = F.conv2d(values, weight, params.get("bias"), self.stride, self.pad, self.dilation, self.groups)
            return _channels_last(y)

        return _each(x, convolve), {}


def _lifted(x: Tensor) -> Tensor:
    """Numbers of 16 bits as 32: what is summed or integrated over time needs them."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _channels_last(x: Tensor) -> Tensor:
    """The same tensor with its channels side by side in memory; `contiguous(memory_format=...)` does not work under vmap."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class Norm(NamedTuple):
    """Batch normalisation over time, batch and space: y = gain (x - mean) / sqrt(var + 1e-5) + shift.

    With `mean` and `var` among the parameters these are used; without, they are measured on the batch at hand and noted,
    so that the caller decides whose statistics are used (a query set's never are). Affine by hand, because the fused
    operation has wrong second derivatives under vmap. A linear map of the preceding synapses, so export can fold it.

    Attributes:
        gain: initial gain; what makes the next neurons fire at a sensible rate.
        shift: initial shift.
    Source:
        Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    gain: float = 1.0
    shift: float = 0.0

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """One gain and one shift a channel."""
        return {"gain": torch.full((shape[0],), self.gain), "shift": torch.full((shape[0],), self.shift)}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Normalise the channel axis."""
        values = _lifted(x.values)
        channel = 2 if x.timed else 1
        others = [axis for axis in range(values.ndim) if axis != channel]
        notes: Params = {}
        if "mean" in params:
            mean, var = params["mean"], params["var"]
        else:
            var, mean = torch.var_mean(values, dim=others, correction=0)
            notes = {"mean": mean, "var": var}
        scale = params["gain"] * torch.rsqrt(var + EPSILON)
        shape = [-1] + [1] * (values.ndim - channel - 1)
        shift = (params["shift"] - mean * scale).reshape(shape)
        return Signal(torch.addcmul(shift, values, scale.reshape(shape)), x.timed), notes


class Pool(NamedTuple):
    """Pooling over `size` x `size` windows: "average", "sum" or "max"; a window begins every `stride` pixels, None for every `size`."""

    size: int = 2
    kind: str = "average"
    stride: int | None = None

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, (shape[0], *(max(0, (n - self.size) // (self.stride or self.size) + 1) for n in shape[1:]))

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Pool the last two axes."""
        if self.kind == "max":
            return _each(x, lambda values: F.max_pool2d(values, self.size, self.stride)), {}
        divisor = None if self.kind == "average" else 1
        return _each(x, lambda values: F.avg_pool2d(values, self.size, self.stride, divisor_override=divisor)), {}


class Scale(NamedTuple):
    """y = factor * x: what turns an input current into a change of potential."""

    factor: float

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Multiply."""
        return Signal(self.factor * x.values, x.timed), {}


class Offset(NamedTuple):
    """y = x + bias: a current that is always there."""

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """A zero bias of each value."""
        return {"bias": torch.zeros(shape)}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Add."""
        return Signal(x.values + params["bias"], x.timed), {}


class Spiking(NamedTuple):
    """A population of neurons; an untimed signal is a current held for `steps` steps.

    Attributes:
        neuron: constants of the population.
        steps: time steps for which an untimed signal is held.
        free: constants that live among the parameters, see `constants.Free`.
        recurrent: whether each neuron hears the last spikes of all, through weights called `recurrent`, (n, n), post by pre.
        delay: time steps that a spike takes to the next layer, 0 or 1. Spikes within the population always take one.
        kernel: of the scan, see `scan`; default the fastest.
    """

    neuron: Neuron
    steps: int
    free: tuple[Free, ...] = ()
    recurrent: bool = False
    delay: int = 0
    kernel: str | None = None

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """The free constants, and recurrent weights.

        These are uniform with variance 1 / n, so that a pattern of spikes comes back, on average, as long as it was.

        Raises:
            UserError: a constant or the delay is out of range, or the neurons of a recurrent population do not lie in a row.
        """
        check_constants(self.neuron)
        if self.delay not in (0, 1):
            raise UserError(f"a delay of {self.delay} steps given, 0 or 1 expected")
        params = {free.key: free.init(self.neuron, shape, generator) for free in self.free}
        if not self.recurrent:
            return params, shape
        if len(shape) != 1:
            raise UserError(f"recurrent neurons of shape {shape} given, a row of them expected: only dense layers can be recurrent")
        return {**params, "recurrent": _uniform((shape[0], shape[0]), 2 * shape[0], generator)}, shape

    def runs_on(self, kernel: str | None) -> bool:
        """Whether a kernel knows this population."""
        if kernel in (None, "reference"):
            return True
        if self.recurrent:
            return kernel == "numba" and isinstance(self.neuron, FUSED)
        return windows.knows(kernel, self.neuron) and not (kernel == "triton" and self.free)

    def constants(self, params: Params) -> Any:
        """The neuron, its free constants taken from the layer's parameters."""
        return with_params(self.neuron, self.free, params)

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Integrate and fire; every field of the neuron's state is noted, over time. Currents of 16 bits are integrated in 32."""
        steps = x.values.shape[0] if x.timed else self.steps
        current = x.values if x.timed else x.values.unsqueeze(0)
        current = _lifted(current)
        neuron = self.constants(params)
        before = _state(neuron, current, state) if state else None
        if self.recurrent:
            found = recurrent_states(neuron, current, _lifted(params["recurrent"]), steps, before, self.kernel)
        else:
            found = states(neuron, current, steps, before, self.kernel)
        sent = neuron.output(found)
        if sent.dtype != x.values.dtype and not torch.is_autocast_enabled(sent.device.type):
            sent = sent.to(x.values.dtype)  # on to weights of 16 bits, where all are
        return Signal(_late(sent, None if before is None else neuron.output(before)) if self.delay else sent, True), found._asdict()


def _late(sent: Tensor, before: Tensor | None) -> Tensor:
    """What was sent one step earlier; at the first step, what the state remembers."""
    first = torch.zeros_like(sent[:1]) if before is None else before.unsqueeze(0)
    return torch.cat([first, sent[:-1]])


def _state(neuron: Neuron, current: Tensor, fields: Params) -> Any:
    """The neuron's state from its fields by name."""
    rest = neuron.rest(current[0])
    if set(fields) != set(rest._fields):
        raise UserError(f"state with {', '.join(sorted(fields))} given to {type(neuron).__name__}, {', '.join(rest._fields)} expected")
    return type(rest)(**fields)


class TimeAverage(NamedTuple):
    """Readout over time, placed before the last synapses because a linear map commutes with it.

    decay = 0   the mean of the input over time: a spike rate, or a non-spiking accumulator
    decay > 0   the mean over time of a leaky integrator's membrane u[t] = decay u[t-1] + (1 - decay) x[t]

    An untimed signal passes unchanged: the mean of a constant.

    Attributes:
        decay: leak of the integrator.
        last: steps at the end of the window over which is averaged; 0 for all. The integrator hears the whole window.
    """

    decay: float = 0.0
    last: int = 0

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, shape

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Average the time axis away."""
        if not x.timed:
            return x, {}
        steps = x.values.shape[0]
        counted = min(self.last or steps, steps)
        if self.decay == 0:
            return Signal(x.values[steps - counted :].sum(0) / counted, False), {}  # the gradient of a sum is expanded, not copied
        left = torch.arange(steps, 0, -1, dtype=x.values.dtype, device=x.values.device)
        before = (left - counted).clamp(min=0)  # steps for which the integrator is not looked at yet
        weights = (self.decay**before - self.decay**left) / counted  # mean over the rest of the window of what one input leaves
        return Signal(torch.tensordot(weights, x.values, dims=1), False), {}


class Flatten(NamedTuple):
    """All axes of one example into one."""

    def init(self, generator: torch.Generator, shape: tuple[int, ...]) -> tuple[Params, tuple[int, ...]]:
        """No parameters."""
        return {}, (math.prod(shape),)

    def apply(self, params: Params, x: Signal, state: Params) -> tuple[Signal, Params]:
        """Flatten what follows time and batch."""
        return Signal(x.values.flatten(2 if x.timed else 1), x.timed), {}
