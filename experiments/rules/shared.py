"""What the shared network makes of every character, computed once: no rule of the comparison changes a layer before the last."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from experiments.rules.rows import COUNTS, LAST, WHOLE, WINDOW, experiment, rows
from neurometa.core.encode import Direct, Encoder
from neurometa.core.layer import Conv2d
from neurometa.core.network import Stack, averaged_last, stacked
from neurometa.experiment import build, start
from neurometa.experiment.build import Question
from neurometa.tasks.augment import Augment, augmented
from neurometa.tasks.base import ImageClasses
from neurometa.types import Params

DRAWINGS = 5
"""Drawings of each training character that are kept."""


class Characters(NamedTuple):
    """A bag of characters as the shared network sees them.

    Attributes:
        pictures: uint8 (classes, drawings, height, width).
        before: spikes of the layer before the last, pooled, (classes, drawings, time * n).
        last: spikes of the last layer, (classes, drawings, time * n).
    """

    pictures: Tensor
    before: Tensor
    last: Tensor


class Folded(NamedTuple):
    """A window whose time axis was folded into its features, unfolded again: (*, steps * n) to (steps, *, *shape)."""

    steps: int
    shape: tuple[int, ...]

    @property
    def fixed(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Bring time to the front."""
        return x.float().unflatten(-1, (self.steps, -1)).movedim(-2, 0).unflatten(-1, self.shape)


def cut(network: Stack) -> tuple[Stack, Stack]:
    """A network before its last convolution, and from there on."""
    at = max(i for i, (_, layer) in enumerate(network.layers) if isinstance(layer, Conv2d))
    shape = network.shape
    for _, layer in network.layers[:at]:
        shape = layer.init(torch.Generator(), shape)[1]
    return Stack(network.shape, network.layers[:at], network.vmappable), stacked(shape, list(network.layers[at:]))


def piece(network: Stack, given: str, steps: int) -> tuple[Stack, Encoder]:
    """The part of a network that a rule still runs, and how what it is given is shown to it."""
    if given == WHOLE:
        return network, Direct(steps)
    if given == LAST:
        after = cut(network)[1]
        return after, Folded(steps, after.shape)
    if given == WINDOW:
        after = (network if network.layers[-1][0] == "average" else averaged_last(network)).split()[1]
        return after, Folded(steps, after.shape)
    return network.split()[1], Direct(1)


@torch.no_grad()
def seen(network: Stack, params: Params, pictures: Tensor, binary: Tensor) -> Characters:
    """What the network makes of pictures, given as uint8 and as the numbers that it is shown, (classes, drawings, 1, height, width)."""
    early, late = cut(network)
    late = averaged_last(late).split()[0]
    before, last = [], []
    for part in binary.flatten(0, 1).split(100):
        spikes = early.run(params, early.signal(part))
        window = late.run(params, late.signal(spikes.output)).output
        before.append(spikes.output.movedim(0, 1).flatten(1).half())
        last.append(window.movedim(0, 1).flatten(1).half())
    shape = pictures.shape[:2]
    return Characters(pictures, torch.cat(before).unflatten(0, shape), torch.cat(last).unflatten(0, shape))


def characters(part: str, data: Path | None, kept: Path | None) -> Characters:
    """Training characters (each drawing moved once at random, as in a meta-training), or "unseen" ones as they are.

    Args:
        part: "train" or "unseen".
        data: where Omniglot lies.
        kept: folder in which the spikes are kept between calls; None to compute them anew.
    """
    made = experiment(rows(5)["prototype"], 5)
    family = build.practice(made.task, data) if part == "train" else build.unseen(made, Question(5, 1, 5), data)
    if not isinstance(family, ImageClasses):
        raise TypeError("pictures expected")
    pictures, generator = family.images, torch.Generator().manual_seed(0)
    if part == "train":
        pictures = pictures[: len(pictures) // 4, :DRAWINGS]  # not turned: a quarter of the classes
    x = pictures.unsqueeze(2).float() / 255
    if part == "train":
        x = augmented(x.flatten(0, 1), Augment(), generator).unflatten(0, pictures.shape[:2])
    files = {name: kept / f"{part}-{name}.npy" for name in ("before", "last")} if kept else {}
    if files and all(file.exists() for file in files.values()):
        return Characters(pictures, *(torch.from_numpy(np.load(file)) for file in files.values()))
    network: Any = build.learner(made, 5).network
    found = seen(network, start.parameters(made, network), pictures, (x > (family.threshold or 0)).float())
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, getattr(found, name).numpy())
    return found


def family(found: Characters, given: str, ways: int, shots: int, queries: int, steps: int, threshold: float | None = None) -> ImageClasses:
    """Episodes of characters as a rule is given them; the same generator draws the same episodes whatever is given."""
    if given == WHOLE:
        return ImageClasses(found.pictures, ways, shots, queries, threshold=threshold)
    if given == COUNTS:
        counts = found.last.unflatten(-1, (steps, -1)).float().mean(-2)
        return ImageClasses(counts, ways, shots, queries)
    return ImageClasses(found.before if given == LAST else found.last, ways, shots, queries)
