"""A learner whose readout learns on the chip: made from a run, and judged beside the float learner on the same episodes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from neurometa.core.layer import Flatten, Spiking, TimeAverage
from neurometa.core.network import READOUT, Stack
from neurometa.errors import UserError
from neurometa.experiment import build, pairs
from neurometa.experiment.config import DelayedCue, Sinusoid
from neurometa.experiment.folder import Run
from neurometa.export import lava
from neurometa.export.bundle import Bundle
from neurometa.export.learning import Learned, learn
from neurometa.export.loihi import Folded, chip_input
from neurometa.export.loihi import readout as chip
from neurometa.export.loihi import taught as rules
from neurometa.meta.adapt import outcomes
from neurometa.meta.learner import Learner
from neurometa.plasticity import soel, stdp, step_size
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.eprop import PREFIX, EProp
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Data, Episode, Params, TaskFamily

CALIBRATION = 8
"""Episodes of training classes that choose the readout's scale."""

TOGETHER = {"emulator": 20, "lava": 5}
"""Episodes that are played at once; Lava plays one after another, and these share a worker."""


class OnChip(NamedTuple):
    """The learner on the chip: its bundle, the rule, and what the body's input is made of."""

    bundle: Bundle
    rule: rules.Taught
    folded: Folded


def made(run: Run, learner: Learner, params: Params, folded: Folded, bundle: Bundle, data: Path | None) -> OnChip:
    """The learner on the chip, its readout behind the network `bundle`, for episodes as the evaluation asks them.

    Raises:
        UserError: the rule, the task or the network's end does not fit; the message says what to choose.
    """
    asked = build.question(run.experiment)
    rule = with_learnt(learner.plasticity, params)
    found = seen(learner, params, _practice(run, data), run.experiment.seed)
    taught = rules.taught(rule, found, folded.steps, asked.ways, asked.shots, filtered(learner))
    return OnChip(chip.attached(bundle, taught, asked.ways, asked.ways * asked.shots, asked.ways * asked.queries), taught, folded)


def body(learner: Learner) -> Stack:
    """The network up to its last spikes, and a plain average and a readout behind it, as `fold` takes it.

    Raises:
        UserError: it is no row of layers, or does not end in spikes; or the rule does not fit.
    """
    rules.refuse(learner.plasticity)
    network = learner.network
    if not isinstance(network, Stack):
        raise UserError(
            f"a network of kind {type(network).__name__} cannot learn on the chip: expected a row of layers, such as mlp or conv"
        )
    average = next((layer for _, layer in network.layers if isinstance(layer, TimeAverage)), TimeAverage())
    if average.last or (average.decay and not isinstance(learner.plasticity, EProp)):
        given = f"an average of the last {average.last} steps" if average.last else "a leaky readout"
        raise UserError(
            f"{given} given, expected a plain one where a readout learns on the chip: choose network.readout = 'rate', last = 0"
        )
    layers = [(name, layer) for name, layer in network.layers if not isinstance(layer, TimeAverage)]
    at = [name for name, _ in layers].index(READOUT)
    ends = [layer for _, layer in layers[:at] if not isinstance(layer, Flatten)]
    if not isinstance(ends[-1], Spiking):
        raise UserError(
            f"features of a layer {type(ends[-1]).__name__} given, expected spikes where a readout learns on the chip: choose "
            "network.features = 'spikes', normalise_features = false and no pool behind the last layer"
        )
    return network._replace(layers=(*layers[:at], ("average", TimeAverage()), layers[at]))


def filtered(learner: Learner) -> float:
    """The decay of the readout's filter, 0 for none."""
    layers = learner.network.layers  # type: ignore[attr-defined]
    return next((layer.decay for _, layer in layers if isinstance(layer, TimeAverage)), 0.0)


def with_learnt(rule: Plasticity, params: Params) -> Plasticity:
    """The rule with the constants that were meta-learnt.

    Raises:
        UserError: every synapse has a rate of its own.
    """
    if isinstance(rule, stdp.STDP):
        kept = {name: float(params[f"stdp.log_{name}"].exp()) for name in stdp.CONSTANTS if f"stdp.log_{name}" in params}
        return rule._replace(pairing=rule.pairing._replace(**kept))
    if isinstance(rule, soel.SOEL):
        rate, tau, threshold = (float(params[name].exp()) for name in (soel.RATE, soel.TAU, soel.THRESHOLD))
        return rule._replace(rate=rate, tau=tau, threshold=threshold)
    if isinstance(rule, EProp):
        rate = step_size.of(PREFIX, step_size.Sizes(rule.rate, rule.rate, rule.rates), params, f"{READOUT}.weight")
        if isinstance(rate, Tensor) and rate.numel() > 1:
            raise UserError(f"eprop.rates = {rule.rates!r} does not fit Loihi's rules: expected one rate for all synapses of the readout")
        return rule._replace(rate=float(rate))
    return rule


