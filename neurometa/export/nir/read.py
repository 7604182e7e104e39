"""A NIR graph as a network and its parameters; the inverse of write.py, and a reader of what snnTorch and Norse write."""

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from neurometa.core.layer import Conv2d, Flatten, Layer, Linear, Offset, Pool, Scale, Spiking, TimeAverage
from neurometa.core.network import READOUT, Stack, stacked
from neurometa.core.neuron import IF, LIF, CurrentLIF, VoidingLIF
from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError
from neurometa.export.nir.order import row
from neurometa.export.nir.write import KEY, VERSION
from neurometa.types import Params

READS = (
    nir.Input,
    nir.Output,
    nir.Linear,
    nir.Affine,
    nir.Conv2d,
    nir.AvgPool2d,
    nir.SumPool2d,
    nir.Flatten,
    nir.Scale,
    nir.LIF,
    nir.CubaLIF,
    nir.IF,
    nir.Delay,
)
"""Nodes that are read."""


def from_nir(
    source: Path | nir.NIRGraph,
    dt: float | None = None,
    *,
    steps: int | None = None,
    reset: str | None = None,
    surrogate: Surrogate | None = None,
) -> tuple[Stack, Params]:
    """Read a graph, or a file that holds one.

    Time constants become decays by forward Euler, decay = 1 - dt / tau, as in snnTorch and Norse; a neuron's gain r dt / tau goes into the
    weights before it. Recurrent weights act on the spikes of the step before. The last Linear is called `readout`, and the network's output
    is the mean over time, of what stands before the node that the metadata names, else of the last node.

    Args:
        source: what to read.
        dt: length of a time step in seconds; default what the metadata says, needed where it says nothing: snnTorch writes
            with 1e-4; Norse 1.1 writes dt / tau_inv for tau, so that its dt of 1e-3 is read with 1e-6.
        steps: time steps for which an input without time axis is held; default as in the metadata, else 25.
        reset: "hard", "subtract", or "void", snnTorch's reset to zero of neurons with a synaptic current, which loses the input of the next
            step too; default what each neuron's metadata says, else "hard", which is NIR's own. snnTorch does not write which it has.
        surrogate: derivative of the spikes.
    Returns:
        The network, and its parameters in torch's default type.
    Raises:
        UserError: no NIR file, a node or a graph that cannot be read; the message names the node.
    """
    graph = source if isinstance(source, nir.NIRGraph) else _load(source)
    noted = _noted(graph)
    dt = noted.get("dt") if dt is None else dt
    if not isinstance(dt, int | float) or not dt > 0:
        raise UserError(
            f"NIR: dt = {dt} given, expected the length of a time step in seconds: the file does not say it, snnTorch's is 1e-4"
        )
    if reset not in (None, "hard", "subtract", "void"):
        raise UserError(f"reset {reset!r} given, expected hard, subtract or void")
    reader = _Reader(float(dt), int(steps or noted.get("steps", 25)), reset, surrogate or Surrogate())
    ordered = row(graph)
    for name, node in ordered.nodes:
        if not isinstance(node, READS):
            known = ", ".join(kind.__name__ for kind in READS)
            raise UserError(f"NIR: node {name} is {type(node).__name__}, which cannot be read: expected one of {known}")
        reader.add(name, node, ordered.recurrent.get(name))
    return reader.finished(str(noted.get("average_before", "")))


def _load(path: Path) -> nir.NIRGraph:
    try:
        with path.open("rb") as file:
            if file.read(8) != b"\x89HDF\r\n\x1a\n":
                raise UserError(f"{path} is no HDF5 file: expected one that `nir.write` made")
        graph = nir.read(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or 'damaged'}): expected a .nir file") from None
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"{path} is no NIR graph, or a damaged one ({type(error).__name__}: {error})") from None
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(f"{path} holds a single {type(graph).__name__}: expected a graph")
    return graph


def _noted(graph: nir.NIRGraph) -> dict[str, Any]:
    """What neurometa wrote into the metadata."""
    text = (getattr(graph, "metadata", None) or {}).get(KEY) if isinstance(getattr(graph, "metadata", None), dict) else None
    if text is None:
        return {}
    try:
        found = json.loads(text.decode() if isinstance(text, bytes) else str(text))
    except ValueError:
        raise UserError("NIR: the metadata under 'neurometa' is no JSON: the file is damaged") from None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int) or found["version"] > VERSION:
        raise UserError("NIR: the metadata under 'neurometa' is of a newer version: use a newer neurometa")
    return found


