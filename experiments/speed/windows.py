"""What is timed by `experiments.speed.lif`: windows of leaky integrate-and-fire layers, ours and the bare matrix products they need."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.network import mlp_network
from neurometa.core.neuron import LIF
from neurometa.core.surrogate import Surrogate
from neurometa.types import Params

NEURON = LIF(decay=0.5, threshold=1.0, hard_reset=True, reset_gradient=False, surrogate=Surrogate("fast-sigmoid", 3.0))
"""A neuron that every library has: hard reset, held constant in derivatives. Recurrent layers reset by subtraction instead, because
snnTorch's `RLeaky` computes its recurrent product twice, and takes away the input too, when it resets to zero.
"""

RATE = 0.2
"""Share of the input's entries that are spikes."""


class Case(NamedTuple):
    """A stack of layers shown random spikes.

    Attributes:
        name: as published.
        sizes: inputs, then neurons of each layer.
        batch: examples shown at once.
        recurrent: whether each layer hears its own last spikes.
        steps: time steps.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    recurrent: bool = False
    steps: int = 100

    @property
    def neuron(self) -> LIF:
        """Constants of every layer."""
        return NEURON._replace(hard_reset=not self.recurrent)

    def inputs(self, dtype: torch.dtype) -> Tensor:
        """Random spikes (time, batch, inputs)."""
        return (torch.rand(self.steps, self.batch, self.sizes[0], generator=torch.Generator().manual_seed(1)) < RATE).to(dtype)

    def params(self, dtype: torch.dtype) -> Params:
        """Weights `in<i>` and, where recurrent, `back<i>`, that make every layer spike at a sensible rate; no bias."""
        generator, params = torch.Generator().manual_seed(2), {}
        for i, (pre, post) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            params[f"in{i}"] = torch.randn(post, pre, generator=generator) * (0.8 / (pre * RATE) ** 0.5)
            if self.recurrent:
                params[f"back{i}"] = torch.randn(post, post, generator=generator) * (0.8 / post**0.5)
        return {name: value.to(dtype) for name, value in params.items()}


class Contestant(NamedTuple):
    """One way to run a case.

    Attributes:
        run: () -> mean rates of the last layer (batch, n), and its spikes (time, batch, n), None where there are none.
        weights: what `run` is differentiated by.
    """

    run: Callable[[], tuple[Tensor, Tensor | None]]
    weights: list[Tensor]

    def forward(self) -> None:
        """Once, without derivatives."""
        with torch.no_grad():
            self.run()

    def both(self) -> None:
        """Once, with the gradient of a weighted sum of rates."""
        rates, _ = self.run()
        torch.autograd.grad((rates * torch.linspace(-1, 1, rates.shape[-1], dtype=rates.dtype)).sum(), self.weights)


CASES = (
    Case("ff-128-128-b8", (128, 128), 8),
    Case("ff-512-512-b64", (512, 512), 64),
    Case("ff-784-512-512-10-b64", (784, 512, 512, 10), 64),
    Case("rec-128-b8", (128, 128), 8, recurrent=True),
    Case("rec-256-b64", (256, 256), 64, recurrent=True),
)


def neurometa(case: Case, x: Tensor, params: Params) -> Contestant:
    """Ours: `run` of an `mlp_network`."""
    network = mlp_network(case.sizes[:1], case.sizes[1:], neuron=case.neuron, steps=case.steps, recurrent=case.recurrent)
    names = {f"in{i}": f"linear{i}.weight" for i in range(1, len(case.sizes))}
    names |= {f"back{i}": f"lif{i}.recurrent" for i in range(1, len(case.sizes))}
    mine = {names[name]: value.clone().requires_grad_() for name, value in params.items()}
    last = f"lif{len(case.sizes) - 1}"

    def run() -> tuple[Tensor, Tensor]:
        record = network.run(mine, network.signal(x))
        return record.output, record.z[last]

    return Contestant(run, list(mine.values()))


def products(case: Case, x: Tensor, params: Params) -> Contestant:
    """The matrix products alone, which no dense implementation can do without: all steps at once, but one by one where recurrent."""
    weights = [value.clone().requires_grad_() for value in params.values()]
    pairs = list(zip(weights[::2], weights[1::2], strict=True)) if case.recurrent else [(weight, None) for weight in weights]

    def run() -> tuple[Tensor, None]:
        y = x
        for weight, back in pairs:
            y = F.linear(y.flatten(0, 1), weight).unflatten(0, y.shape[:2])
            y = y if back is None else _Returned.apply(y, back)
        return y[-1], None

    return Contestant(run, weights)


class _Returned(torch.autograd.Function):
    """As many products as a recurrent layer has, of the same sizes, on numbers that do not matter."""

    @staticmethod
    def forward(ctx, y: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(y, back)
        out, turned = torch.empty_like(y[0]), back.t()
        for step in y.unbind(0)[:-1]:
            torch.mm(step, turned, out=out)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        y, back = ctx.saved_tensors
        out = torch.empty_like(y[0])
        for step in gradient.unbind(0)[1:]:
            torch.mm(step, back, out=out)
        return gradient, gradient[1:].flatten(0, 1).t() @ y[:-1].flatten(0, 1)
