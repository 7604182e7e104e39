"""What `network.arithmetic = "integer"` cannot be together with: whatever a chip's neurons, or the export, do not know."""

from typing import Any

from neurometa.errors import UserError
from neurometa.experiment import config
from neurometa.experiment.rules import TIMED

GIVEN = "network.arithmetic = 'integer' given"


def refuse(experiment: config.Experiment) -> None:
    """Refuse what integers cannot do; what rounded weights cannot do either, `pairs` refuses."""
    net = experiment.network
    if net.arithmetic == "float":
        return
    if net.bits == 32:
        raise UserError(f"{GIVEN} with network.bits = 32, expected what a chip's weights have: choose bits of 2 to 8")
    if isinstance(experiment.plasticity, TIMED):
        raise UserError(f"{GIVEN}, but this plasticity sees the readout at every step, which an export does not: choose prototype or bptt")
    if experiment.evaluation.bits != 32:
        raise UserError(f"{GIVEN}, which is judged as it was trained: choose evaluation.bits 32")
    _refuse_input(experiment)
    _refuse_neuron(net.neuron)
    _refuse_layers(net)


def refuse_machine(device: str, kernel: str | None) -> None:
    """Refuse a device or a kernel other than those that integers run on."""
    if device != "cpu":
        raise UserError(f"{GIVEN}, which runs on the CPU: choose training.device cpu")
    if kernel not in (None, "numba"):
        raise UserError(f"{GIVEN}, which runs by the kernel numba: choose training.kernel auto, or arithmetic float")


def _refuse_input(experiment: config.Experiment) -> None:
    """An input that is not made of spikes."""
    task, encoding = experiment.task, experiment.encoding
    if isinstance(encoding, config.Population) or (isinstance(encoding, config.Direct) and not getattr(task, "binary", True)):
        raise UserError(f"{GIVEN}, but the input is numbers, not spikes: choose task.binary = true, or encoding rate or latency")
    if isinstance(encoding, config.Delta) and encoding.off:
        raise UserError(f"{GIVEN}, but encoding.off = true sends -1 too: choose off = false")


def _refuse_neuron(unit: Any) -> None:
    if not isinstance(unit, config.LIF | config.IF):
        raise UserError(f"{GIVEN} for neuron {unit.__struct_config__.tag}: choose neuron lif or if, or arithmetic float")
    if unit.reset != "hard":
        raise UserError(f"{GIVEN}, but reset {unit.reset!r} is not a chip's: choose network.neuron.reset = 'hard'")
    for name in ("decay", "threshold"):
        if not isinstance(getattr(unit, name, 0.0), float):
            raise UserError(f"{GIVEN}, but neuron.{name} is not one number for all neurons: choose a number, or arithmetic float")


def _refuse_layers(net: config.Conv | config.MLP) -> None:
    if net.readout != "rate":
        raise UserError(f"{GIVEN}, but readout {net.readout!r} leaks, which an export does not: choose network.readout = 'rate'")
    if isinstance(net, config.MLP):
        if net.last:
            raise UserError(f"{GIVEN}, but network.last = {net.last} reads a part of the window, which an export does not: choose last 0")
        return
    if net.pooling == "max":
        raise UserError(f"{GIVEN}, but pooling 'max' has no synapses that could do it: choose network.pooling = 'average' or 'sum'")
    current = net.features == "current"
    if any(size > 1 for size in net.pools) and (net.pool_before_neuron or (current and net.pools[-1] > 1)):
        raise UserError(f"{GIVEN}, but currents are pooled: choose pool_before_neuron = false, and a last pool of 1 or features 'spikes'")
    if net.hidden and (current or net.normalise_features):
        raise UserError(f"{GIVEN} with network.hidden, which then hears no spikes: choose features 'spikes' and normalise_features false")