def _practice(run: Run, data: Path | None) -> TaskFamily:
    """Episodes of training classes as the evaluation asks them of unseen ones."""
    task, asked = run.experiment.task, build.question(run.experiment)
    if isinstance(task, Sinusoid | DelayedCue):
        raise UserError(f"task {pairs.kind(task)} given, expected one of pictures where a readout learns on the chip")
    return build.practice(msgspec.structs.replace(task, ways=asked.ways, shots=asked.shots, queries=asked.queries), data)


@torch.no_grad()
def seen(learner: Learner, params: Params, task: TaskFamily, seed: int) -> rules.Seen:
    """What the float learner's readout comes to on a few training episodes."""
    generator = torch.Generator().manual_seed(seed)
    drawn = learner.encode(task.sample(generator, CALIBRATION), generator)
    network = body(learner)
    spiking = network._replace(layers=network.layers[:-2], integers=False)  # only the scale is chosen by it
    largest, total = 0.0, 0.0
    for support, query in _each(drawn):
        z = [spiking.run(params, network.signal(part.x)).output.flatten(2) for part in (support, query)]
        weight = _weights(learner, params, support, z[0])
        largest = max(largest, float(weight.abs().max()))
        total = max(total, float((z[1] @ weight.mT).cumsum(0).abs().max()), float((z[0] @ weight.mT).cumsum(0).abs().max()))
    return rules.Seen(largest, total)


def _weights(learner: Learner, params: Params, support: Data, z: Tensor) -> Tensor:
    """The readout that a support set writes, in the rule's own units; z is (time, examples, features)."""
    rule = learner.plasticity
    if isinstance(rule, Prototype):
        return torch.nn.functional.one_hot(support.y, rule.ways).to(z).mT @ z.sum(0)
    weight = learner.adapt(params, support).fast[f"{READOUT}.weight"]
    scale = {stdp.STDP: stdp.SCALE, soel.SOEL: soel.SCALE}.get(type(rule))  # type: ignore[call-overload]
    return weight / params[scale].exp() if scale else weight


def _each(drawn: Episode) -> list[tuple[Data, Data]]:
    """Episodes one by one."""
    parts = (drawn.support, drawn.query)
    return [tuple(Data(part.x[i], part.y[i]) for part in parts) for i in range(len(drawn.support.y))]  # type: ignore[misc]


class Judged(NamedTuple):
    """Accuracy of each episode in the float network and on the chip; where Lava played, what was compared and how much of it differs."""

    before: Tensor
    after: Tensor
    compared: dict[str, int]


@torch.no_grad()
def judged(
    learner: Learner,
    params: Params,
    made: OnChip,
    task: TaskFamily,
    episodes: int,
    seed: int,
    against: str,
    timeout_s: float,
    tick: Callable[[int, int], None],
) -> Judged:
    """Let both adapt to the same support sets and answer the same queries; with Lava, compare everything on the way."""
    learner, generator = learner._replace(redeal=False), torch.Generator().manual_seed(seed)
    before, after = [], []
    compared = {"samples": 0, "spikes": 0, "weights": 0, "differing": 0}
    for start in range(0, episodes, TOGETHER[against]):
        count = min(TOGETHER[against], episodes - start)
        drawn = learner.encode(task.sample(generator, count), generator)
        before.append(outcomes(learner, Learner.adapt, params, drawn).accuracy)
        given = _given(made, learner, drawn)
        found = learn(made.bundle, given, record=against == "lava")
        if against == "lava":
            expected, found = found, lava.learn([(made.bundle, given, {})], timeout_s * count)[0]
            compared["samples"] += count
            compared["spikes"] += sum(int(spikes.sum()) for spikes in found.spikes.values())
            compared["weights"] += sum(weights.size for weights in found.weights.values())
            compared["differing"] += differing(found, expected)
        queries = drawn.query.y.numpy()
        told = chip.answers(made.bundle, made.rule, found.read[chip.OUT], found.weights[chip.READ], queries.shape[1])
        after.append(torch.from_numpy((told.T == queries).mean(1)))
        tick(start + count, episodes)
    return Judged(torch.cat(before), torch.cat(after), compared)


def differing(found: Learned, expected: Learned) -> int:
    """How many spikes, potentials, weights and tags are not the same."""
    return sum(
        int((values != getattr(expected, what)[name]).sum()) for what in Learned._fields for name, values in getattr(found, what).items()
    )


def _given(made: OnChip, learner: Learner, drawn: Episode) -> np.ndarray:
    """The chip's input over the whole time."""

    def spikes(part: Data) -> np.ndarray:
        each = []
        for x in part.x:
            rows, timed = chip_input(made.bundle, made.folded, learner.network.signal(x))  # type: ignore[attr-defined]
            each.append(rows[: made.rule.steps] if timed else np.repeat(rows[None], made.rule.steps, 0))
        return np.stack(each, -1).transpose(2, 0, 1, 3)

    return chip.shown(made.bundle, made.rule, spikes(drawn.support), drawn.support.y.numpy().T, spikes(drawn.query))
