"""Configuration to objects: the one place that turns strings into things and refuses what cannot work together."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from neurometa import tasks
from neurometa.core import encode, network
from neurometa.core.segments import Segmented
from neurometa.errors import UserError
from neurometa.experiment import config, descent, rules, start, units
from neurometa.experiment import machine as machines
from neurometa.meta import estimators, evolution
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity import frozen, prototype
from neurometa.plasticity.base import Plasticity
from neurometa.tasks import sinusoid
from neurometa.tasks.augment import Augment
from neurometa.tasks.base import ImageClasses
from neurometa.tasks.omniglot import characters
from neurometa.types import Network, TaskFamily

PIXELS = 28
"""Height and width of an Omniglot picture as it is shown."""


class Question(NamedTuple):
    """What a learner is asked in an evaluation: episodes of unseen classes.

    Attributes:
        ways, shots, queries: classes of an episode, support examples and query examples of each class.
        split: the task's split, None for the one it was trained on.
        within_alphabet: whether all classes of an episode come from one alphabet.
    """

    ways: int
    shots: int
    queries: int
    split: str | None = None
    within_alphabet: bool = False


def learner(experiment: config.Experiment, ways: int) -> Learner:
    """Build network, plasticity and encoder, refusing pairs that cannot work.

    Args:
        experiment: what to build.
        ways: classes of an episode; a fixed head is `task.ways` wide, whatever is asked.
    Raises:
        UserError: two parts do not fit, or the machine lacks what is asked for; the message says what to choose.
    """
    _refuse_pairs(experiment)
    head = _head(experiment)
    net = _network(experiment, head)
    if isinstance(experiment.plasticity, rules.TIMED):
        net = network.averaged_last(net)
    rule, place = _plasticity(experiment.plasticity, net, ways), machines.machine(experiment)
    pieces = experiment.training.segments
    shown = net.on(place.by_hand)
    settings = experiment.training.redeal, place.device, experiment.training.precision
    return Learner(Segmented(shown, pieces) if pieces > 1 else shown, rule, _encoder(experiment), *settings)


def threads(experiment: config.Experiment) -> int:
    """Threads of the CPU: as many as asked for, else what suits the network's size."""
    asked = experiment.training.threads
    return machines.threads(_network(experiment, _head(experiment)).vmappable) if asked == "auto" else asked


def _head(experiment: config.Experiment) -> int | None:
    """Classes that the slow readout knows; None where the rule writes it."""
    rule = experiment.plasticity
    readouts = config.Prototype | config.STDP | config.Reward | config.SOEL
    written = isinstance(rule, readouts) or getattr(rule, "head", "own") == "zero"
    return None if written else experiment.task.ways


def _only_ways(experiment: config.Experiment) -> int | None:
    """Classes that must be asked, because something slow has a row for each; None where any can."""
    rule = experiment.plasticity
    per_synapse = isinstance(rule, config.Hebbian) and rule.coefficients == "synapse"
    return experiment.task.ways if per_synapse else _head(experiment)


def trainer(experiment: config.Experiment, data: Path | None) -> Trainer:
    """Build the outer loop on the task's training classes."""
    settings = {field: getattr(experiment.training, field) for field in TrainerSettings._fields}
    built = learner(experiment, experiment.task.ways)
    estimator = _estimator(experiment.estimator)
    if estimator.needs_graph and not built.plasticity.exact_graph:
        raise UserError(
            f"estimator {_kind(experiment.estimator)} differentiates through the adaptation, "
            f"which plasticity {_kind(experiment.plasticity)} does not allow: choose estimator first-order, reptile or evolution"
        )
    task = practice(experiment.task, data)
    _refuse_still(experiment, built)
    begin = built.placed(start.parameters(experiment, built.network))
    return Trainer(built, task, estimator, TrainerSettings(**settings), experiment.seed, begin)


def question(experiment: config.Experiment) -> Question:
    """The question that the experiment's [evaluation] asks."""
    asked = experiment.evaluation
    ways = experiment.task.ways if regression(experiment.task) else asked.ways
    return Question(ways, asked.shots, asked.queries)


