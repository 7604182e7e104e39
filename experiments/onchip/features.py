"""The network before the learner: the published prototype network up to its last spikes, and 64 spiking features of them.

The features are the directions in which classes differ most compared with drawings of one class, each by two neurons, for either sign.
They are fitted to spikes of 300 training characters, ten drawings each, as the integers of the chip make them; nothing else is trained.

    python -m experiments.onchip.features experiments/onchip/features

Source:
    Linear discriminants: Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
import torch.nn.functional as F

from neurometa.core.network import Stack
from neurometa.experiment import build, checkpoint, exporting, folder
from neurometa.export import bundle as bundles
from neurometa.export import emulator
from neurometa.export.bundle import Bundle, Readout
from neurometa.export.loihi import Folded, Stage, Synapse, calibrate, fold, rounded
from neurometa.tasks.archive import read_drawings
from neurometa.tasks.base import INK
from neurometa.tasks.omniglot import characters, find
from neurometa.types import Params, Signal

BODY = "experiments/trained/omniglot-prototype"
STEPS = 6
"""For which a picture is held."""

CHARACTERS, DRAWINGS, SEED = 300, 10, 0
"""How many of the training characters of `background-validation` the features are fitted to, drawings of each, and what chooses them."""

WITHIN, DIRECTIONS = 250, 32
"""Principal components in which the discriminants are sought, and how many are kept."""

GAIN, DECAY = 0.5, 0.5
"""Factor of the features' currents, and decay of their neurons; the threshold is 1."""

TOGETHER = 50
"""Pictures that the emulator plays at once."""


class Published(NamedTuple):
    """The published network: its layers, parameters, and a few pictures that choose the scales."""

    network: Stack
    params: Params
    pictures: Signal


def published(data: Path | None) -> Published:
    """Read it."""
    run = folder.open_run(Path(BODY))
    torch.set_num_threads(1)
    learner = build.learner(run.experiment, 5)
    pictures = exporting.calibration(run, learner, data, 40)
    return Published(learner.network, checkpoint.read(run.checkpoint).parameters(), pictures)  # type: ignore[arg-type]


def drawings(data: Path | None) -> np.ndarray:
    """Pictures to fit the features to, 0 or 1, (characters * drawings, pixels)."""
    known = characters("background-validation", "train")
    chosen = [known[i] for i in np.sort(np.random.default_rng(SEED).permutation(len(known))[:CHARACTERS])]
    images = read_drawings(find(data, "images_background"), "images_background", [f"{c.alphabet}/{c.folder}" for c in chosen])
    return (images[:, :DRAWINGS].flatten(0, 1).flatten(1).float() / 255 > INK).numpy().astype(np.uint8)


def body(folded: Folded, pictures: Signal) -> Bundle:
    """The network up to its last spikes."""
    folded = folded._replace(stages=folded.stages[:-1], unread=0)
    return rounded(folded, calibrate(folded, pictures)[0], "body")[0]


def spikes(bundle: Bundle, pictures: np.ndarray) -> np.ndarray:
    """Spikes of a bundle's last population from its onset on, of pictures (n, pixels): (n, steps, neurons)."""
    last = bundle.network.populations[-1]
    parts = []
    for start in range(0, len(pictures), TOGETHER):
        given = np.ascontiguousarray(pictures[start : start + TOGETHER].T)
        parts.append(emulator.play(bundle, given, timed=False).spikes[last.name][last.onset :].transpose(2, 0, 1))
    return np.concatenate(parts)


def pooled(sent: np.ndarray, shape: tuple[int, ...], pool: int) -> np.ndarray:
    """Mean over time of the spikes in windows of pool x pool, (n, pooled)."""
    n, steps = sent.shape[:2]
    rows, columns = shape[1] // pool, shape[2] // pool
    grid = sent.reshape(n, steps, *shape)[..., : rows * pool, : columns * pool].reshape(n, steps, shape[0], rows, pool, columns, pool)
    return grid.sum((4, 6)).mean(1).reshape(n, -1)


def discriminants(seen: np.ndarray, last: Synapse, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (directions, pooled) and biases of the features, in the space of the published network's own answer.

    Args:
        seen: pooled spikes, (characters * drawings, pooled).
        last: the published network's last synapses, a convolution.
        shape: of the pooled spikes.
    """
    unit = torch.eye(seen.shape[1], dtype=torch.float64).reshape(-1, *shape)
    answer = F.conv2d(unit, torch.from_numpy(last.weight.copy()), None, last.stride, last.padding).flatten(1).numpy().T
    values = seen @ answer.T
    centre = values.mean(0)
    values = values - centre
    components = np.linalg.eigh(values.T @ values)[1][:, ::-1][:, :WITHIN].T
    each = (values @ components.T).reshape(CHARACTERS, DRAWINGS, -1)
    mean = each.mean(1)
    rest = (each - mean[:, None]).reshape(-1, each.shape[2])
    within = rest.T @ rest / (CHARACTERS * (DRAWINGS - 1))
    within = within + np.trace(within) / len(within) * np.eye(len(within))
    size, turn = np.linalg.eigh(within)
    white = (turn / np.sqrt(size)) @ turn.T
    directions = (white @ np.linalg.eigh(white @ (mean.T @ mean / CHARACTERS) @ white)[1])[:, ::-1][:, :DIRECTIONS].T @ components
    return directions @ answer, -directions @ centre


def featured(folded: Folded, weight: np.ndarray, bias: np.ndarray) -> Folded:
    """The network with its features in place of its own answer."""
    source, last = folded.stages[-2], folded.stages[-1]
    before = last.synapses[0]
    rows = source.shape[1] // before.pool
    kernel = GAIN * np.concatenate([weight, -weight]).reshape(-1, source.shape[0], rows, rows)
    n, both = len(kernel), GAIN * np.concatenate([bias, -bias])
    synapse = Synapse("features-in", source.name, kernel, 1, 0, before.pool)
    stage = Stage("features", (n, 1, 1), (synapse,), both, np.full(n, DECAY), np.zeros(n), np.ones(n), last.onset, "")
    return folded._replace(stages=(*folded.stages[:-1], stage), unread=0)


def made(data: Path | None) -> Bundle:
    """Fit the features and round everything."""
    known = published(data)
    folded = fold(known.network, known.params, STEPS)
    source, before = folded.stages[-2], folded.stages[-1].synapses[0]
    seen = pooled(spikes(body(folded, known.pictures), drawings(data)), source.shape, before.pool)
    side = source.shape[1] // before.pool
    whole = featured(folded, *discriminants(seen, before, (source.shape[0], side, side)))
    bundle, _ = rounded(whole, calibrate(whole, known.pictures)[0], "omniglot-features")
    readout = Readout("features", "spikes", 1 / STEPS)
    return bundle._replace(network=msgspec.structs.replace(bundle.network, readout=readout), floats={})


if __name__ == "__main__":
    bundles.write(Path(sys.argv[1]), made(None))
