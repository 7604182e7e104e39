"""What an experiment runs on: device, kernel and threads, chosen here from what it asks for and what there is."""

import os
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
        lacking: why the fast kernel of the device is not used though none was asked for; None where it is.
    """

    device: str
    kernel: str
    by_hand: str | None
    lacking: str | None


def machine(experiment: config.Experiment) -> Machine:
    """Choose what the experiment asks for, and what is fastest where it leaves that open.

    Raises:
        UserError: a device, kernel or precision was asked for that is not there.
    """
    asked = experiment.training
    device = _device(asked.device)
    if asked.precision == "bf16" and device == "cpu":
        raise UserError("precision bf16 given for device cpu, expected a CUDA device: choose training.precision float32")
    if asked.kernel != "auto":
        refuse(asked.kernel, device)
        return Machine(device, asked.kernel, asked.kernel, None)
    return Machine(device, fastest(device), None, missing(COMPILED[device]))


def threads(small: bool) -> int:
    """Threads of the CPU for a network whose tasks run together, being small, or for one whose convolutions are large.

    A thread more costs a small network a barrier in every operation. Measured on two cores: the demo's network is as fast on two threads
    as on one, the ones of `omniglot-maml` and `omniglot-prototype` are 1.4 and 1.5 times faster on two. More than four were not measured.
    """
    if small:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(4, allowed, int(wanted) if wanted.isdecimal() else 4))


def _device(asked: str) -> str:
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise UserError(f"device cuda given, but torch {torch.__version__} finds no CUDA device: choose training.device auto or cpu")
    return ("cuda" if there else "cpu") if asked == "auto" else asked
