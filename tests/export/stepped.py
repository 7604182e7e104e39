"""snnTorch models run step by step by snnTorch itself, and random ones whose sums are exact."""

from typing import NamedTuple

import snntorch
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

EXACT = st.sampled_from([0.25, 0.5, 0.75, 0.875])
"""Decays whose powers over a short window have no rounding in float64."""


class Stepped(NamedTuple):
    """Outputs (time, batch, *n) of the last layer, and spikes and membranes of each neuron layer by name."""

    output: Tensor
    z: dict[str, Tensor]
    v: dict[str, Tensor]


def stepped(module: nn.Sequential, x: Tensor, *, detached: bool = True) -> Stepped:
    """Call snnTorch's modules once a time step on x (time, batch, *shape). Its float32 spikes are lifted to the type of the input."""
    module.eval()
    outputs: list[Tensor] = []
    z: dict[str, list[Tensor]] = {}
    v: dict[str, list[Tensor]] = {}
    with torch.set_grad_enabled(not detached):
        for child in module:
            if hasattr(child, "reset_mem"):
                child.mem = torch.zeros(0, dtype=x.dtype)
                for name in {"syn", "spk"} & dict(child.named_buffers()).keys():
                    setattr(child, name, torch.zeros(0, dtype=x.dtype))
        for value in x:
            for name, child in module.named_children():
                value = child(value)
                if hasattr(child, "reset_mem"):
                    spikes = value[0] if isinstance(value, tuple) else value
                    value = spikes.to(x)
                    if hasattr(child, "spk"):
                        child.spk = value
                    z.setdefault(name, []).append(value)
                    v.setdefault(name, []).append(child.mem)
            outputs.append(value)
    stacks = ({name: torch.stack(values) for name, values in by_name.items()} for by_name in (z, v))
    return Stepped(torch.stack(outputs), *stacks)


def dyadic(*shape: int, generator: torch.Generator, denominator: int = 8) -> Tensor:
    """Multiples of 1 / denominator in -1..1: their sums and products are exact."""
    return torch.randint(-denominator, denominator + 1, shape, generator=generator).to(torch.get_default_dtype()) / denominator


def exact_weights(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Every weight a multiple of 1/8, so that the order of a sum does not matter; spread so that neurons fire."""
    for parameter in module.parameters():
        if parameter.ndim:
            parameter.data = dyadic(*parameter.shape, generator=generator) + (0.25 if parameter.ndim > 1 else 0)
    return module


@st.composite
def neurons(draw: st.DrawFn, size: int = 0) -> nn.Module:
    """Leaky, Synaptic or Lapicque, or where their number is known, RLeaky or RSynaptic; with either reset."""
    common = {
        "threshold": draw(st.sampled_from([0.5, 1.0, 1.25])),
        "init_hidden": draw(st.booleans()),
        "reset_mechanism": draw(st.sampled_from(["zero", "subtract"])),
    }
    kind = draw(st.sampled_from(["Leaky", "Synaptic", "Lapicque", *(["RLeaky", "RSynaptic"] if size else [])]))
    if kind == "Lapicque":
        circuit = {"R": torch.tensor(draw(st.sampled_from([1.0, 2.0]))), "C": torch.tensor(draw(st.sampled_from([2.0, 4.0])))}
        return snntorch.Lapicque(**circuit, **common)
    if kind == "RLeaky":
        return snntorch.RLeaky(draw(EXACT), linear_features=size, **common)
    if kind == "RSynaptic":
        return snntorch.RSynaptic(draw(EXACT), draw(EXACT), linear_features=size, **common)
    if kind == "Synaptic":
        return snntorch.Synaptic(draw(EXACT), draw(EXACT), **common)
    return snntorch.Leaky(draw(EXACT), **common)


@st.composite
def dense(draw: st.DrawFn) -> nn.Sequential:
    """Two or three dense layers, the last with neurons or without."""
    widths = draw(st.lists(st.integers(2, 6), min_size=2, max_size=3))
    layers: list[nn.Module] = []
    for before, after in zip([6, *widths], widths, strict=False):
        layers += [
            nn.Linear(before, after, bias=draw(st.booleans())),
            draw(neurons(after)),
            *draw(st.sampled_from([[], [nn.Dropout(0.5)]])),
        ]
    if draw(st.booleans()):
        layers.append(nn.Linear(widths[-1], 3))
    return exact_weights(nn.Sequential(*layers), torch.Generator().manual_seed(draw(st.integers(0, 99))))


@st.composite
def convolutional(draw: st.DrawFn) -> nn.Sequential:
    """Convolution, neurons, pooling, dense neurons on pictures (2, 8, 8)."""
    groups, dilation = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    kernel, stride = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
    padding = draw(st.sampled_from([0, 1, "valid", *(["same"] if kernel != 2 and stride == 1 else [])]))
    conv = nn.Conv2d(2, 4, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))
    pool = draw(st.sampled_from([nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1), nn.AvgPool2d((2, 2), (1, 1), divisor_override=1)]))
    body = nn.Sequential(conv, *([draw(neurons()), pool] if draw(st.booleans()) else [pool, draw(neurons())]), nn.Flatten())
    size = nn.Sequential(conv, pool, nn.Flatten())(torch.zeros(1, 2, 8, 8)).shape[1]
    return exact_weights(nn.Sequential(*body, nn.Linear(size, 3), draw(neurons())), torch.Generator().manual_seed(draw(st.integers(0, 99))))
