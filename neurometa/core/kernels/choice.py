"""Which kernel runs the scan, and why another cannot."""

import logging
import os
from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from neurometa.errors import UserError

KERNELS = {
    "reference": "plain torch on any device; defines what the others must equal",
    "numba": "the scan on the CPU, compiled on first use",
    "triton": "the scan on CUDA, compiled on first use",
}
"""Every kernel and what it is."""

COMPILED = {"cpu": "numba", "cuda": "triton"}
"""The fast kernel of each kind of device."""

FLOATS = (torch.float32, torch.float64)
"""What the compiled kernels compute in."""


@cache
def missing(kernel: str) -> str | None:
    """What keeps a kernel from running on this machine, in words that follow "but"; None where nothing does."""
    if kernel == "reference":
        return None
    try:
        import_module(kernel)
    except ImportError as error:
        return f"{kernel} cannot be imported ({error}); install it with `pip install {kernel}`"
    if kernel == "triton" and not interpreted() and not torch.cuda.is_available():
        return f"there is no CUDA device that torch {torch.__version__} can use"
    return None


def interpreted() -> bool:
    """Whether Triton runs kernels in Python, on tensors of any device: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def kernel_for(x: Tensor, asked: str | None = None) -> str:
    """Name of the kernel for tensors like `x`: the one asked for, else the fastest that is there.

    Raises:
        UserError: the one asked for cannot run here, or not on such a tensor.
    """
    place = x.device.type
    if asked is None:
        return fastest(place) if x.dtype in FLOATS else "reference"
    refuse(asked, place)
    if asked != "reference" and x.dtype not in FLOATS:
        raise UserError(f"kernel {asked} given for {x.dtype}, expected float32 or float64: convert, or choose kernel reference")
    return asked


def refuse(kernel: str, place: str) -> None:
    """Refuse a kernel that cannot run on this machine, or not on devices of type `place`.

    Raises:
        UserError: what was given, why it cannot be, and what to choose.
    """
    if kernel not in KERNELS:
        raise UserError(f"kernel {kernel!r} is not known: expected one of {', '.join(KERNELS)}")
    reason = missing(kernel)
    if reason:
        raise UserError(f"kernel {kernel} given, but {reason}; choose kernel auto")
    serves = kernel == "reference" or COMPILED.get(place) == kernel or (kernel == "triton" and interpreted())
    if not serves:
        raise UserError(f"kernel {kernel} given for device {place}, expected {COMPILED.get(place, 'reference')}: choose kernel auto")


@cache
def fastest(place: str) -> str:
    """The fastest kernel that is there for devices of type `place`; where its compiled one is missing, say so, once."""
    kernel = COMPILED.get(place, "reference")
    reason = missing(kernel)
    if reason:
        logging.getLogger("neurometa").warning("kernel %s is missing, the slow reference runs instead: %s", kernel, reason)
    return "reference" if reason else kernel
