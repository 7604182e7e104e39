"""Checkpoints: every tensor needed to go on bit-identically, and one JSON string, in one safetensors file."""

import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from neurometa.errors import UserError
from neurometa.experiment import atomic
from neurometa.types import Params

FORMAT = 1
"""Version of the run folder and of the checkpoint in it; a change that an older neurometa cannot read raises it."""

_KEY = "neurometa"
_LEARNER = ("slow/", "buffer/")


class Checkpoint(NamedTuple):
    """State of a training run after `step` outer steps.

    Attributes:
        tensors: `Trainer.snapshot()`: "slow/<name>", "buffer/<name>", "optimiser/<name>/<field>", "generator".
        step: outer steps done.
        digest: `load.digest` of the experiment that it belongs to.
    """

    tensors: dict[str, Tensor]
    step: int
    digest: str

    def parameters(self) -> Params:
        """Slow parameters and buffers by their own names, for evaluation."""
        return {name.split("/", 1)[1]: tensor for name, tensor in self.tensors.items() if name.startswith(_LEARNER)}

    def only_parameters(self) -> "Checkpoint":
        """The same without optimiser and generator: the form that is published."""
        return self._replace(tensors={name: tensor for name, tensor in self.tensors.items() if name.startswith(_LEARNER)})


def encode(checkpoint: Checkpoint) -> bytes:
    """The file's bytes: the same state gives the same bytes, so nothing of the clock or the machine is in them."""
    about = json.dumps({"digest": checkpoint.digest, "format": FORMAT, "step": checkpoint.step}, sort_keys=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in sorted(checkpoint.tensors.items())}
    return safetensors.torch.save(tensors, metadata={_KEY: about})


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at `path` at once.

    Raises:
        UserError: a tensor is not finite, or the disk is full; the checkpoint that was there stays.
    """
    broken = next((name for name, tensor in checkpoint.tensors.items() if not torch.isfinite(tensor).all()), None)
    if broken:
        raise UserError(f"{broken} is not finite after step {checkpoint.step}: lower training.learning_rate, or set training.clip")
    atomic.replace(path, encode(checkpoint))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UserError: missing, damaged, not ours, or of another format.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            if about.get("format") == FORMAT:
                return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, about["step"], about["digest"])
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected the checkpoint of a run; `neurometa run FOLDER` writes one") from None
    except (safetensors.SafetensorError, ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is damaged ({reason}): restore it from a copy, or delete it and start over with `neurometa run {path.parent}`"
        ) from None
    if not about:
        raise UserError(f"{path} is not a checkpoint of neurometa: expected one that `neurometa run` wrote")
    raise UserError(f"{path} has format {about.get('format')}, this neurometa reads format {FORMAT}: use the version that wrote it")