def unseen(experiment: config.Experiment, asked: Question, data: Path | None) -> TaskFamily:
    """Build the task of unseen classes that `asked` describes.

    Raises:
        UserError: the learner's head has other ways, or the task has no such split, or the split shows classes of the training.
    """
    task, rule = experiment.task, experiment.plasticity
    if isinstance(task, config.Sinusoid):
        return _unseen_sines(asked)
    if isinstance(task, config.DelayedCue):
        return _unseen_trials(task, asked)
    if _only_ways(experiment) not in (None, asked.ways):
        raise UserError(
            f"{asked.ways} ways given, but this {_kind(rule)} learner has a head for the {task.ways} ways it is trained on: "
            f"evaluate with {task.ways} ways, or train with task.ways = {asked.ways} "
            "(plasticity prototype, and others with head = 'zero', take any)"
        )
    if isinstance(task, config.Glyphs):
        if asked.split not in (None, "unseen") or asked.within_alphabet:
            raise UserError("task glyphs has one split of unseen characters and no alphabets: leave out --split and --within-alphabet")
        return tasks.glyphs("unseen", asked.ways, asked.shots, asked.queries, task.binary, task.size, None)
    split = asked.split or task.split
    seen = set(characters(task.split, "train")) & set(characters(split, "unseen"))
    if seen:
        raise UserError(
            f"split {split} given, but this learner was trained on split {task.split}, which showed it {len(seen)} of those characters: "
            f"evaluate on {task.split}, or train with --task.split {split}"
        )
    binary, within = isinstance(task, config.OmniglotStrokes) or task.binary, asked.within_alphabet
    return _scanned(task, tasks.omniglot(data, "unseen", split, asked.ways, asked.shots, asked.queries, binary, False, None, within))


def regression(task: config.Task) -> bool:
    """Whether a task asks for values rather than classes."""
    return isinstance(task, config.Sinusoid)


def _unseen_sines(asked: Question) -> TaskFamily:
    """Sines that were not drawn in training: there are infinitely many."""
    if asked.ways != 1 or asked.split is not None or asked.within_alphabet:
        raise UserError("task sinusoid is a regression, which has no classes and no splits: leave out --ways, --split, --within-alphabet")
    return tasks.Sinusoid(asked.shots, asked.queries)


def _unseen_trials(task: config.DelayedCue, asked: Question) -> TaskFamily:
    """Maps and trials that were not drawn in training."""
    if asked.ways != task.ways or asked.split is not None or asked.within_alphabet:
        raise UserError(f"task delayed-cue asks the {task.ways} cues it was trained on and has no splits: leave out --ways, --split")
    return _delayed_cue(task)._replace(shots=asked.shots, queries=asked.queries)


def describe(experiment: config.Experiment) -> str:
    """Say in one line what the network is, such as `conv 32-64-64-64, lif, direct encoding of 8 steps`."""
    built = experiment.network
    layers = built.widths if isinstance(built, config.MLP) else built.channels
    unit = _kind(built.neuron)
    time = "" if unit == "relu" else f", {_kind(experiment.encoding)} encoding of {_steps(experiment)} steps"
    return f"{_kind(built)} {'-'.join(map(str, layers))}, {unit}{time}"


def practice(task: config.Task, data: Path | None) -> TaskFamily:
    """Build the task of the training classes."""
    if isinstance(task, config.Sinusoid):
        return tasks.Sinusoid(task.shots, task.queries)
    if isinstance(task, config.DelayedCue):
        return _delayed_cue(task)
    augment = None if task.augment is None else Augment(task.augment.degrees, task.augment.scale, task.augment.shift_px)
    if isinstance(task, config.Glyphs):
        return tasks.glyphs("train", task.ways, task.shots, task.queries, task.binary, task.size, augment)
    binary = isinstance(task, config.OmniglotStrokes) or task.binary
    shown = tasks.omniglot(data, "train", task.split, task.ways, task.shots, task.queries, binary, task.rotations, augment)
    return _scanned(task, shown)


def _scanned(task: config.Omniglot | config.OmniglotStrokes, pictures: ImageClasses) -> TaskFamily:
    """The same pictures, under a slit where the task wants one."""
    return tasks.Scanned(pictures, task.width, task.stride) if isinstance(task, config.OmniglotStrokes) else pictures


