"""A learner in the numbers that its experiment is to be judged in; rounded by pictures of the training classes alone."""

from pathlib import Path

import torch

from neurometa.baselines.rounded import FULL
from neurometa.baselines.rounded import rounded as in_bits
from neurometa.core.network import Stack
from neurometa.errors import UserError
from neurometa.experiment import build, config
from neurometa.meta.learner import Learner
from neurometa.types import Params

PICTURES = 200
"""Pictures of the training classes by which the steps of the inputs are set."""


def rounded(experiment: config.Experiment, learner: Learner, params: Params, data: Path | None) -> Learner:
    """The learner with its network in `evaluation.bits`; with 32 the very same.

    Args:
        experiment: says how many bits; its training classes show what is to be expected.
        learner, params: as trained.
        data: where the task's files lie.
    Raises:
        UserError: the rule moves weights that are rounded, or the network is run in segments.
    """
    bits, network = experiment.evaluation.bits, learner.network
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
