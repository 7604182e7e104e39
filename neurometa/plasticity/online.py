"""e-prop while the window runs: one chunk after another, each with what the ones before left in the traces."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import TimeAverage
from neurometa.core.lowpass import lowpass
from neurometa.plasticity import chunks, estimate, feedback, outputs
from neurometa.plasticity.chunks import Memory
from neurometa.plasticity.estimate import Found, Rule
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.stages import Parts, Stage, chained, detached
from neurometa.types import Params, Signal


class Progress(NamedTuple):
    """Where a window stands between two chunks.

    Attributes:
        steps: of the whole window.
        done: steps that were run.
        memories: of each population, in order; none before the first chunk.
        u: the readout's filter, (batch, n).
        under_way: errors that did not arrive yet, (`signal_delay`, batch, out).
    """

    steps: int
    done: int
    memories: tuple[Memory, ...]
    u: Tensor | None
    under_way: Tensor | None


def chunk(rule: Rule, taken: Parts, still: Params, fast: Params, x: Tensor, y: Tensor, so_far: Progress) -> tuple[Found, Progress]:
    """Run some steps and take the gradient of their error.

    Args:
        rule: how.
        taken: the network.
        still, fast: weights that stay and weights that learn.
        x: input of these steps, (time, batch, *shape).
        y: targets.
        so_far: what was before.
    Returns:
        The gradient of the sum of these steps' errors, and where the window stands.
    """
    passed, inputs = [], x
    for i, stage in enumerate(taken.stages):
        state = so_far.memories[i].state if so_far.memories else {}
        inputs, one = chunks.forward(stage, still, fast, inputs, state)
        passed.append(one)
    average = estimate.average(taken)
    u = _filtered(inputs, average.decay, so_far.u)
    layers = tuple((name, layer) for name, layer in taken.readout if not isinstance(layer, TimeAverage))
    moving = {name: value for name, value in fast.items() if any(name.startswith(f"{layer}.") for layer, _ in layers)}
    output, pull = torch.func.vjp(lambda w, values: chained(layers, {**still, **w}, Signal(values, True)).values, moving, u)  # type: ignore[misc]
    error = outputs.error(output, y, outputs.Window(so_far.steps, average.last, so_far.done), rule.ways or 1)
    error, under_way = feedback.arriving(error, min(rule.signal_delay, so_far.steps), so_far.under_way)
    weights, to_u = pull(error)
    if rule.truncate:
        constant = detached(still)
        weights = torch.func.vjp(lambda w: chained(layers, {**constant, **w}, Signal(u.detach(), True)).values, detached(moving))[1](error)[
            0
        ]
    memories = []
    for i, (stage, one) in enumerate(zip(taken.stages, passed, strict=True)):
        found, traces = _learnt(rule, stage, one, still, to_u, error, average.decay, so_far.memories[i] if so_far.memories else None)
        weights |= _apart(found, fast)
        memories.append(Memory({name: value[-1] for name, value in one.fields._asdict().items()}, traces))
    spikes = estimate.spikes([one.fields.z for one in passed])
    done = estimate.work(fast, [(stage, one.fields.z) for stage, one in zip(taken.stages, passed, strict=True)], output)
    return Found(weights, {}, spikes, done), Progress(so_far.steps, so_far.done + len(x), tuple(memories), u[-1], under_way)


def _learnt(rule: Rule, stage: Stage, one: chunks.Passed, still: Params, to_u: Tensor, error: Tensor, kappa: float, memory: Memory | None):
    if not one.presynaptic:
        return {}, {}
    matrix = still.get(f"{FEEDBACK}.{stage.name}")
    signal = to_u
    if matrix is not None and rule.feedback != "symmetric":
        signal = feedback.broadcast(error, matrix.detach() if rule.feedback == "random" else matrix).full(one.fields.z)
    neuron, fields = rule.traced(one.neuron, one.fields)
    shown, before = (detached(part) if rule.truncate else part for part in (one.presynaptic, one.before))
    seen = chunks.Passed(neuron, fields, shown, before)
    return chunks.learnt(seen, signal, kappa, memory, stage.population.kernel)


def _apart(weights: Params, fast: Params) -> Params:
    """Biases apart from the weights whose last column they are."""
    found = {}
    for name, value in weights.items():
        bias = f"{name.removesuffix('.weight')}.bias"
        wide = name in fast and bias in fast and value.shape[1] > fast[name].shape[1]
        found |= {name: value[:, :-1], bias: value[:, -1]} if wide else {name: value}
    return found


def _filtered(x: Tensor, kappa: float, before: Tensor | None) -> Tensor:
    """The readout's filter, gone on with."""
    if before is None or kappa == 0:
        return lowpass(x, kappa)
    into = torch.cat([x[:1] + kappa / (1 - kappa) * before, x[1:]])
    return lowpass(into, kappa)
