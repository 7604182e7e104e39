"""Long windows in little memory: a network run segment by segment, whose backward pass computes each segment anew.

Kept are the states between segments, not the time course within: memory falls from T to T / segments + segments, for one forward pass
more. Gradients equal the whole window's; second derivatives are refused. `torch.utils.checkpoint` does not work under torch.func.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.layer import Norm, Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.errors import UserError
from neurometa.types import Network, Params, Record, Signal


class Segmented(NamedTuple):
    """A stack run in `segments` pieces of its window, from state to state. Its record holds no `z` and no `v`."""

    stack: Stack
    segments: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.stack.shape

    @property
    def vmappable(self) -> bool:
        """No: tasks go one after another, which is what saves memory."""
        return False

    @property
    def features(self) -> int:
        """Number of inputs of the readout."""
        return self.stack.features

    def init(self, generator: torch.Generator) -> Params:
        """Draw initial parameters."""
        return self.stack.init(generator)

    def signal(self, x: Tensor) -> Signal:
        """As of the stack."""
        return self.stack.signal(x)

    def split(self) -> tuple[Network, Network]:
        """The network before its readout, in segments, and the readout."""
        body, head = self.stack.split()
        return self._replace(stack=body), head

    def run(self, params: Params, x: Signal, state: Params | None = None) -> Record:
        """Simulate the window; arguments as for `Stack.run`.

        Raises:
            UserError: the network is not averaged over time, the window is shorter than the segments, or a normalisation would measure its
                statistics on each of them.
        """
        first, average = _time(self.stack)
        if average is None and first is not None:
            raise UserError(f"{self.segments} segments given for a network that is not averaged over time before its readout: choose 1")
        if average is not None and self.stack.layers[average][1].last:  # type: ignore[attr-defined]
            raise UserError(f"{self.segments} segments given for a network that is averaged over its last steps alone: choose 1")
        if average is None or (first is None and not x.timed):
            return self.stack.run(params, x, state)  # no time to cut
        start = 0 if x.timed else first
        before, during, after = (
            self.stack._replace(layers=part)
            for part in (self.stack.layers[:start], self.stack.layers[start:average], self.stack.layers[average + 1 :])
        )
        opening = before.run(params, x)
        held = Signal(opening.output, x.timed)
        _refuse_statistics(during, params)
        names = tuple(name for name in params if name.startswith(tuple(f"{layer}." for layer, _ in during.layers)))
        given = tuple(state or ())
        steps = len(held.values) if x.timed else self.stack.layers[start][1].steps  # type: ignore[attr-defined]
        plan = _Plan(during, self.stack.layers[average][1].decay, self._bounds(steps), x.timed, given, names)  # type: ignore[attr-defined]
        total, *others = _Run.apply(plan, held.values, *(state or {}).values(), *(params[name] for name in names))  # type: ignore[misc]
        final = dict(zip(plan.states, others[: len(plan.states)], strict=True))
        closing = after.run(params, Signal(total, False))
        return Record(closing.output, {}, {}, final, {**opening.statistics, **closing.statistics})

    def _bounds(self, steps: int) -> tuple[int, ...]:
        if steps < self.segments:
            raise UserError(f"{self.segments} segments given for a window of {steps} steps: choose at most {steps}")
        return tuple(i * steps // self.segments for i in range(self.segments + 1))


def whole(network: Network) -> Network:
    """The same network run in one piece, whose record holds the time course."""
    return network.stack if isinstance(network, Segmented) else network


def _time(stack: Stack) -> tuple[int | None, int | None]:
    """Places of the first population and of the average over time."""
    places = [next((i for i, (_, layer) in enumerate(stack.layers) if isinstance(layer, kind)), None) for kind in (Spiking, TimeAverage)]
    return places[0], places[1]


def _refuse_statistics(during: Stack, params: Params) -> None:
    for name, layer in during.layers:
        if isinstance(layer, Norm) and f"{name}.mean" not in params:
            raise UserError(
                f"layer {name} would measure its statistics on each segment instead of the whole window: "
                "give it statistics, choose normalise = false, or segments = 1"
            )


@dataclass(frozen=True)
class _Plan:
    """What a run is made of, as one opaque argument.

    Attributes:
        during: the layers that have time, but for the average behind them.
        decay: of that average.
        bounds: steps at which segments begin, and the end.
        timed: whether the input has a time axis; otherwise it is held.
        given: names of the initial state, none for rest.
        names: of the parameters.
    """

    during: Stack
    decay: float
    bounds: tuple[int, ...]
    timed: bool
    given: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """Names of what is handed from segment to segment."""
        populations = [(name, layer) for name, layer in self.during.layers if isinstance(layer, Spiking)]
        return tuple(f"{name}.{key}" for name, layer in populations for key in layer.neuron.rest(torch.empty(0))._fields)

    def piece(self, index: int, x: Tensor, state: Params, params: Params) -> list[Tensor]:
        """Run one segment: its share of the average over time, and the state after it."""
        start, stop = self.bounds[index : index + 2]
        values = x if self.timed else x.expand(stop - start, *x.shape)
        record = self.during.run(params, Signal(values, True), state)
        steps = self.bounds[-1]
        if self.decay == 0:
            share = record.output.sum(0) / steps
        else:
            left = torch.arange(steps - start, steps - stop, -1, dtype=values.dtype, device=values.device)
            share = torch.tensordot((1 - self.decay**left) / steps, record.output, dims=1)
        return [share, *(record.state[name] for name in self.states)]

    def shown(self, index: int, x: Tensor) -> Tensor:
        """What the input is during one segment."""
        return x[self.bounds[index] : self.bounds[index + 1]] if self.timed else x

    def parts(self, leaves: tuple[Tensor, ...]) -> tuple[Params, Params]:
        """Initial state and parameters by name."""
        cut = len(self.given)
        return dict(zip(self.given, leaves[:cut], strict=True)), dict(zip(self.names, leaves[cut:], strict=True))


class _Run(torch.autograd.Function):
    """(input, initial state, parameters) -> average over time, final state, and the states between segments for the backward pass."""

    @staticmethod
    def forward(plan: _Plan, x: Tensor, *leaves: Tensor) -> Any:  # type: ignore[override]
        state, params = plan.parts(leaves)
        total, passed = None, []
        for index in range(len(plan.bounds) - 1):
            share, *last = plan.piece(index, plan.shown(index, x), state, params)
            total = share if total is None else total + share
            state = dict(zip(plan.states, (part.clone() for part in last), strict=True))  # a view would keep the segment in memory
            passed.append(tuple(state.values()))
        between = tuple(part.clone() for states in passed[:-1] for part in states)
        return total, *state.values(), *between

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.plan = inputs[0]
        between = output[1 + len(ctx.plan.states) :]
        ctx.mark_non_differentiable(*between)
        ctx.save_for_backward(*inputs[1:], *between)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # type: ignore[override]
        wanted = _Wanted(ctx.plan, tuple(ctx.needs_input_grad[1:]))
        found = iter(_Back.apply(wanted, *gradients[: 1 + len(ctx.plan.states)], *ctx.saved_tensors))  # type: ignore[arg-type]
        return None, *(next(found) if need else None for need in wanted.need)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _one_by_one(_Run, info, in_dims, args)


@dataclass(frozen=True)
class _Wanted:
    """A plan, and which of its inputs need a gradient."""

    plan: _Plan
    need: tuple[bool, ...]


class _Back(torch.autograd.Function):
    """Gradients of input, initial state and parameters, those that are needed; a node of its own, so that torch.func may wrap it."""

    @staticmethod
    def forward(wanted: _Wanted, *tensors: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        plan, states = wanted.plan, len(wanted.plan.states)
        gradients, (x, *rest) = list(tensors[: 1 + states]), tensors[1 + states :]
        leaves, between = rest[: len(wanted.need) - 1], rest[len(wanted.need) - 1 :]
        totals: list[Tensor | None] = [None] * len(leaves)
        of_x: list[Tensor] = []
        for index in reversed(range(len(plan.bounds) - 1)):
            handed = between[states * (index - 1) : states * index] if index else leaves[: len(plan.given)]
            slopes = _slopes(wanted, index, x, handed, leaves[len(plan.given) :], gradients)
            if wanted.need[0]:
                of_x.append(slopes.x)
            for place, slope in enumerate(slopes.params, start=len(plan.given)):
                if slope is not None:
                    so_far = totals[place]
                    totals[place] = slope if so_far is None else so_far + slope
            gradients[1:] = slopes.state
        totals[: len(plan.given)] = gradients[1 : 1 + len(plan.given)]
        first = [torch.cat(of_x[::-1]) if plan.timed else torch.stack(of_x).sum(0)] if wanted.need[0] else []
        kept = (torch.zeros_like(leaf) if t is None else t for t, leaf, need in zip(totals, leaves, wanted.need[1:], strict=True) if need)
        return *first, *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)
        ctx.inputs = len(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:  # type: ignore[override]
        if any(g is not None for g in gradients):
            raise UserError(
                "second derivatives asked of segments, which have first ones only: choose estimator first-order, or segments = 1"
            )
        return (None,) * ctx.inputs

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        return _one_by_one(_Back, info, in_dims, args)


class _Slopes(NamedTuple):
    """Gradients of one segment with respect to its input, the state handed to it and the parameters."""

    x: Tensor
    state: list[Tensor]
    params: list[Tensor | None]


def _slopes(wanted: _Wanted, index: int, x: Tensor, handed: Any, params: Any, gradients: list[Tensor]) -> _Slopes:
    """Run a segment again, this time with its graph, and carry the gradients of its results back."""
    plan = wanted.plan
    need = (wanted.need[0], *([True] * len(handed)), *wanted.need[1 + len(plan.given) :])
    every = [part.detach().requires_grad_(n) for part, n in zip((plan.shown(index, x), *handed, *params), need, strict=True)]
    names = plan.states if index else plan.given
    with torch.enable_grad():
        state = dict(zip(names, every[1 : 1 + len(handed)], strict=True))
        outputs = plan.piece(index, every[0], state, dict(zip(plan.names, every[1 + len(handed) :], strict=True)))
    moving = [(out, g) for out, g in zip(outputs, gradients, strict=True) if out.requires_grad]
    inputs = [part for part in every if part.requires_grad]
    found = iter(torch.autograd.grad([o for o, _ in moving], inputs, [g for _, g in moving], allow_unused=True) if moving else [])
    every_slope = [next(found) if part.requires_grad and moving else None for part in every]
    filled = [torch.zeros_like(part) if s is None else s for part, s in zip(every, every_slope, strict=True)][: 1 + len(handed)]
    return _Slopes(filled[0], filled[1:], every_slope[1 + len(handed) :])


def _one_by_one(function: Any, info: Any, in_dims: Any, args: Any) -> Any:
    """Under vmap: each element by itself, stacked."""
    each = [
        function.apply(*(arg if dim is None else arg.select(dim, i) for arg, dim in zip(args, in_dims, strict=True)))
        for i in range(info.batch_size)
    ]
    return tuple(torch.stack(parts) for parts in zip(*each, strict=True)), (0,) * len(each[0])
