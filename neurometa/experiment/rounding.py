"""The learner of a run as Loihi's integers."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.network import READOUT, Stack
from neurometa.core.segments import Segmented
from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint, onchip
from neurometa.experiment.folder import Run
from neurometa.experiment.onchip import OnChip
from neurometa.experiment.pairs import FULL
from neurometa.export.bundle import Bundle
from neurometa.export.loihi import Folded, Rounded, calibrate, fold, rounded
from neurometa.meta.learner import Learner
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.eprop import EProp
from neurometa.plasticity.soel import SOEL
from neurometa.plasticity.stdp import STDP
from neurometa.types import Params, Signal

CALIBRATION = 200
"""Pictures of training classes that choose the scales."""


class Asked(NamedTuple):
    """What to do.

    Attributes:
        out: folder to write.
        verify: "emulator", "lava", or None for neither.
        episodes: on which it is verified; None for 100 in the emulator and 20 in Lava.
        seed: of the episodes; None for that of the experiment's evaluation.
        chip: card against whose limits resources are checked.
        given: "auto", "spikes" or "bias": how the input reaches the chip.
        hard_reset: take a subtractive reset for a hard one.
        timeout_s: for each run of Lava, which plays up to 100 pictures.
        bits: of a weight; None for those that the learner was trained with, or 8.
        dt: length of a time step in seconds, for the float network beside the bundle, model.nir.
        learning: where the readout learns: "host", or "chip" by the rule as sums of products.
    """

    out: Path
    verify: str | None = None
    episodes: int | None = None
    seed: int | None = None
    chip: str = "loihi1-davies2018"
    given: str = "auto"
    hard_reset: bool = False
    timeout_s: float = 600
    bits: int | None = None
    dt: float = 1e-4
    learning: str = "host"


class Exported(NamedTuple):
    """A learner as a bundle, with what it was made of; `onchip` where its readout learns there, `bundle` then being the network below."""

    learner: Learner
    params: Params
    folded: Folded
    bundle: Bundle
    rounding: list[Rounded]
    onchip: OnChip | None = None

    @property
    def written(self) -> Bundle:
        """What is written."""
        return self.onchip.bundle if self.onchip else self.bundle


def exported(run: Run, asked: Asked, data: Path | None) -> Exported:
    """Fold and round the learner of a run."""
    saved = checkpoint.read(run.checkpoint)
    torch.set_num_threads(build.threads(run.experiment))
    learner, params = build.learner(run.experiment, build.question(run.experiment).ways), saved.parameters()
    network = onchip.body(learner) if asked.learning == "chip" else stack(learner, params)
    x = calibration(run, learner, data)
    binary = bool(((x.values == 0) | (x.values == 1)).all())
    if asked.given == "spikes" and not binary:
        raise UserError("--input spikes given, but this learner's input is not 0 or 1: leave it out, or choose --input bias")
    kind = "bias" if asked.given == "bias" or not binary else "spikes"
    if kind == "bias" and x.timed:
        raise UserError("bias currents are constant, but this learner's input changes over time: choose --input spikes")
    folded = fold(network, params, _steps(network, x), kind, hard_reset=asked.hard_reset)
    if network.integers and kind == "bias":
        raise UserError("--input bias given, but this learner was trained in integers with spikes as input: leave it out")
    peaks = None if network.integers else calibrate(folded, x)[0]  # in training there is no calibration batch either
    trained = run.experiment.network.bits
    bundle, rounding = rounded(folded, peaks, run.experiment.name, asked.bits or (8 if trained == FULL else trained))
    made = Exported(learner, params, folded, bundle, rounding)
    return made if asked.learning == "host" else made._replace(onchip=onchip.made(run, learner, params, folded, bundle, data))


def stack(learner: Learner, params: Params) -> Stack:
    """The network of a learner whose readout stays on the host.

    Raises:
        UserError: it is no row of layers, or its rule moves what an export holds fixed.
    """
    network = learner.network.stack if isinstance(learner.network, Segmented) else learner.network
    if not isinstance(network, Stack):
        raise UserError(f"a network of kind {type(network).__name__} cannot be exported: expected a row of layers, such as mlp or conv")
    if isinstance(learner.plasticity, STDP | SOEL) or _only_readout(learner.plasticity):
        name = type(learner.plasticity).__name__.lower()
        raise UserError(
            f"plasticity {name} given, whose readout sees every time step, while the host's reads the mean of a window: give "
            "--learning chip, or export a learner of rule prototype, hebbian, reward or bptt on the readout"
        )
    if not learner.plasticity.readout_only and type(learner.plasticity).__name__ != "Frozen":
        raise UserError(
            f"plasticity {type(learner.plasticity).__name__.lower()} moves weights on the chip, which the exported network holds fixed: "
            "export a learner whose readout alone adapts, such as prototype, or bptt with fast = ['readout.*']"
        )
    return network


def _only_readout(rule: Plasticity) -> bool:
    """Whether this is e-prop of a readout."""
    return isinstance(rule, EProp) and all(name.startswith(f"{READOUT}.") for name in rule.fast)


def calibration(run: Run, learner: Learner, data: Path | None, count: int = CALIBRATION) -> Signal:
    """Pictures of training classes, encoded."""
    task = build.practice(run.experiment.task, data)
    generator = torch.Generator().manual_seed(run.experiment.seed)
    pictures: list[Tensor] = []
    while sum(map(len, pictures)) < count:
        pictures += [part.x[0] for part in task.sample(generator, 1)]
    x = learner.encoder.encode(torch.cat(pictures)[:count], generator)
    return learner.network.signal(x)  # type: ignore[attr-defined]


def _steps(network: Stack, x: Signal) -> int:
    if x.timed:
        return len(x.values)
    return next((layer.steps for _, layer in network.layers if hasattr(layer, "steps")), 1)  # type: ignore[attr-defined]
