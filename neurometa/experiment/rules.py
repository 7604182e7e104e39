"""Local rules of the readout from their configuration."""

from neurometa.core.neuron import LIF
from neurometa.errors import UserError
from neurometa.experiment import config
from neurometa.plasticity import hebbian, pairing, reward, soel, stdp
from neurometa.plasticity.base import Plasticity

Local = config.Hebbian | config.STDP | config.Reward | config.SOEL
"""Rules that write the readout from what meets at its synapses."""

TIMED = config.STDP | config.SOEL
"""Those of them that must see spikes in time."""


def local(rule: Local, ways: int) -> Plasticity:
    """Build the rule for episodes of that many ways.

    Raises:
        UserError: two of its fields contradict each other.
    """
    if isinstance(rule, config.Hebbian):
        return _hebbian(rule, ways)
    if isinstance(rule, config.STDP):
        return _stdp(rule, ways)
    if isinstance(rule, config.SOEL):
        return soel.SOEL(ways, rule.rate, rule.tau, rule.threshold, rule.scale, rule.every, rule.passes, rule.signal_delay, rule.output)
    return reward.RewardModulated(ways, rule.trials, rule.rate, rule.greed, rule.forget, rule.baseline, rule.scale)


def refuse(experiment: config.Experiment) -> None:
    """What a network or a task lacks for a local rule of its readout."""
    rule, net = experiment.plasticity, experiment.network
    if not isinstance(rule, config.STDP | config.SOEL | config.Reward):
        return
    kind = rule.__struct_config__.tag
    if isinstance(experiment.task, config.Sinusoid):
        raise UserError(f"plasticity {kind} tells right from wrong classes, task sinusoid has none: choose bptt or hebbian")
    if isinstance(rule, config.Reward) and experiment.training.redeal:
        raise UserError("training.redeal deals examples anew after plasticity reward drew its noise: choose redeal false")
    if not isinstance(rule, TIMED):
        return
    if isinstance(net.neuron, config.ReLU):
        raise UserError(f"plasticity {kind} needs the times of spikes, neuron relu has none: choose neuron lif, or plasticity hebbian")
    dense = isinstance(net, config.Conv) and bool(net.hidden)
    if net.features != "spikes" and not dense:
        raise UserError(
            f"plasticity {kind} needs spikes before the readout, network.features = 'current' has none: choose features 'spikes'"
        )
    if net.normalise_features and not dense:
        raise UserError(
            f"plasticity {kind} needs spikes, network.normalise_features makes numbers of them: choose normalise_features false"
        )


def _hebbian(rule: config.Hebbian, ways: int) -> hebbian.Hebbian:
    if rule.trace and not rule.gated:
        raise UserError(f"plasticity.trace = {rule.trace} is what a gate reaches back to: set plasticity.gated = true, or trace = 0")
    change = {"hebb": hebbian.hebb, "oja": hebbian.oja, "memory": hebbian.memory}[rule.rule]
    own = rule.head == "own"
    return hebbian.Hebbian(
        ways, change, rule.coefficients, own, rule.gated, rule.trace, rule.normalise, rule.eta, rule.keep, rule.alpha
    )  # fmt: skip


def _stdp(rule: config.STDP, ways: int) -> stdp.STDP:
    if rule.low >= rule.high:
        raise UserError(f"plasticity.low = {rule.low} and high = {rule.high} given, low below high expected")
    if not rule.low <= 0 <= rule.high:
        raise UserError(f"plasticity.low = {rule.low} and high = {rule.high} given, weights begin at 0: choose bounds around it")
    constants = {name: getattr(rule, name) for name in stdp.CONSTANTS}
    how = {"multiplicative": rule.bounds == "multiplicative", "nearest": rule.pairing == "nearest", "coincident": rule.coincident}
    paired = pairing.Pairing(**constants, low=rule.low, high=rule.high, **how)
    teacher = stdp.Teacher(LIF() if rule.teacher == "current" else None, rule.strength, rule.period)
    return stdp.STDP(ways, paired, teacher, rule.passes, rule.scale, rule.gains)
