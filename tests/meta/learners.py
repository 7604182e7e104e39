"""Toy learners that cover every pair of rule and network, and parameters to judge them with."""

import torch

from neurometa.core.encode import Direct
from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import LIF
from neurometa.meta.learner import Learner
from neurometa.plasticity.bptt import BPTT
from neurometa.plasticity.frozen import Frozen
from neurometa.plasticity.hebbian import Hebbian, memory
from neurometa.plasticity.prototype import Prototype
from neurometa.types import Episode, Params
from tests.small import LIVELY, OneByOne, Switches

STEPS = 4
RULES = {
    "all": BPTT(2, 0.3),
    "readout": BPTT(2, 0.3, fast=("readout.*",)),
    "learnt": BPTT(2, 0.3, "learnt"),
    "per-parameter": BPTT(2, 0.3, "per-parameter", ("readout.*", "*2.weight")),
    "zero": BPTT(3, 0.3, "per-parameter", ways=2),
    "prototype": Prototype(2),
    "frozen": Frozen(),
    "hebbian": Hebbian(2, gated=True, trace=0.4),
    "fast-weights": Hebbian(2, memory, "synapse", own=True),
}


def mlp(neuron: LIF = LIVELY, *, normalise: bool = False, outputs: int | None = 2) -> Stack:
    return mlp_network((1, 4, 4), (7, 6), normalise=normalise, neuron=neuron, steps=STEPS, outputs=outputs)


def conv(neuron: LIF = LIVELY, *, normalise: bool = False, outputs: int | None = 2) -> Stack:
    return conv_network((1, 4, 4), (3, 4), (1, 1), (2, 1), normalise=normalise, neuron=neuron, steps=STEPS, outputs=outputs)


def recurrent(neuron: LIF = LIVELY, *, normalise: bool = False, outputs: int | None = 2) -> Stack:
    """Both layers hear themselves, and every spike takes a step to arrive."""
    return mlp_network(
        (1, 4, 4), (7, 6), normalise=normalise, neuron=neuron, steps=STEPS, recurrent=True, delay=1, outputs=outputs
    )  # fmt: skip


BUILDERS = {"mlp": mlp, "conv": conv, "recurrent": recurrent}


def made(build: str, rule: str, neuron: LIF = LIVELY, *, normalise: bool = False) -> Learner:
    outputs = None if rule in ("prototype", "zero", "hebbian") else 2
    return Learner(BUILDERS[build](neuron, normalise=normalise, outputs=outputs), RULES[rule], Direct(STEPS))


def one_by_one(learner: Learner) -> Learner:
    """The same learner, every task through the whole network, one after another."""
    return learner._replace(network=learner.network._replace(vmappable=False), plasticity=OneByOne(learner.plasticity))


def problem(learner: Learner, tasks: int = 3, *, given: bool = False) -> tuple[Params, Episode]:
    """Slow parameters, with the statistics of other pictures where `given`, and encoded episodes."""
    generator = torch.Generator().manual_seed(0)
    slow = learner.init(generator)
    if given:
        other = Switches(2, 20, 1).sample(generator, 1).support.x[0]
        slow |= learner.network.run(slow, learner.network.signal(other)).statistics
    episodes = learner.encode(Switches(2, 2, 3).sample(generator, tasks), generator)
    return slow, episodes


def assert_spiking(learner: Learner, slow: Params, episodes: Episode) -> None:
    record = learner.network.run(slow, learner.network.signal(episodes.query.x[0]))
    for name, z in record.z.items():
        assert 0.01 < float(z.mean()) < 0.99, f"{name} is dead or saturated"
