"""The same meta-gradient in the ways one would write it without neurometa: tasks one by one, parameters cloned as learn2learn does.

learn2learn's MAML clones a module's parameters, takes `torch.autograd.grad` of the support loss (`create_graph` for second order) and
replaces each parameter by `p - rate * g`, so that the query loss is differentiable with respect to the original ones. That is
`meta_gradient` below, on a dictionary of parameters, which spares it the copying of modules; readout only, it embeds a task's pictures
once, as learn2learn's ANIL example does. `loop` computes the first layer's current, which is the same at every step, only once;
`snntorch` computes it at every step, as everyone who follows its tutorials does.
"""

from collections.abc import Callable

import snntorch
import torch
import torch.nn.functional as F
from snntorch import surrogate
from torch import Tensor

from experiments.speed.cases import NEURON, RATE, UPDATES, Case
from neurometa.core.surrogate import spike
from neurometa.types import Episode, Params

Features = Callable[[Case, Params, Tensor], Tensor]
"""Pictures to mean spike counts of the last layer, (batch, features)."""


def loop(case: Case, params: Params, x: Tensor) -> Tensor:
    """Layer by layer: all steps' currents at once, then a Python loop over time with an unfused neuron."""
    currents = [case.synapse(x, *_weights(params, case.layers[0]))] * case.steps
    for i, name in enumerate(case.layers):
        if i > 0:
            currents = case.synapse(signal.flatten(0, 1), *_weights(params, name)).unflatten(0, signal.shape[:2]).unbind(0)
        v = z = torch.zeros_like(currents[0])
        spikes = []
        for current in currents:
            v = NEURON.decay * v * (1 - z.detach()) + current
            z = spike(v - NEURON.threshold, NEURON.surrogate)
            spikes.append(z)
        steps = torch.stack(spikes)
        signal = case.shrink(steps.flatten(0, 1)).unflatten(0, steps.shape[:2])
    return signal.mean(0).flatten(1)


def snntorch_leaky(case: Case, params: Params, x: Tensor) -> Tensor:
    """Step by step through snnTorch's `Leaky`, every layer at every step, as its tutorials write a forward pass."""
    grad = surrogate.fast_sigmoid(NEURON.surrogate.slope)
    neurons = [snntorch.Leaky(NEURON.decay, NEURON.threshold, grad, reset_mechanism="zero") for _ in case.layers]
    membranes = [neuron.reset_mem() for neuron in neurons]
    counts = []
    for _ in range(case.steps):
        z = x
        for i, name in enumerate(case.layers):
            z, membranes[i] = neurons[i](case.synapse(z, *_weights(params, name)), membranes[i])
            z = case.shrink(z.to(x.dtype))
        counts.append(z)
    return torch.stack(counts).mean(0).flatten(1)


PEERS: dict[str, Features] = {"loop": loop, "snntorch": snntorch_leaky}


def meta_gradient(
    case: Case, features: Features, slow: Params, episodes: Episode, second_order: bool, readout_only: bool
) -> tuple[Tensor, Params]:
    """Mean query loss over tasks and its gradient with respect to `slow`."""
    slow = {name: value.detach().requires_grad_() for name, value in slow.items()}
    tasks, total = len(episodes.support.y), torch.zeros(())
    support, query = episodes
    for support_x, support_y, query_x, query_y in zip(support.x, support.y, query.x, query.y, strict=True):
        fast = {name: value.clone() for name, value in slow.items()}
        body = (lambda params, x: x) if readout_only else (lambda params, x: features(case, params, x))
        if readout_only:
            support_x, query_x = features(case, slow, torch.cat([support_x, query_x])).split([len(support_y), len(query_y)])
        moving = [name for name in fast if name.startswith("readout") or not readout_only]
        for _ in range(UPDATES):
            loss = F.cross_entropy(_readout(fast, body(fast, support_x)), support_y)
            gradients = torch.autograd.grad(loss, [fast[name] for name in moving], create_graph=second_order)
            fast |= {name: fast[name] - RATE * g for name, g in zip(moving, gradients, strict=True)}
        loss = F.cross_entropy(_readout(fast, body(fast, query_x)), query_y) / tasks
        loss.backward()
        total = total + loss.detach()
    return total, {name: value.grad for name, value in slow.items() if value.grad is not None}


def _weights(params: Params, name: str) -> tuple[Tensor, Tensor]:
    return params[f"{name}.weight"], params[f"{name}.bias"]


def _readout(params: Params, x: Tensor) -> Tensor:
    return F.linear(x, *_weights(params, "readout"))
