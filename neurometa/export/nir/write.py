"""A network and its parameters as a NIR graph.

Time is discretised by forward Euler with step dt, as snnTorch and Norse do, so that with the constants written here

    LIF      v <- v + dt/tau (v_leak - v + r I)                    is   v <- decay v + I          tau = dt / (1 - decay), r = tau / dt
    CubaLIF  i <- i + dt/tau_syn (w_in S - i), v likewise          is   i <- current_decay i + S, v <- decay v + i
    IF       v <- v + dt r I                                       is   v <- v + I                r = 1 / dt

What NIR has no word for stands in the metadata, as JSON under "neurometa", see docs/nir.md.
"""

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor

from neurometa.core.constants import with_params
from neurometa.core.layer import EPSILON, Conv2d, Flatten, Layer, Linear, Norm, Offset, Pool, Scale, Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.core.neuron import IF, LIF, CurrentLIF
from neurometa.errors import UserError
from neurometa.types import Params

VERSION = 1
"""Of what stands in the metadata."""

KEY = "neurometa"


def write_nir(path: Path, graph: nir.NIRGraph) -> None:
    """Write a graph to a file.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        nir.write(path, graph)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another folder with --out") from None


def to_nir(network: Stack, params: Params, dt: float = 1e-4, steps: int = 25, about: dict[str, Any] | None = None) -> nir.NIRGraph:
    """Write a network as a graph: Linear, Conv2d, pools, Flatten, LIF, CurrentLIF and IF neurons, recurrent ones and delays among them.

    Normalisation, scales and offsets are folded into the weights before them. The average over time is not a node: the metadata says before
    which node it stands. A reset stands in each neuron's metadata ("hard" or "subtract"): NIR's own is to `v_reset`, 0.

    Args:
        network: layers in a row; a readout that nobody has written is left out.
        params: its parameters.
        dt: length of a time step in seconds.
        steps: time steps of a window.
        about: what else to note, such as the plasticity: plain data.
    Raises:
        UserError: a layer that NIR has no node for; the message names it.
    """
    if dt <= 0:
        raise UserError(f"dt = {dt} given, expected a time step above 0 s")
    chain = _Chain(network.shape)
    for name, layer in network.layers:
        own = {key.removeprefix(f"{name}."): _double(value) for key, value in params.items() if key.startswith(f"{name}.")}
        _add(chain, name, layer, own, dt)
    chain.node("output", nir.Output(output_type={"output": np.array(chain.shape)}))
    noted = {"version": VERSION, "dt": dt, "steps": steps, "shape": list(network.shape), "average_before": chain.average, **(about or {})}
    return nir.NIRGraph(chain.nodes, chain.edges, metadata={KEY: json.dumps(noted, allow_nan=False)}, type_check=False)


class _Chain:
    """The graph as it grows."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.last, self.average = shape, "input", ""
        self.nodes: dict[str, Any] = {"input": nir.Input(input_type={"input": np.array(shape)})}
        self.edges: list[tuple[str, str]] = []
        self.averaged = False

    def node(self, name: str, node: Any) -> None:
        """Append a node."""
        if name in self.nodes:
            raise UserError(f"layer {name} has a name that the graph needs for itself: give it another")
        self.nodes[name] = node
        self.edges.append((self.last, name))
        self.last = name
        if self.averaged and not self.average:
            self.average = name


def _add(chain: _Chain, name: str, layer: Layer, own: dict[str, np.ndarray], dt: float) -> None:
    """Append what a layer becomes."""
    shape = layer.init(torch.Generator(), chain.shape)[1]
    if isinstance(layer, Linear):
        if "weight" not in own:
            return
        shape = (len(own["weight"]),)
        bias = own.get("bias")
        chain.node(name, nir.Linear(own["weight"]) if bias is None else nir.Affine(own["weight"], bias))
    elif isinstance(layer, Conv2d):
        bias = own.get("bias", np.zeros(layer.channels))
        size = (chain.shape[1], chain.shape[2])
        chain.node(name, nir.Conv2d(size, own["weight"], layer.stride, layer.pad, layer.dilation, layer.groups, bias))
    elif isinstance(layer, Norm | Scale | Offset):
        _fold(chain, name, layer, own)
    elif isinstance(layer, Pool):
        if layer.kind == "max":
            raise UserError(
                f"layer {name} takes the maximum of a window, which NIR has no node for: train with pooling = 'average' or 'sum'"
            )
        size = np.array([layer.size, layer.size])
        node = nir.AvgPool2d if layer.kind == "average" else nir.SumPool2d
        chain.node(name, node(size, np.array([layer.stride or layer.size] * 2), np.array([0, 0])))
    elif isinstance(layer, Flatten):
        if len(chain.shape) > 1:
            chain.node(name, nir.Flatten({"input": np.array(chain.shape)}, 0, -1))
    elif isinstance(layer, TimeAverage):
        if layer.decay:
            raise UserError(f"layer {name} is a leaky readout, which is not written to NIR: train with network.readout = 'rate'")
        chain.averaged = True
    elif isinstance(layer, Spiking):
        _population(chain, name, layer, own, shape, dt)
    else:
        raise UserError(
            f"layer {name} is {type(layer).__name__}, which NIR has no node for: expected Linear, Conv2d, Pool, Flatten, Spiking"
        )
    chain.shape = shape


