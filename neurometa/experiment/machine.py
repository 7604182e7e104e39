"""What an experiment runs on: device, kernel and threads, chosen here from what it asks for and what there is."""

from typing import NamedTuple

import torch

from neurometa.core.kernels.choice import COMPILED, fastest, missing, refuse
from neurometa.errors import UserError
from neurometa.experiment import config


class Machine(NamedTuple):
    """What was chosen.

    Attributes:
        device: where tensors live, "cpu" or "cuda".
        kernel: the scan's, "reference", "numba" or "triton"; a neuron that it does not know runs on the reference.
        by_hand: the same where it was asked for, so that such a neuron is refused instead; None where it was chosen.
        threads: of the CPU.
        lacking: why the fast kernel of the device is not used though none was asked for; None where it is.
    """

    device: str
    kernel: str
    by_hand: str | None
    threads: int
    lacking: str | None


def machine(experiment: config.Experiment) -> Machine:
    """Choose what the experiment asks for, and what is fastest where it leaves that open.

    Raises:
        UserError: a device or kernel was asked for that is not there.
    """
    asked = experiment.training
    device = _device(asked.device)
    if asked.kernel != "auto":
        refuse(asked.kernel, device)
        return Machine(device, asked.kernel, asked.kernel, asked.threads, None)
    return Machine(device, fastest(device), None, asked.threads, missing(COMPILED[device]))


def _device(asked: str) -> str:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise UserError(f"device cuda given, but torch {torch.__version__} finds no CUDA device: choose training.device auto or cpu")
    return ("cuda" if there else "cpu") if asked == "auto" else asked