def _network(experiment: config.Experiment, head: int | None) -> network.Stack:
    shape = _shape(experiment)
    built, unit, steps = experiment.network, experiment.network.neuron, _steps(experiment)
    leak = units.leak(unit) if built.readout == "membrane" else 0.0
    if isinstance(built, config.MLP):
        return network.mlp_network(
            shape, built.widths, normalise=built.normalise, neuron=units.neuron(unit), free=units.free(unit), steps=steps,
            features=built.features, readout_decay=leak, normalise_features=built.normalise_features, recurrent=built.recurrent,
            delay=built.delay, last=built.last, outputs=head,
        )  # fmt: skip
    return network.conv_network(
        shape, built.channels, built.strides, built.pools, kernel=built.kernel, pooling=built.pooling,
        pool_before_neuron=built.pool_before_neuron, normalise=built.normalise, neuron=units.neuron(unit), free=units.free(unit),
        steps=steps, features=built.features, readout_decay=leak, normalise_features=built.normalise_features, delay=built.delay,
        outputs=head,
    )  # fmt: skip


def _shape(experiment: config.Experiment) -> tuple[int, ...]:
    """Shape of one encoded example, without time."""
    if isinstance(experiment.encoding, config.Population):
        return (experiment.encoding.neurons,)
    if isinstance(experiment.task, config.DelayedCue):
        return (_delayed_cue(experiment.task).inputs,)
    if isinstance(experiment.task, config.Sinusoid):
        return (1,)
    if isinstance(experiment.task, config.OmniglotStrokes):
        return (PIXELS * experiment.task.width,)
    side = _side(experiment)
    return (1, side, 1 if isinstance(experiment.encoding, config.Delta) else side)


def _steps(experiment: config.Experiment) -> int:
    """Time steps of the window; a conventional unit has no time."""
    if isinstance(experiment.network.neuron, config.ReLU):
        return 1
    if isinstance(experiment.task, config.OmniglotStrokes):
        return (PIXELS - experiment.task.width) // experiment.task.stride + 1
    if isinstance(experiment.task, config.DelayedCue):
        return _delayed_cue(experiment.task).steps
    return _side(experiment) if isinstance(experiment.encoding, config.Delta) else getattr(experiment.encoding, "steps", 1)


def _side(experiment: config.Experiment) -> int:
    """Height and width of a picture."""
    return experiment.task.size if isinstance(experiment.task, config.Glyphs) else PIXELS


def _encoder(experiment: config.Experiment) -> encode.Encoder:
    asked = experiment.encoding
    if isinstance(asked, config.Direct):
        return encode.Direct(_steps(experiment))
    if isinstance(asked, config.Rate):
        return encode.Rate(asked.steps, asked.gain, asked.offset)
    if isinstance(asked, config.TauLatency):
        return encode.TauLatency(asked.steps, asked.tau, asked.threshold, asked.first, asked.linear, asked.normalise, asked.clip)
    if isinstance(asked, config.Delta):
        return encode.Delta(asked.threshold, asked.off, asked.padding)
    if isinstance(asked, config.Population):
        return encode.Population(_steps(experiment), asked.neurons, -sinusoid.REACH, sinusoid.REACH, asked.width, asked.gain)
    if isinstance(asked, config.Raster):
        return encode.Raster()
    return encode.Latency(asked.steps)


def _delayed_cue(task: config.DelayedCue) -> tasks.DelayedCue:
    return tasks.DelayedCue(
        task.ways, task.shots, task.queries, task.cue, task.delay, task.recall, task.channels, task.rate, task.noise
    )  # fmt: skip


def _plasticity(rule: config.Rule, net: Network, ways: int) -> Plasticity:
    if isinstance(rule, config.Prototype):
        return prototype.Prototype(ways)
    if isinstance(rule, config.Frozen):
        return frozen.Frozen()
    if isinstance(rule, rules.Local):
        return rules.local(rule, ways)
    return descent.descending(rule, net, ways)


def _estimator(kind: config.Outer) -> estimators.Estimator:
    if isinstance(kind, config.Evolution):
        return evolution.Evolution(kind.directions, kind.sigma, kind.over)
    if isinstance(kind, config.Unrolled):
        return estimators.Unrolled()
    return estimators.FirstOrder() if isinstance(kind, config.FirstOrder) else estimators.Reptile()


