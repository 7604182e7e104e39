"""What cannot work together in an experiment, refused once, before anything runs, with what to choose instead."""

from fnmatch import fnmatchcase

import msgspec
import torch

from neurometa.core import network
from neurometa.errors import UserError
from neurometa.experiment import config, descent, integer, rules
from neurometa.meta.learner import Learner
from neurometa.tasks.omniglot import PIXELS

FULL = 32
"""`network.bits` of weights that are not rounded."""


def refuse(experiment: config.Experiment, steps: int) -> None:
    """Refuse what two fields cannot be together, and what one field's type cannot say; the window has so many `steps`."""
    rule, outer = experiment.plasticity, experiment.estimator
    _refuse_segments(experiment, steps)
    _refuse_bits(experiment)
    _refuse_regression(experiment)
    _refuse_raster(experiment, steps)
    rules.refuse(experiment)
    integer.refuse(experiment)
    descent.refuse(experiment)
    if isinstance(outer, config.Reptile) and not isinstance(rule, config.BPTT | config.EProp):
        raise UserError(f"estimator reptile follows slow weights that move, plasticity {kind(rule)} moves none: choose estimator unrolled")
    if isinstance(outer, config.Reptile) and isinstance(rule, config.BPTT | config.EProp) and rule.head == "zero" and _readout_alone(rule):
        raise UserError(
            "estimator reptile follows slow weights that move, and with plasticity.head = 'zero' the readout is none of them: "
            "name other weights in plasticity.fast, or choose head = 'own' or estimator unrolled"
        )
    timeless = isinstance(experiment.encoding, config.Direct | config.Population)
    if isinstance(experiment.network.neuron, config.ReLU) and not timeless:
        raise UserError(f"neuron relu has no time, encoding {kind(experiment.encoding)} needs it: choose encoding direct, or neuron lif")
    if isinstance(experiment.encoding, config.TauLatency) and experiment.encoding.first >= experiment.encoding.steps:
        given = f"encoding.first = {experiment.encoding.first} with encoding.steps = {experiment.encoding.steps}"
        raise UserError(f"{given}, expected an earlier first step: no pixel would spike")
    layers = experiment.network.widths if isinstance(experiment.network, config.MLP) else experiment.network.channels
    if not layers:
        raise UserError("the network has no layer: expected at least one entry in network.channels or network.widths")
    if not 0 <= experiment.seed < 2**63 or not 0 <= experiment.evaluation.seed < 2**63:
        given = f"seed = {experiment.seed}, evaluation.seed = {experiment.evaluation.seed}"
        raise UserError(f"{given}: expected whole numbers from 0 to 2**63 - 1")
    if experiment.training.learning_rate > 1e30:
        raise UserError(
            f"training.learning_rate = {experiment.training.learning_rate}, expected at most 1e30: single precision holds no more"
        )
    if experiment.evaluation.episodes < 2:
        raise UserError("evaluation.episodes = 1, expected at least 2: one episode has no interval")


def refuse_still(experiment: config.Experiment, built: Learner) -> None:
    """Patterns of `training.trains` that move nothing."""
    names = list(built.init(torch.Generator()))
    _refuse_patterns("training.trains", experiment.training.trains, names)
    if isinstance(experiment.estimator, config.Evolution):
        moving = [name for name in names if any(fnmatchcase(name, pattern) for pattern in experiment.training.trains)]
        _refuse_patterns("estimator.over", experiment.estimator.over, moving)


def kind(part: msgspec.Struct) -> str:
    """What `kind = ...` calls a part."""
    return str(part.__struct_config__.tag)


def _refuse_bits(experiment: config.Experiment) -> None:
    """What weights on a grid cannot do."""
    net, rule = experiment.network, experiment.plasticity
    if net.bits == FULL:
        return
    given = f"network.bits = {net.bits} given"
    if isinstance(rule, config.EProp):
        raise UserError(f"{given}, but plasticity eprop runs layer by layer with weights as they are: choose 32, or plasticity bptt")
    if isinstance(rule, config.BPTT) and not _readout_alone(rule):
        raise UserError(f"{given}, but plasticity {kind(rule)} moves those weights in finer steps: choose 32, or fast = ['readout.*']")
    if experiment.training.segments > 1:
        raise UserError(f"{given}, which is not known to training.segments = {experiment.training.segments}: choose segments 1")
    if getattr(net, "recurrent", False):
        raise UserError(f"{given}, but recurrent weights are not rounded in training: choose 32, or recurrent = false")
    if isinstance(net.neuron, config.ReLU):
        raise UserError(f"{given} for neuron relu, which no chip of spikes runs: choose 32, or judge it in evaluation.bits")


