"""A learner in the numbers and the cells that its experiment is to be judged in; rounded by pictures of the training classes alone."""

from pathlib import Path

import torch

from neurometa.baselines.rounded import FULL
from neurometa.baselines.rounded import rounded as in_bits
from neurometa.chips.read import shipped
from neurometa.core.network import READOUT, Stack
from neurometa.errors import UserError
from neurometa.experiment import build, config
from neurometa.meta.learner import Learner
from neurometa.plasticity.memristor import PCM, Memristive
from neurometa.types import Params

PULSES = 16
"""SET pulses that the largest weight gets where cells are written blind: about what takes a cell through its range."""

PICTURES = 200
"""Pictures of the training classes by which the steps of the inputs are set."""


def rounded(experiment: config.Experiment, learner: Learner, params: Params, data: Path | None, ways: int) -> Learner:
    """The learner with its network in `evaluation.bits` and its readout in `evaluation.cells`; by default the very same.

    Args:
        experiment: says how many bits; its training classes show what is to be expected.
        learner, params: as trained.
        data: where the task's files lie.
        ways: classes of the episodes that are asked.
    Raises:
        UserError: the rule moves weights that are rounded, or the network is run in segments.
    """
    bits, network = experiment.evaluation.bits, learner.network
    learner = _in_cells(experiment, learner, ways)
    if bits == FULL:
        return learner
    given = f"evaluation.bits = {bits} given"
    if not isinstance(network, Stack):
        raise UserError(f"{given} for a network that is run in segments: choose training.segments = 1")
    if not learner.plasticity.readout_only:
        raise UserError(f"{given}, but this rule moves weights below the readout in finer steps: choose 32, or a rule of the readout")
    task, generator = build.practice(experiment.task, data), torch.Generator().manual_seed(experiment.seed)
    shots = task.ways * experiment.task.shots
    parts = [task.sample(generator, 1).support.x[0] for _ in range(max(1, PICTURES // shots))]
    x = learner.encoder.encode(torch.cat(parts), generator)
    spiking = not isinstance(experiment.network.neuron, config.ReLU)
    signal = network.signal(x)
    return learner._replace(network=in_bits(network, params, signal, bits, inputs=not spiking))


def _in_cells(experiment: config.Experiment, learner: Learner, ways: int) -> Learner:
    """The learner whose readout lies in `evaluation.cells`."""
    cells = experiment.evaluation.cells
    if cells == "exact":
        return learner
    if not learner.plasticity.readout_only:
        raise UserError(
            f"evaluation.cells = {cells!r} given, but this rule moves more than the readout: choose 'exact', or a rule of the readout"
        )
    shapes = ((f"{READOUT}.weight", (ways, learner.network.features)),)
    pulses = PULSES if cells == "pcm-pulses" else 0
    return learner._replace(plasticity=Memristive(learner.plasticity, PCM.of(shipped()["pcm"]), shapes, pulses=pulses))
