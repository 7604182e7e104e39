"""Configuration to objects: the one place that turns strings into things and refuses what cannot work together."""

from pathlib import Path
from typing import NamedTuple

from neurometa import tasks
from neurometa.core import encode, network
from neurometa.core.segments import Segmented
from neurometa.errors import UserError
from neurometa.experiment import config, descent, integer, pairs, rules, start, units
from neurometa.experiment import machine as machines
from neurometa.experiment.pairs import FULL, kind
from neurometa.meta import estimators, evolution
from neurometa.meta.learner import Learner
from neurometa.meta.trainer import Trainer, TrainerSettings
from neurometa.plasticity import frozen, prototype
from neurometa.plasticity.base import Plasticity
from neurometa.tasks import sinusoid
from neurometa.tasks.augment import Augment
from neurometa.tasks.base import ImageClasses
from neurometa.tasks.omniglot import PIXELS, characters
from neurometa.types import Network, TaskFamily


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
    pairs.refuse(experiment, _steps(experiment))
    head = _head(experiment)
    net = _network(experiment, head)
    if isinstance(experiment.plasticity, rules.TIMED):
        net = network.averaged_last(net)
    rule, place = _plasticity(experiment.plasticity, net, ways), machines.machine(experiment)
    pieces = experiment.training.segments
    bits, integers = experiment.network.bits, experiment.network.arithmetic == "integer"
    if integers:
        integer.refuse_machine(place.device, place.by_hand)
        net = net._replace(vmappable=False, integers=True)
    shown = net.on(place.by_hand)._replace(bits=0 if bits == FULL else bits)
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
            f"estimator {kind(experiment.estimator)} differentiates through the adaptation, "
            f"which plasticity {kind(experiment.plasticity)} does not allow: choose estimator first-order, reptile or evolution"
        )
    task = practice(experiment.task, data)
    pairs.refuse_still(experiment, built)
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
            f"{asked.ways} ways given, but this {kind(rule)} learner has a head for the {task.ways} ways it is trained on: "
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
        raise UserError(
            f"{asked.ways} ways given, but task delayed-cue asks the {task.ways} cues it was trained on, and has no splits: "
            f"evaluate with {task.ways} ways, and leave out --split and --within-alphabet"
        )
    return _delayed_cue(task)._replace(shots=asked.shots, queries=asked.queries)


def describe(experiment: config.Experiment) -> str:
    """Say in one line what the network is, such as `conv 32-64-64-64, lif, direct encoding of 8 steps`."""
    built = experiment.network
    layers = built.widths if isinstance(built, config.MLP) else (*built.channels, *built.hidden)
    unit = kind(built.neuron)
    time = "" if unit == "relu" else f", {kind(experiment.encoding)} encoding of {_steps(experiment)} steps"
    return f"{kind(built)} {'-'.join(map(str, layers))}, {unit}{time}"


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
        steps=steps, features=built.features, readout_decay=leak, normalise_features=built.normalise_features, hidden=built.hidden,
        delay=built.delay, outputs=head,
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
