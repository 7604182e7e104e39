"""e-prop with the whole window at hand: signals go back through each neuron's own membrane, and no trace is kept at a synapse."""

from torch import Tensor

from neurometa.core.adjoint import Signals, adjoint
from neurometa.core.learnt import Broadcast, dense, fuses
from neurometa.plasticity import estimate, feedback, outputs, stages
from neurometa.plasticity.estimate import Found, Rule
from neurometa.plasticity.feedback import FEEDBACK
from neurometa.plasticity.stages import Heard, Parts, Shown
from neurometa.types import Data, Network, Params


def gradient(rule: Rule, network: Network, taken: Parts, still: Params, fast: Params, support: Data, heard: Heard) -> Found:
    """The estimate of dE/dfast on some examples, with the statistics and the work of it.

    Args:
        rule: how.
        network, taken: the network, and its parts.
        still, fast: weights that stay and weights that learn.
        support: the examples.
        heard: what the stages before the first with fast weights say of them, see `stages.still`.
    """
    x, shown = heard.x, [*heard.shown]
    for stage in taken.stages[len(shown) :]:
        x, one = stages.run(stage, still, fast, x, rule.truncate)
        shown.append(one)
    said = outputs.spoken(taken.readout, rule.output, still, fast, shown[-1], x, rule.truncate)
    window = outputs.Window(len(shown[-1].fields.z), estimate.average(taken).last)
    error = outputs.error(said.output, support.y, window, rule.ways or 1)
    delay = min(rule.signal_delay, window.steps)
    error, _ = feedback.arriving(error, delay)
    weights, sent = said.pull(error)
    back = said.back(error) if rule.feedback in ("random", "learnt") else None
    told = {}
    if rule.feedback == "generator":
        told = rule.generator.signals(still, network.signal(support.x), shown[-1].fields.z, support.y, said.output.shape[-1])
    for at, one in enumerate(shown):
        if not any(one.stage.owns(name) for name in fast):
            continue
        if one.stage.name in told:
            signal = feedback.arriving(told[one.stage.name].reshape(one.fields.z.shape), delay)[0]
        elif back is None:
            signal = feedback.undelayed(sent, one.stage)
        else:
            matrix = still[f"{FEEDBACK}.{one.stage.name}"]
            signal = feedback.broadcast(back, matrix.detach() if rule.feedback == "random" else matrix)
            for stage in taken.stages[at:]:  # an error tells of a spike that left as many steps ago as there are delays on its way
                signal = feedback.undelayed(signal, stage)
        weights |= learnt(rule, one, signal)
    statistics = {name: value for one in shown for name, value in one.statistics.items()}
    fired = [one.fields.z for one in shown]
    done = estimate.work(fast, [(one.stage, one.fields.z) for one in shown], said.output)
    return Found(weights, {**statistics, **said.statistics}, estimate.spikes(fired), done)


def learnt(rule: Rule, one: Shown, signal: Tensor | Broadcast) -> Params:
    """The gradient of a stage's fast weights from the learning signal at its spikes."""
    neuron, fields = rule.traced(one.neuron, one.fields)
    kernel = one.stage.population.kernel
    if isinstance(signal, Broadcast):
        if one.dense is not None and not rule.regularisation and fuses(neuron, fields, one.dense.x, kernel):
            return one.dense.named(*dense(neuron, fields, signal, one.dense.x))
        signal = signal.full(one.fields.z)
    if rule.regularisation:
        signal = signal + feedback.towards(one.fields.z, rule.target_rate, rule.regularisation)
    return one.pull(adjoint(neuron, fields, Signals(signal), kernel).current)