class _Reader:
    """The network as it grows."""

    def __init__(self, dt: float, steps: int, reset: str | None, surrogate: Surrogate) -> None:
        self.dt, self.steps, self.reset, self.surrogate = dt, steps, reset, surrogate
        self.layers: list[tuple[str, Layer]] = []
        self.params: Params = {}
        self.shape: tuple[int, ...] = ()

    def add(self, name: str, node: Any, recurrent: Any) -> None:
        """Append one node."""
        if isinstance(node, nir.Input):
            self.shape = tuple(int(n) for n in node.input_type["input"])
        elif isinstance(node, nir.Linear | nir.Affine):
            self._weights(name, Linear(len(node.weight), isinstance(node, nir.Affine)), node)
        elif isinstance(node, nir.Conv2d):
            self._weights(name, _conv(name, node), node)
        elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            self.layers.append((name, _pool(name, node)))
        elif isinstance(node, nir.Flatten):
            self.layers.append((name, Flatten()))
        elif isinstance(node, nir.Scale):
            self.layers.append((name, Scale(_one(name, "scale", node.scale))))
        elif isinstance(node, nir.Delay):
            self._delay(name, node)
        elif not isinstance(node, nir.Output):
            self._neurons(name, node, recurrent)

    def _weights(self, name: str, layer: Layer, node: Any) -> None:
        self.layers.append((name, layer))
        self.params[f"{name}.weight"] = _single(node.weight)
        if getattr(layer, "bias", False):
            self.params[f"{name}.bias"] = _single(node.bias)

    def _delay(self, name: str, node: Any) -> None:
        """A delay of one step belongs to the neurons before it."""
        steps = np.asarray(node.delay, dtype=np.float64) / self.dt
        last = self.layers[-1] if self.layers else ("", Flatten())
        if not isinstance(last[1], Spiking) or not np.allclose(steps, 1):
            raise UserError(f"NIR: node {name} delays by {steps.ravel()[:1]} steps of {self.dt:g} s, expected one step, behind neurons")
        self.layers[-1] = (last[0], last[1]._replace(delay=1))

    def _neurons(self, name: str, node: Any, recurrent: Any) -> None:
        if np.any(np.asarray(getattr(node, "v_reset", 0.0))):
            raise UserError(f"NIR: node {name} resets to v_reset = {np.ravel(node.v_reset)[0]:g}, expected 0")
        noted = node.metadata.get("reset") if isinstance(node.metadata, dict) else None
        reset = self.reset or (noted.decode() if isinstance(noted, bytes) else noted) or "hard"
        words: dict[str, Any] = {"threshold": _constant(node.v_threshold), "hard_reset": reset != "subtract", "surrogate": self.surrogate}
        leak = np.zeros(())
        if isinstance(node, nir.IF):
            neuron, gain = IF(**words), self.dt * np.asarray(node.r)
        elif isinstance(node, nir.LIF):
            rate = self._rate(name, node.tau)
            neuron, gain, leak = LIF(_constant(1 - rate), **words), np.asarray(node.r) * rate, np.asarray(node.v_leak) * rate
        else:
            slow, fast = self._rate(name, node.tau_mem), self._rate(name, node.tau_syn)
            gain = np.asarray(node.w_in) * fast * np.asarray(node.r) * slow
            neuron: Any = CurrentLIF(_constant(1 - slow), _constant(1 - fast), **words)
            if reset == "void":
                neuron = VoidingLIF(neuron.decay, neuron.current_decay, neuron.threshold, self.surrogate)
            if np.any(np.asarray(node.v_leak)):
                raise UserError(f"NIR: node {name} (CubaLIF) leaks to v_leak = {np.ravel(node.v_leak)[0]:g}, expected 0")
        loop = None if recurrent is None else np.asarray(recurrent.weight, dtype=np.float64)
        shift = leak + (gain * recurrent.bias if recurrent is not None and hasattr(recurrent, "bias") else 0.0)
        self._gain(name, np.asarray(gain, dtype=np.float64))
        if np.any(shift):
            self.layers.append((f"{name}-leak", Offset()))
            self.params[f"{name}-leak.bias"] = _single(np.broadcast_to(shift, np.shape(node.v_threshold)))
        self.layers.append((name, Spiking(neuron, self.steps, recurrent=loop is not None)))
        if loop is not None:
            self.params[f"{name}.recurrent"] = _single(np.ravel(np.broadcast_to(gain, np.shape(node.v_threshold)))[:, None] * loop)

    def _rate(self, name: str, tau: np.ndarray) -> np.ndarray:
        rate = self.dt / np.asarray(tau, dtype=np.float64)
        if not ((rate > 0) & (rate <= 1 + 1e-9)).all():
            raise UserError(f"NIR: node {name} has a time constant of {np.asarray(tau).min():g} s, expected at least dt = {self.dt:g} s")
        return np.minimum(rate, 1.0)

    def _gain(self, name: str, gain: np.ndarray) -> None:
        """What multiplies the input of neurons goes into the weights before them."""
        if np.allclose(gain, 1, rtol=1e-6):
            return
        before, layer = self.layers[-1] if self.layers else ("", Flatten())
        each = gain.reshape(gain.shape[0], -1) if gain.ndim > 1 else gain.reshape(-1, 1)
        if isinstance(layer, Linear | Conv2d) and np.allclose(each, each[:, :1]):
            factor = _single(each[:, 0])
            weight = self.params[f"{before}.weight"]
            self.params[f"{before}.weight"] = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
            if f"{before}.bias" in self.params:
                self.params[f"{before}.bias"] = self.params[f"{before}.bias"] * factor
        else:
            self.layers.append((f"{name}-gain", Scale(_one(name, "gain", gain))))

    def finished(self, average: str) -> tuple[Stack, Params]:
        """The network, averaged over time, its last Linear called readout."""
        names = [name for name, _ in self.layers]
        at = names.index(average) if average in names else len(names)
        dense = [i for i, (_, layer) in enumerate(self.layers) if isinstance(layer, Linear)]
        fires = [i for i, (_, layer) in enumerate(self.layers) if isinstance(layer, Spiking)]
        renamed = dense and READOUT not in names and dense[-1] > max(fires, default=-1)
        layers = [(READOUT if renamed and i == dense[-1] else name, layer) for i, (name, layer) in enumerate(self.layers)]
        if renamed:
            old = names[dense[-1]]
            self.params = {
                (READOUT + key.removeprefix(old) if key.startswith(f"{old}.") else key): value for key, value in self.params.items()
            }
        layers.insert(at, ("average", TimeAverage()))
        network = stacked(self.shape, layers)
        for key, value in network.init(torch.Generator()).items():
            if key not in self.params or self.params[key].shape != value.shape:
                found = tuple(self.params[key].shape) if key in self.params else "none"
                raise UserError(
                    f"NIR: {key} has the shape {found}, but what comes before it needs {tuple(value.shape)}: the file is damaged"
                )
        return network, self.params


