"""e-prop chunk by chunk: memory that does not grow with the window, and updates while it runs.

What earlier steps left at a synapse is carried as its eligibility vector, one number a component of the neuron's state, and as its
eligibility filtered by the readout. Within a chunk signals go back through the membranes as in a whole window, so that a chunk costs a few
matrix products and one pass over what is carried, whatever its length. Nothing is approximated.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.adjoint import Adjoint, Signals, adjoint
from neurometa.core.layer import Flatten, Linear
from neurometa.core.lowpass import lowpass
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF
from neurometa.errors import UserError
from neurometa.plasticity.stages import Stage, own
from neurometa.types import Params, Signal


class Traces(NamedTuple):
    """What is carried of one weight matrix, each (batch, post, pre).

    Attributes:
        vectors: eligibility vector, one entry a component of the neuron: v, then a of ALIF or i of CurrentLIF. The same for every
            neuron, and kept once, where v leaks alike in all and no spike resets it.
        filtered: sum over the past of kappa^(steps ago) times eligibility; None where the readout does not filter.
    """

    vectors: tuple[Tensor, ...]
    filtered: Tensor | None


class Memory(NamedTuple):
    """What one population carries from chunk to chunk.

    Attributes:
        state: its neurons' state by field.
        traces: by the name of the weights.
    """

    state: Params
    traces: dict[str, Traces]


class Passed(NamedTuple):
    """One chunk of one population.

    Attributes:
        neuron, fields: constants, and state over the chunk's time, each field (time, batch, n).
        presynaptic: by the name of the fast weights, what they multiply, (time, batch, pre); a bias is the last column of its weights.
        before: state before the chunk, empty at the first.
    """

    neuron: Any
    fields: Any
    presynaptic: Params
    before: Params


def refuse(stage: Stage) -> None:
    """Refuse synapses whose traces would not be a matrix.

    Raises:
        UserError: naming the layer.
    """
    for name, layer in stage.synapses:
        if not isinstance(layer, Flatten | Linear):
            raise UserError(
                f"rule eprop with chunk and layer {name} of kind {type(layer).__name__} given, unnormalised dense layers expected: "
                "choose chunk 0, the whole window at once"
            )
    dense = [name for name, layer in stage.synapses if isinstance(layer, Linear)]
    if len(dense) > 1:
        raise UserError(
            f"rule eprop with chunk and layers {dense[0]} and {dense[1]} before population {stage.name} given, one dense layer expected: "
            "choose chunk 0, the whole window at once"
        )
    if stage.population.delay:
        raise UserError(f"rule eprop with chunk and delayed population {stage.name} given, delay 0 expected: choose chunk 0")


def forward(stage: Stage, params: Params, fast: Params, x: Tensor, state: Params) -> tuple[Tensor, Passed]:
    """Run one population over a chunk.

    Args:
        stage: what is run.
        params, fast: parameters that stay and those that learn.
        x: what the stage before sent, (time, batch, *shape).
        state: state before the chunk, empty for rest.
    Returns:
        Spikes (time, batch, n), and what the traces need.
    """
    weights, shown = {**params, **fast}, {}
    for name, layer in stage.synapses:
        if isinstance(layer, Linear):
            shown[f"{name}.weight"] = torch.cat([x, torch.ones_like(x[..., :1])], -1) if f"{name}.bias" in fast else x
        x = layer.apply(own(weights, name), Signal(x, True), {})[0].values
    sent, noted = stage.population.apply(own(weights, stage.name), Signal(x, True), state)
    neuron = stage.population.constants(own(weights, stage.name))
    if f"{stage.name}.recurrent" in fast:
        first = state["z"] if state else torch.zeros_like(noted["z"][0])
        shown[f"{stage.name}.recurrent"] = torch.cat([first.unsqueeze(0), noted["z"][:-1]])
    fields = type(neuron.rest(x[0]))(**noted)
    return sent.values, Passed(neuron, fields, {name: value for name, value in shown.items() if name in fast}, state)


def learnt(passed: Passed, signal: Tensor, kappa: float, memory: Memory | None, kernel: str | None) -> tuple[Params, dict[str, Traces]]:
    """One population's gradient from one chunk, and its traces after it.

    Args:
        passed: the chunk; `neuron` and `fields` as the traces are to see them.
        signal: dE/du at each step of the chunk, u being the readout's filter of each neuron's spikes, (time, batch, n).
        kappa: decay of that filter.
        memory: what was carried into the chunk, None at the first.
        kernel: of the adjoint.
    Returns:
        dE/dw by name, and the traces.
    """
    steps = len(signal)
    fading = kappa ** torch.arange(steps - 1, -1, -1, dtype=signal.dtype, device=signal.device).reshape(-1, 1, 1)
    back = lowpass(signal.flip(0), kappa).flip(0)
    alike = _alike(passed.neuron)
    runs = [adjoint(passed.neuron, passed.fields, given, kernel) for given in (Signals(back), *([] if alike else _ends(passed)))]
    if kappa > 0:
        runs.append(adjoint(passed.neuron, passed.fields, Signals(fading.expand_as(signal)), kernel))
    before = None if memory is None else [_incoming(passed, run) for run in runs]
    leak = passed.neuron.decay ** torch.arange(steps - 1, -1, -1, dtype=signal.dtype, device=signal.device) if alike else None
    held = (1 - kappa) * (fading.flip(0) * kappa * signal).sum(0)
    weights, traces = {}, {}
    for name, x in passed.presynaptic.items():
        weights[name] = runs[0].current.flatten(0, 1).mT @ x.flatten(0, 1)
        added = [_summed(run.current, x) for run in runs[1:]]
        if memory is not None and before is not None:
            old = memory.traces[name]
            added = [_weighed(a, b, old.vectors) for a, b in zip(added, before[1:], strict=True)]
            for factor, vector in zip(before[0], old.vectors, strict=True):
                weights[name] = weights[name] + _over_examples(factor, vector)
            if old.filtered is not None:
                weights[name] = weights[name] + _over_examples(held, old.filtered)
                added[-1] = torch.add(added[-1], old.filtered, alpha=kappa**steps)
        if leak is not None:
            own_trace = torch.tensordot(leak, x, dims=1).unsqueeze(1)
            added.insert(0, own_trace if memory is None else own_trace + passed.neuron.decay**steps * memory.traces[name].vectors[0])
        traces[name] = Traces(tuple(added[:-1]), added[-1]) if kappa > 0 else Traces(tuple(added), None)
    return weights, traces


def _summed(current: Tensor, x: Tensor) -> Tensor:
    """Sum over time of current_j x_i for each example: (batch, post, pre)."""
    return current.permute(1, 2, 0) @ x.transpose(0, 1)


def _weighed(added: Tensor, factors: list[Tensor], vectors: tuple[Tensor, ...]) -> Tensor:
    """What the chunk added, and what earlier traces have become: (batch, post, pre)."""
    for factor, vector in zip(factors, vectors, strict=True):
        added = torch.addcmul(added, factor.unsqueeze(-1), vector)
    return added


def _over_examples(factor: Tensor, vector: Tensor) -> Tensor:
    """Sum over examples of factor_j vector_ji, the vector the same for all j where it has one row: (post, pre)."""
    if vector.shape[1] == 1:
        return factor.mT @ vector[:, 0]
    return torch.einsum("bj,bji->ji", factor, vector)


def _alike(neuron: Any) -> bool:
    """Whether the membranes of all neurons remember their input alike: one leak, no reset of the trace, no other component."""
    return type(neuron) in (LIF, IF) and not neuron.hard_reset and not isinstance(neuron.decay, Tensor)


def _ends(passed: Passed) -> list[Signals]:
    """Signals that ask how each component of the state after the chunk depends on the chunk's input."""
    like = passed.fields.v
    last = torch.zeros_like(like)
    last[-1] = 1
    if isinstance(passed.neuron, ALIF):  # the adaptation of the next step: a[T+1] = rho a[T] + z[T]
        return [Signals(v=last), Signals(z=last, other=passed.neuron.rho * last)]
    return [Signals(v=last), Signals(other=last)] if isinstance(passed.neuron, CurrentLIF) else [Signals(v=last)]


def _incoming(passed: Passed, run: Adjoint) -> list[Tensor]:
    """How a signal depends on each component of the state before the chunk, (batch, n) each."""
    neuron = passed.neuron
    kept = neuron.decay * (1 - passed.before["z"]) if neuron.hard_reset else neuron.decay
    found = [kept * run.v[0]]
    if isinstance(neuron, ALIF) and run.a is not None:
        found.append(run.a[0])
    if isinstance(neuron, CurrentLIF):
        found.append(neuron.current_decay * run.current[0])
    return found
