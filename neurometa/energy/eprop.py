"""e-prop as a chip has to do it: traces carried forward in time, and every plastic synapse visited at every step.

The simulator exchanges the sums of the rule and meets each synapse once a window (`core.adjoint`); a chip that learns while the window runs
cannot. What is counted is the definition, Bellec et al. 2020: dw_ji = sum over t of L_j[t] e_ji[t].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from neurometa.core.layer import Spiking, TimeAverage
from neurometa.core.network import Stack
from neurometa.core.neuron import ALIF
from neurometa.energy.counts import Counts
from neurometa.energy.stage import Stage
from neurometa.errors import UserError
from neurometa.plasticity import fit, stages, step_size
from neurometa.plasticity.eprop import EProp
from neurometa.types import Adapted, Data, Params, Work


def adapted(rule: EProp, network: Stack, params: Params, support: Data, show: Callable[[Params, Data], object]) -> Adapted:
    """Adapt as `rule.adapt` does, to the same bits, pass by pass: before each, what is shown with the weights of that moment is told.

    Weights that move within a window (`online`) are told as they were at its beginning.

    Args:
        rule, network, params, support: as for `EProp.adapt`.
        show: called with the weights and the examples of each pass.
    Raises:
        UserError: the learning signals come from a network of their own.
    """
    if rule.feedback == "generator":
        raise UserError(
            "a learner of rule eprop with feedback generator given, whose own network is not counted: estimate one with feedback "
            "symmetric, random or learnt"
        )
    if rule.examples == "single":
        fit.refuse_statistics(stages.parts(network), params)
    once, parts = rule._replace(steps=1, examples="batch"), []
    weights = {**params, **step_size.unwritten(network, params, rule.ways)}
    for _ in range(rule.steps):
        for examples in rule.dealt(network, support):
            show(weights, examples)
            parts.append(once.onward(network, weights, examples))
            weights = {**weights, **parts[-1].fast, **parts[-1].statistics}
    statistics: Params = {}
    for part in parts:
        statistics |= {name: value for name, value in part.statistics.items() if name not in statistics}
    work = Work(*(torch.stack(same).sum() for same in zip(*(part.work for part in parts), strict=True)))
    return Adapted(parts[-1].fast, work, parts[-1].finite, statistics)


def work(rule: EProp, network: Stack, plan: tuple[Stage, ...], fast: dict[str, Tensor], steps: float) -> Counts:
    """What the rule does in so many time steps, of all examples and passes together.

    Visited at a step: every synapse that moves (the rule's `columns`), used in space as often as it is, and each bias. Traces: one a
    presynaptic neuron where the eligibility is a product of one of each side; one a synapse where its decay depends on the neuron behind
    (a reset that counts, an adapting threshold), and one more a synapse where the readout leaks, whose filter the eligibility passes.
    Learning signals: a product of each output and each learning neuron.
    """
    plastic = [stage for stage in plan if stage.weight in fast]
    layers = dict(network.layers)
    leaks = any(isinstance(layer, TimeAverage) and layer.decay > 0 for layer in layers.values())
    some = {name: (last - first) / fast[name].shape[1] for name, first, last in rule.columns if name in fast}
    share = {stage.weight: some.get(stage.weight, 1.0) for stage in plastic}
    moving = {stage.weight: stage.synapses * share[stage.weight] for stage in plastic}
    visited = sum(moving.values()) + sum(value.numel() for name, value in fast.items() if name not in moving)
    learning = {stage.population: math.prod(stage.shape) for stage in plastic if stage.population}
    factorised = [stage for stage in plastic if _factorises(rule, layers.get(stage.population))]
    sources = {stage.source: math.prod(stage.source_shape) * share[stage.weight] for stage in factorised}
    hidden = [stage.weight for stage in plastic if stage.population]
    traces = sum(sources.values()) + sum(learning.values())
    traces += sum(moving[stage.weight] for stage in plastic if stage not in factorised)
    traces += leaks * sum(moving[name] for name in hidden)
    outputs = plan[-1].shape[0]
    return Counts(synaptic_updates=visited * steps, trace_updates=traces * steps, learning_signals=outputs * sum(learning.values()) * steps)


def _factorises(rule: EProp, layer: object) -> bool:
    """Whether one trace for all synapses of a presynaptic neuron will do; the readout's always."""
    if not isinstance(layer, Spiking):
        return True
    neuron = layer.neuron
    if isinstance(neuron, ALIF) and rule.trace != "membrane":
        return False
    return rule.trace == "plain" or not (neuron.hard_reset or neuron.reset_gradient)  # type: ignore[attr-defined]