def _single(value: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(value), dtype=torch.get_default_dtype())


def _constant(value: Any) -> Any:
    """One number where all are alike, else a tensor."""
    array = np.asarray(value, dtype=np.float64)
    return float(array.ravel()[0]) if np.all(array == array.ravel()[0]) else _single(array)


def _one(name: str, what: str, value: Any) -> float:
    array = np.asarray(value, dtype=np.float64)
    if not np.allclose(array, array.ravel()[0]):
        raise UserError(f"NIR: node {name} has a {what} of each neuron that no weights before it can take: expected one number")
    return float(array.ravel()[0])


def _square(name: str, what: str, value: Any) -> int:
    pair = np.broadcast_to(np.asarray(value), (2,))
    if pair[0] != pair[1]:
        raise UserError(f"NIR: node {name} has {what} {tuple(map(int, pair))}, expected the same in both directions")
    return int(pair[0])


def _conv(name: str, node: Any) -> Conv2d:
    post, _, height, width = node.weight.shape
    if height != width:
        raise UserError(f"NIR: node {name} has a kernel of {height} x {width}, expected a square one")
    stride, dilation = (_square(name, what, getattr(node, what)) for what in ("stride", "dilation"))
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if isinstance(padding, str):
        if padding == "same" and (height % 2 == 0 or stride != 1):
            raise UserError(
                f"NIR: node {name} has padding 'same' with kernel {height} and stride {stride}, expected an odd kernel and stride 1"
            )
        padding = dilation * (height // 2) if padding == "same" else 0
    return Conv2d(post, height, stride, True, _square(name, "padding", padding), dilation, int(node.groups))


def _pool(name: str, node: Any) -> Pool:
    size, stride = _square(name, "kernel_size", node.kernel_size), _square(name, "stride", node.stride)
    if _square(name, "padding", node.padding):
        raise UserError(f"NIR: node {name} pads its pool, expected no padding")
    return Pool(size, "average" if isinstance(node, nir.AvgPool2d) else "sum", None if stride == size else stride)
