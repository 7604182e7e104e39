"""The same windows in other people's libraries, each as its documentation writes them; one function a library, imported when asked for."""

import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.speed.windows import NEURON, Case, Contestant, neurometa, products
from neurometa.types import Params

Build = Callable[[Case, Tensor, Params], Contestant]


def snntorch(case: Case, x: Tensor, params: Params) -> Contestant:
    """Step by step through `Leaky` or `RLeaky`, as in snnTorch's tutorials."""
    import snntorch
    from snntorch import surrogate

    settings = {
        "beta": NEURON.decay,
        "spike_grad": surrogate.fast_sigmoid(3.0),
        "reset_mechanism": "subtract" if case.recurrent else "zero",
    }
    layers = []
    for size, synapse, back in _synapses(case, params):
        if back is None:
            layers.append((synapse, snntorch.Leaky(**settings)))
        else:
            cell = snntorch.RLeaky(linear_features=size, **settings)
            cell.recurrent = back
            layers.append((synapse, cell))

    def run() -> tuple[Tensor, Tensor]:
        states = [[part.to(x.dtype) for part in (cell.init_rleaky() if case.recurrent else [cell.reset_mem()])] for _, cell in layers]
        spikes = []
        for z in x:
            for i, (synapse, cell) in enumerate(layers):
                z, *rest = cell(synapse(z), *states[i])
                states[i] = [z, *rest] if case.recurrent else rest
            spikes.append(z)
        z = torch.stack(spikes)
        return z.mean(0), z

    return Contestant(run, _weights(layers, [cell.recurrent for _, cell in layers] if case.recurrent else []))