def _fold(chain: _Chain, name: str, layer: Layer, own: dict[str, np.ndarray]) -> None:
    """Multiply and shift the weights before."""
    node = chain.nodes[chain.last]
    if not isinstance(node, nir.Affine | nir.Linear | nir.Conv2d):
        raise UserError(f"layer {name} ({type(layer).__name__}) follows no weights it could be folded into: put it behind Linear or Conv2d")
    bias = getattr(node, "bias", np.zeros(len(node.weight)))
    scale, shift = np.ones(len(node.weight)), np.zeros(len(node.weight))
    if isinstance(layer, Norm):
        if "mean" not in own:
            raise UserError(f"layer {name} has no statistics: export a trained network")
        scale = own["gain"] / np.sqrt(own["var"] + EPSILON)
        shift = own["shift"] - own["mean"] * scale
    elif isinstance(layer, Scale):
        scale = scale * layer.factor
    elif own["bias"].shape == shift.shape:
        shift = own["bias"]
    else:
        raise UserError(f"layer {name} shifts each pixel by itself, which a Conv2d of NIR cannot: use a bias of its channels")
    weight = node.weight * scale.reshape(-1, *[1] * (node.weight.ndim - 1))
    if isinstance(node, nir.Conv2d):
        node.weight, node.bias = weight, bias * scale + shift
    else:
        chain.nodes[chain.last] = nir.Affine(weight, bias * scale + shift)


def _population(chain: _Chain, name: str, layer: Spiking, own: dict[str, np.ndarray], shape: tuple[int, ...], dt: float) -> None:
    """Neurons, their recurrent weights and their delay."""
    neuron: Any = with_params(layer.neuron, layer.free, {key: torch.from_numpy(value) for key, value in own.items()})
    if not isinstance(neuron, LIF | IF | CurrentLIF):
        raise UserError(f"layer {name} is {type(neuron).__name__}, which NIR has no node for: expected lif, if or current-lif")
    reset = {"reset": "hard" if neuron.hard_reset else "subtract"}
    threshold, zero = _each(neuron.threshold, shape), np.zeros(shape)
    if isinstance(neuron, IF) or (isinstance(neuron, LIF) and bool((_each(neuron.decay, shape) == 1).all())):
        node: Any = nir.IF(np.full(shape, 1 / dt), threshold, zero, metadata=reset)
    elif isinstance(neuron, LIF):
        tau = _tau(name, _each(neuron.decay, shape), dt)
        node = nir.LIF(tau, tau / dt, zero, threshold, zero, metadata=reset)
    else:
        slow, fast = (_tau(name, _each(value, shape), dt) for value in (neuron.decay, neuron.current_decay))
        node = nir.CubaLIF(fast, slow, slow / dt, zero, threshold, zero, fast / dt, metadata=reset)
    chain.node(name, node)
    if layer.recurrent:
        chain.nodes[f"{name}-recurrent"] = nir.Linear(own["recurrent"])
        chain.edges += [(name, f"{name}-recurrent"), (f"{name}-recurrent", name)]
    if layer.delay:
        chain.node(f"{name}-delay", nir.Delay(np.full(shape, layer.delay * dt)))


def _tau(name: str, decay: np.ndarray, dt: float) -> np.ndarray:
    if (decay >= 1).any():
        raise UserError(f"layer {name} has neurons without leak beside others, which one node of NIR cannot hold: expected decays below 1")
    return dt / (1 - decay)


def _each(value: float | Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(_double(value) if isinstance(value, Tensor) else np.array(float(value)), shape).copy()


def _double(value: Tensor) -> np.ndarray:
    return value.detach().cpu().double().numpy()
