"""Whether e-prop, as it is set, can work on a network: what it refuses, and what to choose instead."""

from neurometa.core.adjoint import KNOWN
from neurometa.core.layer import Flatten, Linear, Norm, TimeAverage
from neurometa.core.neuron import ALIF
from neurometa.errors import UserError
from neurometa.plasticity import chunks
from neurometa.plasticity.estimate import Rule
from neurometa.plasticity.outputs import CAUSAL
from neurometa.plasticity.stages import Parts
from neurometa.types import Params


def refuse(rule: Rule, taken: Parts, names: Params) -> None:
    """Refuse a network.

    Args:
        rule: how it is set.
        taken: the network's parts.
        names: the weights that would be fast.
    Raises:
        UserError: a neuron without known eligibility, symmetric feedback to a population that the readout does not see, a trace without
            adaptation where none adapts, a delay that is negative or of an offline signal, or chunks of what has to be looked at whole.
    """
    for stage in taken.stages:
        kind, learns = stage.population.neuron, [name for name in names if stage.owns(name)]
        if learns and not isinstance(kind, KNOWN):
            known = ", ".join(known.__name__ for known in KNOWN)
            raise UserError(f"rule eprop with fast {learns[0]} into neurons {type(kind).__name__} given, neurons {known} expected")
        if learns and rule.feedback == "symmetric" and stage is not taken.stages[-1]:
            raise UserError(
                f"rule eprop with symmetric feedback and fast {learns[0]} given, but population {stage.name} is not wired to the "
                f"readout, only {taken.stages[-1].name} is: choose feedback = 'random' or 'learnt', or leave {learns[0]} out of fast"
            )
    if rule.trace == "membrane" and not any(isinstance(stage.population.neuron, ALIF) for stage in taken.stages):
        raise UserError("rule eprop with trace membrane given, which leaves out adaptation: neurons ALIF expected; choose trace exact")
    if rule.signal_delay < 0:
        raise UserError(f"rule eprop with signal_delay {rule.signal_delay} given, expected 0 or more steps")
    if rule.signal_delay and rule.output not in CAUSAL:
        raise UserError(
            f"rule eprop with signal_delay {rule.signal_delay} and output {rule.output} given, whose error is known when the window "
            f"is over: choose signal_delay 0, or output {' or '.join(CAUSAL)}"
        )
    if rule.online and not rule.chunk:
        raise UserError("rule eprop with updates online and chunk 0 given: say after how many steps weights move with chunk, such as 50")
    if rule.chunk:
        _refuse_chunks(rule, taken, names)


def refuse_statistics(taken: Parts, start: Params) -> None:
    """Refuse a normalisation that would take its statistics from a single example.

    Raises:
        UserError: naming the layer.
    """
    layers = [layer for stage in taken.stages for layer in stage.synapses] + list(taken.readout)
    for name, layer in layers:
        if isinstance(layer, Norm) and f"{name}.mean" not in start:
            raise UserError(
                f"rule eprop with examples single and normalisation {name} given, whose statistics would be those of the first example "
                "alone: choose examples = 'batch', or network.normalise = false"
            )


def _refuse_chunks(rule: Rule, taken: Parts, names: Params) -> None:
    for stage in taken.stages:
        chunks.refuse(stage)
        alone = [n for n in names if stage.owns(n) and n.endswith(".bias") and f"{n.removesuffix('.bias')}.weight" not in names]
        if alone:
            raise UserError(f"rule eprop with chunk and fast {alone[0]} without its weights given: name both, or choose chunk 0")
    if rule.output != "membrane" or rule.regularisation or rule.feedback == "generator":
        what = f"output {rule.output}" if rule.output != "membrane" else "regularisation" if rule.regularisation else "feedback generator"
        raise UserError(f"rule eprop with chunk and {what} given, which look at the whole window: choose chunk 0, or output membrane")
    averages = [i for i, (_, layer) in enumerate(taken.readout) if isinstance(layer, TimeAverage) and layer.decay > 0]
    if averages and any(isinstance(layer, Linear) for _, layer in taken.readout[: averages[0]]):
        name = taken.readout[averages[0]][0]
        raise UserError(f"rule eprop with chunk and filter {name} behind the readout's weights given, before them expected: choose chunk 0")
    for name, layer in taken.readout:
        if not isinstance(layer, TimeAverage | Flatten | Linear):
            kind = type(layer).__name__
            raise UserError(f"rule eprop with chunk and {name} of kind {kind} in the readout given, a linear one expected: choose chunk 0")