def spikingjelly(case: Case, x: Tensor, params: Params) -> Contestant:
    """Layer by layer in multi-step mode; a recurrent layer is a `LinearRecurrentContainer`, which steps and holds both weights."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif(mode: str) -> nn.Module:
        reset, slope = None if case.recurrent else 0.0, surrogate.ATan()
        return neuron.LIFNode(1 / (1 - NEURON.decay), False, NEURON.threshold, reset, slope, detach_reset=True, step_mode=mode)

    layers = []
    for size, synapse, back in _synapses(case, params):
        if back is None:
            layers += [_multistep(layer.Linear, synapse), lif("m")]
        else:
            container = layer.LinearRecurrentContainer(lif("s"), synapse.in_features, size, bias=False, step_mode="m")
            container.rc = _linear(torch.cat([synapse.weight, back.weight], 1).detach())
            layers.append(container)
    network = nn.Sequential(*layers)

    def run() -> tuple[Tensor, Tensor]:
        functional.reset_net(network)
        z = network(x)
        return z.mean(0), z

    return Contestant(run, [p for p in network.parameters() if p.requires_grad])


def norse(case: Case, x: Tensor, params: Params) -> Contestant:
    """Step by step through `LIFBoxCell`, its input scaled by its time constant; recurrent, the current-based `LIFRecurrentCell`,
    which delays its input by one step and its own spikes by two, so that its spikes are not ours.
    """
    import norse.torch as cells
    from norse.torch import LIFBoxParameters, LIFParameters

    dt, gain = 0.001, 1 - NEURON.decay
    layers = []
    for size, synapse, back in _synapses(case, params):
        if back is None:
            synapse.weight.data.div_(gain)
            p = LIFBoxParameters(tau_mem_inv=torch.tensor(gain / dt), alpha=torch.tensor(3.0))
            layers.append((synapse, cells.LIFBoxCell(p, dt=dt)))
        else:
            p = LIFParameters(tau_syn_inv=torch.tensor(1 / dt), tau_mem_inv=torch.tensor(gain / dt), alpha=torch.tensor(3.0))
            cell = cells.LIFRecurrentCell(synapse.in_features, size, p, dt=dt, autapses=True)
            cell.input_weights.data.copy_(synapse.weight.data / gain)
            cell.recurrent_weights.data.copy_(back.weight.data / gain)
            layers.append((None, cell.to(x.dtype)))

    def run() -> tuple[Tensor, Tensor]:
        states, spikes = [None] * len(layers), []
        for z in x:
            for i, (synapse, cell) in enumerate(layers):
                z, states[i] = cell(z if synapse is None else synapse(z), states[i])
            spikes.append(z)
        z = torch.stack(spikes)
        return z.mean(0), z

    return Contestant(run, [p for synapse, cell in layers for part in (synapse, cell) if part is not None for p in part.parameters()])


def sinabs(case: Case, x: Tensor, params: Params) -> Contestant:
    """Layer by layer, batch before time, as sinabs has it."""
    import sinabs.layers as cells
    from sinabs.activation import MembraneReset, MembraneSubtract, SingleExponential, SingleSpike

    reset = MembraneSubtract() if case.recurrent else MembraneReset()
    settings = {"tau_mem": -1 / math.log(NEURON.decay), "spike_fn": SingleSpike, "reset_fn": reset, "norm_input": False}
    settings["surrogate_grad_fn"] = SingleExponential()
    layers = []
    for _, synapse, back in _synapses(case, params):
        cell = cells.LIF(**settings) if back is None else cells.LIFRecurrent(rec_connect=back, **settings)
        layers.append((synapse, cell.to(x.dtype)))
    shown = x.transpose(0, 1).contiguous()

    def run() -> tuple[Tensor, Tensor]:
        z = shown
        for synapse, cell in layers:
            cell.reset_states()
            z = cell(synapse(z))
        return z.mean(1), z.transpose(0, 1)

    return Contestant(run, _weights(layers, [cell.rec_connect for _, cell in layers] if case.recurrent else []))


def plain_loop(case: Case, x: Tensor, params: Params) -> Contestant:
    """No library: all currents at once, then a Python loop over time."""
    layers = list(_synapses(case, params))

    def run() -> tuple[Tensor, Tensor]:
        signal = x
        for _, synapse, back in layers:
            currents = synapse(signal.flatten(0, 1)).unflatten(0, signal.shape[:2]).unbind(0)
            state, spikes = case.neuron.rest(currents[0]), []
            for current in currents:
                state = case.neuron.step(state, current if back is None else current + F.linear(state.z, back.weight))
                spikes.append(state.z)
            signal = torch.stack(spikes)
        return signal.mean(0), signal

    return Contestant(run, [part.weight for _, *parts in layers for part in parts if part is not None])


PEERS: dict[str, Build] = {"snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse, "sinabs": sinabs}
OTHER_SPIKES = {(name, True) for name in ("spikingjelly", "norse", "sinabs")}
"""Peer and recurrence where the peer's neuron is another one, so that spikes are not compared: after a spike the first and the last take
the threshold away before the leak, we and snnTorch after it.
"""


def present() -> dict[str, Build]:
    """The peers that can be imported here, and the plain loop."""
    return {name: build for name, build in PEERS.items() if find_spec(name) is not None} | {"loop": plain_loop}


def everyone() -> dict[str, Build]:
    """Us, the peers that are present, the plain loop and the bare products."""
    return {"neurometa": neurometa, **present(), "products": products}


def _synapses(case: Case, params: Params) -> Iterator[tuple[int, nn.Linear, nn.Linear | None]]:
    """(neurons, synapses, recurrent synapses) of each layer."""
    for i, size in enumerate(case.sizes[1:], 1):
        yield size, _linear(params[f"in{i}"]), _linear(params[f"back{i}"]) if case.recurrent else None


class _Synapses(nn.Linear):
    """A linear map that also takes spikes of another type: several libraries emit float32 whatever they are given. No work in float32."""

    def forward(self, z: Tensor) -> Tensor:
        """Multiply."""
        return super().forward(z.to(self.weight.dtype))


def _linear(weight: Tensor) -> nn.Linear:
    module = _Synapses(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight.clone())
    return module


def _multistep(kind: Callable[..., nn.Module], synapse: nn.Linear) -> nn.Module:
    module = kind(synapse.in_features, synapse.out_features, bias=False, step_mode="m")
    module.weight = synapse.weight
    return module


def _weights(layers: list, more: list[nn.Module]) -> list[Tensor]:
    """Synapses alone: the neurons' constants stay as they are."""
    modules = [synapse for synapse, _ in layers] + more
    return [p for module in modules for p in module.parameters()]