def _refuse_pairs(experiment: config.Experiment) -> None:
    """Everything about two fields that one field's type cannot say."""
    rule, outer = experiment.plasticity, experiment.estimator
    _refuse_segments(experiment)
    _refuse_regression(experiment)
    _refuse_raster(experiment)
    rules.refuse(experiment)
    descent.refuse(experiment)
    if isinstance(outer, config.Reptile) and not isinstance(rule, config.BPTT | config.EProp):
        raise UserError(f"estimator reptile follows slow weights that move, plasticity {_kind(rule)} moves none: choose estimator unrolled")
    if isinstance(outer, config.Reptile) and isinstance(rule, config.BPTT | config.EProp) and rule.head == "zero" and _readout_alone(rule):
        raise UserError(
            "estimator reptile follows slow weights that move, and with plasticity.head = 'zero' the readout is none of them: "
            "name other weights in plasticity.fast, or choose head = 'own' or estimator unrolled"
        )
    timeless = isinstance(experiment.encoding, config.Direct | config.Population)
    if isinstance(experiment.network.neuron, config.ReLU) and not timeless:
        raise UserError(f"neuron relu has no time, encoding {_kind(experiment.encoding)} needs it: choose encoding direct, or neuron lif")
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


def _refuse_regression(experiment: config.Experiment) -> None:
    """What cannot be done with numbers, and what only can with them."""
    task, net, encoding = experiment.task, experiment.network, experiment.encoding
    if isinstance(task, config.Sinusoid) != isinstance(encoding, config.Population):
        if not isinstance(task, config.Sinusoid):
            raise UserError(
                f"encoding population shows one number, task {_kind(task)} has pictures: choose encoding direct, or task sinusoid"
            )
        if not isinstance(encoding, config.Direct):
            raise UserError(f"encoding {_kind(encoding)} takes values from 0 to 1, task sinusoid has others: choose encoding population")
    if not isinstance(task, config.Sinusoid):
        return
    if isinstance(net, config.Conv):
        raise UserError("network conv sees pictures, task sinusoid has one number: choose network mlp")
    if experiment.training.redeal:
        raise UserError("training.redeal deals examples by class, task sinusoid has none: choose redeal false")
    if isinstance(experiment.plasticity, config.Prototype):
        raise UserError("plasticity prototype averages the examples of a class, task sinusoid has none: choose bptt or hebbian")


def _refuse_raster(experiment: config.Experiment) -> None:
    """What tasks of spikes over time need, and what only goes with them."""
    task, net, encoding = experiment.task, experiment.network, experiment.encoding
    timed = isinstance(task, config.DelayedCue | config.OmniglotStrokes)
    if timed != isinstance(encoding, config.Raster):
        given = f"encoding {_kind(encoding)} with task {_kind(task)} given"
        raise UserError(f"{given}: encoding raster goes with tasks delayed-cue and omniglot-strokes, and with no other")
    if isinstance(net, config.MLP) and net.last > _steps(experiment):
        raise UserError(f"network.last = {net.last} given for a window of {_steps(experiment)} steps, expected no more than that")
    if isinstance(net, config.MLP) and net.last and experiment.training.segments > 1:
        raise UserError(f"network.last = {net.last} with training.segments = {experiment.training.segments} given: choose segments 1")
    if isinstance(task, config.OmniglotStrokes) and task.width > PIXELS:
        raise UserError(f"task.width = {task.width} given, expected at most {PIXELS}, the columns of a picture")
    if timed and isinstance(net, config.Conv):
        raise UserError(f"network conv sees pictures, task {_kind(task)} has spikes over time: choose network mlp")
    if timed and isinstance(net.neuron, config.ReLU):
        raise UserError(f"neuron relu has no time, task {_kind(task)} needs it: choose neuron lif or alif")


def _refuse_still(experiment: config.Experiment, built: Learner) -> None:
    """Patterns of `training.trains` that move nothing."""
    names = list(built.init(torch.Generator()))
    _refuse_patterns("training.trains", experiment.training.trains, names)
    if isinstance(experiment.estimator, config.Evolution):
        moving = [name for name in names if any(fnmatchcase(name, pattern) for pattern in experiment.training.trains)]
        _refuse_patterns("estimator.over", experiment.estimator.over, moving)


def _refuse_patterns(field: str, patterns: tuple[str, ...], names: list[str]) -> None:
    for pattern in patterns or ("",):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"{field} names {pattern!r}, which matches nothing; expected a pattern over {', '.join(names)}")


def _readout_alone(rule: config.BPTT | config.EProp) -> bool:
    return all(pattern.startswith(f"{network.READOUT}.") for pattern in rule.fast)


def _kind(part: msgspec.Struct) -> str:
    return str(part.__struct_config__.tag)


def _refuse_segments(experiment: config.Experiment) -> None:
    """What a window in pieces cannot do."""
    pieces, rule, steps = experiment.training.segments, experiment.plasticity, _steps(experiment)
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