def _refuse_regression(experiment: config.Experiment) -> None:
    """What cannot be done with numbers, and what only can with them."""
    task, net, encoding = experiment.task, experiment.network, experiment.encoding
    if isinstance(task, config.Sinusoid) != isinstance(encoding, config.Population):
        if not isinstance(task, config.Sinusoid):
            raise UserError(
                f"encoding population shows one number, task {kind(task)} has pictures: choose encoding direct, or task sinusoid"
            )
        if not isinstance(encoding, config.Direct):
            raise UserError(f"encoding {kind(encoding)} takes values from 0 to 1, task sinusoid has others: choose encoding population")
    if not isinstance(task, config.Sinusoid):
        return
    if isinstance(net, config.Conv):
        raise UserError("network conv sees pictures, task sinusoid has one number: choose network mlp")
    if experiment.training.redeal:
        raise UserError("training.redeal deals examples by class, task sinusoid has none: choose redeal false")
    if isinstance(experiment.plasticity, config.Prototype):
        raise UserError("plasticity prototype averages the examples of a class, task sinusoid has none: choose bptt or hebbian")


def _refuse_raster(experiment: config.Experiment, steps: int) -> None:
    """What tasks of spikes over time need, and what only goes with them."""
    task, net, encoding = experiment.task, experiment.network, experiment.encoding
    timed = isinstance(task, config.DelayedCue | config.OmniglotStrokes)
    if timed != isinstance(encoding, config.Raster):
        given = f"encoding {kind(encoding)} with task {kind(task)} given"
        raise UserError(f"{given}: encoding raster goes with tasks delayed-cue and omniglot-strokes, and with no other")
    if isinstance(net, config.MLP) and net.last > steps:
        raise UserError(f"network.last = {net.last} given for a window of {steps} steps, expected no more than that")
    if isinstance(net, config.MLP) and net.last and experiment.training.segments > 1:
        raise UserError(f"network.last = {net.last} with training.segments = {experiment.training.segments} given: choose segments 1")
    if isinstance(task, config.OmniglotStrokes) and task.width > PIXELS:
        raise UserError(f"task.width = {task.width} given, expected at most {PIXELS}, the columns of a picture")
    if timed and isinstance(net, config.Conv):
        raise UserError(f"network conv sees pictures, task {kind(task)} has spikes over time: choose network mlp")
    if timed and isinstance(net.neuron, config.ReLU):
        raise UserError(f"neuron relu has no time, task {kind(task)} needs it: choose neuron lif or alif")


def _refuse_segments(experiment: config.Experiment, steps: int) -> None:
    """What a window in pieces cannot do."""
    pieces, rule = experiment.training.segments, experiment.plasticity
    if pieces == 1:
        return
    given = f"training.segments = {pieces} given"
    if isinstance(experiment.network.neuron, config.ReLU):
        raise UserError(f"{given}, but neuron relu has no time: choose segments 1, or neuron lif")
    if pieces > steps:
        raise UserError(f"{given} for a window of {steps} steps: choose at most {steps}")
    if experiment.network.normalise or experiment.network.normalise_features:
        raise UserError(f"{given}, but network.normalise measures statistics of the whole window: choose normalise false, or segments 1")
    readout_only = not isinstance(rule, config.BPTT) or _readout_alone(rule)
    if isinstance(experiment.estimator, config.Unrolled) and not readout_only:
        raise UserError(f"{given}, which has no second derivatives for estimator unrolled: choose first-order or reptile, or segments 1")


def _refuse_patterns(field: str, patterns: tuple[str, ...], names: list[str]) -> None:
    for pattern in patterns or ("",):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"{field} names {pattern!r}, which matches nothing; expected a pattern over {', '.join(names)}")


def _readout_alone(rule: config.BPTT | config.EProp) -> bool:
    return all(pattern.startswith(f"{network.READOUT}.") for pattern in rule.fast)
