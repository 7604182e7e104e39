"""e-prop: eligibility at every synapse, a learning signal at every neuron, no error carried back in time."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.adjoint import KNOWN, Signals, adjoint
from neurometa.core.layer import Flatten, Linear, TimeAverage
from neurometa.core.network import READOUT
from neurometa.core.neuron import ALIF, LIF, LIFState
from neurometa.core.tree import finite, select, without
from neurometa.errors import UserError
from neurometa.plasticity import chunks, feedback, online, outputs, stages, step_size
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.generator import Generator
from neurometa.plasticity.online import Found
from neurometa.plasticity.stages import SYNAPTIC, Parts, Shown
from neurometa.types import Adapted, Data, Network, Params, Work

TRACES = ("exact", "plain", "membrane")
"""What an eligibility trace remembers: all; not that a spike of its neuron reset the membrane; not the adaptation of the threshold."""

PREFIX = "eprop"
"""What the rule's slow parameters begin with."""


class EProp(NamedTuple):
    """Learn from local eligibility and a broadcast learning signal.

    dE/dw_ji = sum over t of L_j[t] e_ji[t],   w <- w - rate * dE/dw,   `steps` times

    e_ji[t] = dz_j[t]/dw_ji with all other spikes held constant; L_j[t] = dE/dz_j[t] along the readout alone. E is the mean over time
    of the loss of the output at t. Computed with the sums exchanged: the signal goes back through each neuron's own membrane
    (`core.adjoint`), which costs O(neurons) a step and not O(synapses), and what arrives at its current meets the presynaptic
    spikes in one product. Equal to rounding.

    Attributes:
        steps: passes over the support set.
        rate, rates: step size and whose own it is, see `step_size`.
        hidden_rate: step size of everything but the readout; None for `rate`.
        fast: name patterns of the weights that move.
        ways: classes for which an unwritten readout gets a row of zeros, E then being `ways` times the mean, as in `BPTT`; None where the
            readout is part of the slow weights.
        feedback: "symmetric", "random", "learnt", or "generator" for a network of its own that emits the signals.
        generator: that network.
        output: what the loss is of, see `outputs.OverTime`; "time-mean" is offline, the others causal.
        trace: "exact", or "plain" without the reset (a chip's trace), or "membrane" without the adaptation of the threshold.
        examples: "batch" for one update a pass, "single" for one after each example, in the order given.
        chunk: steps that are worked on at a time, their traces carried on exactly, so that memory does not grow with the window; 0 for all.
        online: update after each chunk, not at the end of the window.
        truncate: hold traces constant in the outer gradient, which then passes through the learning signals alone.
        target_rate, regularisation: firing rate to be held, and how strongly.
    Source:
        Bellec et al. 2020, doi:10.1038/s41467-020-17236-y, equation 1 (dE/dW_ji = sum_t dE/dz_j[t] e_ji[t], as the authors' code cites it).
    """

    steps: int = 1
    rate: float = 0.1
    rates: str = "fixed"
    hidden_rate: float | None = None
    fast: tuple[str, ...] = ("*",)
    ways: int | None = None
    feedback: str = "symmetric"
    output: str = "membrane"
    trace: str = "exact"
    examples: str = "batch"
    chunk: int = 0
    online: bool = False
    truncate: bool = False
    target_rate: float = 0.1
    regularisation: float = 0.0
    generator: Generator = Generator()

    @property
    def exact_graph(self) -> bool:
        """Every update is differentiable."""
        return True

    @property
    def readout_only(self) -> bool:
        """No: even a readout alone learns from every step, not from the mean over time."""
        return False

    def refuse(self, network: Network) -> None:
        """Refuse a network that the rule cannot work on as it is set.

        Raises:
            UserError: no row of layers, a neuron without known eligibility, symmetric feedback to a population that the readout does not
                see, or a trace without adaptation where none adapts.
        """
        taken = stages.parts(network)
        names = self._moving({**network.init(torch.Generator()), **{f"{READOUT}.{key}": torch.empty(0) for key in ("weight", "bias")}})
        for stage in taken.stages:
            kind, learns = stage.population.neuron, [name for name in names if stage.owns(name)]
            if learns and not isinstance(kind, KNOWN):
                known = ", ".join(known.__name__ for known in KNOWN)
                raise UserError(f"rule eprop with fast {learns[0]} into neurons {type(kind).__name__} given, neurons {known} expected")
            if learns and self.feedback == "symmetric" and stage is not taken.stages[-1]:
                raise UserError(
                    f"rule eprop with symmetric feedback and fast {learns[0]} given, but population {stage.name} is not wired to the "
                    f"readout, only {taken.stages[-1].name} is: choose feedback = 'random' or 'learnt', or leave {learns[0]} out of fast"
                )
        if self.trace == "membrane" and not any(isinstance(stage.population.neuron, ALIF) for stage in taken.stages):
            raise UserError("rule eprop with trace membrane given, which leaves out adaptation: neurons ALIF expected; choose trace exact")

        if self.online and not self.chunk:
            raise UserError(
                "rule eprop with updates online and chunk 0 given: say after how many steps weights move with chunk, such as 50"
            )
        if self.chunk:
            self._refuse_chunks(taken, names)

    def _refuse_chunks(self, taken: Parts, names: Params) -> None:
        for stage in taken.stages:
            chunks.refuse(stage)
            alone = [n for n in names if stage.owns(n) and n.endswith(".bias") and f"{n.removesuffix('.bias')}.weight" not in names]
            if alone:
                raise UserError(f"rule eprop with chunk and fast {alone[0]} without its weights given: name both, or choose chunk 0")
        if self.output != "membrane" or self.regularisation or self.feedback == "generator":
            what = (
                f"output {self.output}" if self.output != "membrane" else "regularisation" if self.regularisation else "feedback generator"
            )
            raise UserError(f"rule eprop with chunk and {what} given, which look at the whole window: choose chunk 0, or output membrane")
        for name, layer in taken.readout:
            if not isinstance(layer, TimeAverage | Flatten | Linear):
                kind = type(layer).__name__
                raise UserError(
                    f"rule eprop with chunk and {name} of kind {kind} in the readout given, a linear one expected: choose chunk 0"
                )

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Step sizes, where learnt, and feedback weights of every population with fast weights, where not symmetric."""
        start = {**params, **step_size.unwritten(network, params, self.ways)}
        found = step_size.slow(PREFIX, self._sizes, self._moving(start))
        if self.feedback == "symmetric":
            return found
        size, taken, outs = feedback.shapes(network), stages.parts(network), len(start[f"{READOUT}.weight"])
        learning = {one.name: size[one.name] for one in taken.stages if any(one.owns(name) for name in self._moving(start))}
        if self.feedback == "generator":
            last, neurons = size[taken.stages[-1].name], {name: math.prod(shape) for name, shape in learning.items()}
            return found | self.generator.init(math.prod(network.shape), math.prod(last), outs, neurons, generator)  # type: ignore[attr-defined]
        return found | {f"{FEEDBACK}.{name}": feedback.drawn(shape, outs, generator) for name, shape in learning.items()}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Learn from the support set.

        Args:
            network: a row of layers with at least one spiking population.
            slow: its parameters, the normalisation statistics to use, if any, and the rule's own.
            support: labelled examples; classes, or numbers (n, outputs).
        Returns:
            The moved weights; `finite` is False where they are not finite or no neuron has spiked.
        """
        taken = stages.parts(network)
        start = {**slow, **step_size.unwritten(network, slow, self.ways)}
        fast = self._moving(start)
        still = without(slow, fast)
        statistics: Params = {}
        spiked = torch.zeros((), device=support.x.device)
        work = torch.zeros(3)
        dealt, heard = self._dealt(network, support), {}
        for _ in range(self.steps):
            for i, part in enumerate(dealt):
                if self.chunk:
                    fast, more, done = self._online(network, taken, start, fast, part)
                    spiked, work = spiked + more, work + done
                    continue
                known = {**still, **statistics}
                heard[i] = heard.get(i) or stages.still(taken, known, fast, network.signal(part.x))
                found = self.gradient(network, taken, known, fast, part, heard[i])
                fast = self._stepped(slow, fast, found.weights)
                measured = {name: value for name, value in found.statistics.items() if name not in statistics}
                statistics, spiked, work = {**statistics, **measured}, spiked + found.spikes, work + found.work
        return Adapted(fast, Work(*work), finite(fast) & (spiked > 0), statistics)

    def gradient(self, network: Network, taken: Parts, still: Params, fast: Params, support: Data, heard: stages.Heard) -> Found:
        """The estimate of dE/dfast on some examples, with the statistics and the work of it."""
        given, (x, shown) = network.signal(support.x), (heard.x, [*heard.shown])
        for stage in taken.stages[len(shown) :]:
            x, one = stages.run(stage, still, fast, x, self.truncate)
            shown.append(one)
        said = outputs.spoken(taken.readout, self.output, still, fast, shown[-1], x, self.truncate)
        window = outputs.Window(len(shown[-1].fields.z), _average(taken).last)
        error = outputs.error(said.output, support.y, window, self.ways or 1)
        weights, sent = said.pull(error)
        back = said.back(error) if self.feedback in ("random", "learnt") else None
        told = {}
        if self.feedback == "generator":
            told = self.generator.signals(still, given, shown[-1].fields.z, support.y, said.output.shape[-1])
        for one in shown:
            if not any(one.stage.owns(name) for name in fast):
                continue
            if one.stage.name in told:
                signal = told[one.stage.name].reshape(one.fields.z.shape)
            elif back is None:
                signal = feedback.undelayed(sent, one.stage)
            else:
                matrix = still[f"{FEEDBACK}.{one.stage.name}"]
                signal = feedback.broadcast(back, matrix.detach() if self.feedback == "random" else matrix)
            if self.regularisation:
                signal = signal + feedback.towards(one.fields.z, self.target_rate, self.regularisation)
            weights |= one.pull(self.eligible(one, signal))
        statistics = {name: value for one in shown for name, value in one.statistics.items()}
        return Found(
            weights,
            {**statistics, **said.statistics},
            feedback.spikes(shown),
            online.work(fast, [(one.stage, one.fields.z) for one in shown], said.output),
        )

    def _online(self, network: Network, taken: Parts, slow: Params, fast: Params, support: Data) -> tuple[Params, Tensor, Tensor]:
        """One pass over some examples chunk by chunk: the fast weights after it, the number of spikes, the work."""
        still = without(slow, fast)
        x = network.signal(support.x)
        held = taken.stages[0].population.steps
        values = x.values if x.timed else x.values.expand(held, *x.values.shape)
        progress, total = online.Progress(len(values), 0, (), None), {name: torch.zeros_like(value) for name, value in fast.items()}
        spikes, work = values.new_zeros(()), torch.zeros(3)
        for part in values.split(self.chunk):
            found, progress = online.chunk(self, taken, still, fast, part, support.y, progress)
            spikes, work = spikes + found.spikes, work + found.work
            if self.online:
                fast = self._stepped(slow, fast, found.weights)
            else:
                total = {name: value + found.weights[name] for name, value in total.items()}
        return fast if self.online else self._stepped(slow, fast, total), spikes, work

    def _stepped(self, slow: Params, fast: Params, gradient: Params) -> Params:
        return {name: value - step_size.of(PREFIX, self._sizes, slow, name) * gradient[name] for name, value in fast.items()}

    def eligible(self, one: Shown, signal: Tensor) -> Tensor:
        """What a learning signal at the spikes of a population means for its current: dE/dcurrent along its own membrane."""
        return adjoint(*self.traced(one.neuron, one.fields), Signals(signal), one.stage.population.kernel).current

    def traced(self, neuron: Any, fields: Any) -> tuple[Any, Any]:
        """A population as its eligibility traces see it."""
        if self.truncate:
            fields = type(fields)(*(field.detach() for field in fields))
            neuron = type(neuron)(*(c.detach() if isinstance(c, Tensor) else c for c in neuron))
        if self.trace == "membrane" and isinstance(neuron, ALIF):
            fields = LIFState(fields.v - neuron.beta * fields.a, fields.z)
            neuron = LIF(neuron.decay, neuron.threshold, neuron.hard_reset, False, neuron.surrogate)
        return (neuron._replace(hard_reset=False) if self.trace == "plain" else neuron), fields

    @property
    def _sizes(self) -> step_size.Sizes:
        return step_size.Sizes(self.rate, self.rate if self.hidden_rate is None else self.hidden_rate, self.rates)

    def _moving(self, params: Params) -> Params:
        """The fast weights: synaptic ones that a pattern names."""
        named = select(params, self.fast)
        kinds = tuple(f".{kind}" for kind in SYNAPTIC)
        return {name: value for name, value in named.items() if name.endswith(kinds) and not name.startswith(f"{PREFIX}.")}

    def _dealt(self, network: Network, support: Data) -> list[Data]:
        """The support set as it is shown: at once, or example by example."""
        if self.examples == "batch":
            return [support]
        axis = 1 if network.signal(support.x).timed else 0
        count = support.y.shape[0]
        return [Data(support.x.narrow(axis, i, 1), support.y[i : i + 1]) for i in range(count)]


def _average(taken: Parts) -> TimeAverage:
    """How the readout averages over time."""
    return next((layer for _, layer in taken.readout if isinstance(layer, TimeAverage)), TimeAverage())
