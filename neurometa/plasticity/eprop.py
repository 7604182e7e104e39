"""e-prop: eligibility at every synapse, a learning signal at every neuron, no error carried back in time."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.network import READOUT
from neurometa.core.neuron import ALIF, LIF, LIFState
from neurometa.core.tree import finite, select, without
from neurometa.plasticity import feedback, fit, online, stages, step_size, whole
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.generator import Generator
from neurometa.plasticity.stages import SYNAPTIC, Parts
from neurometa.types import Adapted, Data, Network, Params, Work

PREFIX = "eprop"
"""What the rule's slow parameters begin with."""


class EProp(NamedTuple):
    """Learn from local eligibility and a broadcast learning signal.

    dE/dw_ji = sum over t >= d of L_j[t-d] e_ji[t],   w <- w - rate * dE/dw,   `steps` times

    e_ji[t] = dz_j[t]/dw_ji with all other spikes held constant; L_j[t] = dE/dz_j[t] along the readout alone. E is the mean over time of the
    loss of the output at t; d is `signal_delay`. Computed with the sums exchanged: the signal goes back through each neuron's own membrane
    (`core.adjoint`), which costs O(neurons) a step and not O(synapses), and what arrives at its current meets the presynaptic spikes in one
    product. Equal to rounding.

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
        target_rate, regularisation: firing rate to be held over the whole window (a signal that knows later steps), and how strongly.
        columns: of weights of which not all synapses move, those that do.
        signal_delay: d, steps that a learning signal is under way before it meets the traces of hidden and of readout synapses, as along
            real wires. The signals of the last d steps of a window never arrive: with d >= the window nothing is learnt. What holds
            firing rates is the neuron's own and is not delayed.
    Source:
        Bellec et al. 2020, doi:10.1038/s41467-020-17236-y: equation 1 (dE/dW_ji = sum_t dE/dz_j[t] e_ji[t], as the authors' code cites it),
        13 (e = dz/dh eps), 14 (eps[t] = dh[t]/dh[t-1] eps[t-1] + dh[t]/dW, as the caption of figure 6 cites it), 22 and 23 (LIF), 24 and 25
        (ALIF); 13 and 22 to 25 as public reimplementations number them, which agree with each other; not read in the article itself.
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
    columns: tuple[step_size.Columns, ...] = ()
    signal_delay: int = 0

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
        start = {**network.init(torch.Generator()), **{f"{READOUT}.{key}": torch.empty(0) for key in ("weight", "bias")}}
        fit.refuse(self, stages.parts(network), self._moving(start))

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
        return self.onward(network, {**slow, **step_size.unwritten(network, slow, self.ways)}, support)

    def onward(self, network: Network, start: Params, support: Data) -> Adapted:
        """The same from where a readout was written already.

        Raises:
            UserError: what `refuse` says, or examples one at a time and a normalisation that would take its statistics from the first.
        """
        taken, fast = stages.parts(network), self._moving(start)
        fit.refuse(self, taken, fast)
        if self.examples == "single":
            fit.refuse_statistics(taken, start)
        still = without(start, fast)
        statistics: Params = {}
        spiked = torch.zeros((), device=support.x.device)
        work = torch.zeros(3)
        dealt, heard = self.dealt(network, support), {}
        for _ in range(self.steps):
            for i, part in enumerate(dealt):
                if self.chunk:
                    fast, more, done = self._online(network, taken, start, fast, part)
                    spiked, work = spiked + more, work + done
                    continue
                known = {**still, **statistics}
                heard[i] = heard.get(i) or stages.still(taken, known, fast, network.signal(part.x))
                found = whole.gradient(self, network, taken, known, fast, part, heard[i])
                fast = self._stepped(start, fast, found.weights)
                measured = {name: value for name, value in found.statistics.items() if name not in statistics}
                statistics, spiked, work = {**statistics, **measured}, spiked + found.spikes, work + found.work
        share = step_size.moving(self._sizes, fast) / sum(value.numel() for value in fast.values())
        return Adapted(fast, Work(share * work[0], *work[1:]), finite(fast) & (spiked > 0), statistics)

    def _online(self, network: Network, taken: Parts, slow: Params, fast: Params, support: Data) -> tuple[Params, Tensor, Tensor]:
        """One pass over some examples chunk by chunk: the fast weights after it, the number of spikes, the work."""
        still = without(slow, fast)
        x = network.signal(support.x)
        held = taken.stages[0].population.steps
        values = x.values if x.timed else x.values.expand(held, *x.values.shape)
        progress, total = online.Progress(len(values), 0, (), None, None), {name: torch.zeros_like(value) for name, value in fast.items()}
        spikes, work = values.new_zeros(()), torch.zeros(3)
        for part in values.split(self.chunk):
            found, progress = online.chunk(self, taken, still, fast, part, support.y, progress)
            spikes = spikes + found.spikes
            work = work + found.work if self.online else torch.cat([found.work[:1], work[1:] + found.work[1:]])  # one update a pass
            if self.online:
                fast = self._stepped(slow, fast, found.weights)
            else:
                total = {name: value + found.weights[name] for name, value in total.items()}
        return fast if self.online else self._stepped(slow, fast, total), spikes, work

    def _stepped(self, slow: Params, fast: Params, gradient: Params) -> Params:
        return step_size.stepped(PREFIX, self._sizes, slow, fast, gradient)

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
        return step_size.Sizes(self.rate, self.rate if self.hidden_rate is None else self.hidden_rate, self.rates, self.columns)

    def _moving(self, params: Params) -> Params:
        """The fast weights: synaptic ones that a pattern names."""
        named = select(params, self.fast)
        kinds = tuple(f".{kind}" for kind in SYNAPTIC)
        return {name: value for name, value in named.items() if name.endswith(kinds) and not name.startswith(f"{PREFIX}.")}

    def dealt(self, network: Network, support: Data) -> list[Data]:
        """The support set as it is shown: at once, or example by example."""
        if self.examples == "batch":
            return [support]
        axis = 1 if network.signal(support.x).timed else 0
        count = support.y.shape[0]
        return [Data(support.x.narrow(axis, i, 1), support.y[i : i + 1]) for i in range(count)]
