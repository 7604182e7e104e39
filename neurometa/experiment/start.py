"""Where a meta-training begins: weights drawn from the seed, or those of a learner that was trained before."""

from pathlib import Path

import torch

from neurometa.core.network import READOUT
from neurometa.errors import UserError
from neurometa.experiment import checkpoint, config, folder
from neurometa.types import Network, Params

STATISTICS = (".mean", ".var")
"""Endings of the running statistics of a normalisation, which a learner keeps beside its weights."""


def parameters(experiment: config.Experiment, network: Network) -> Params:
    """The weights and running statistics with which `training.start` replaces those drawn from the seed; none where it names nothing.

    Constants of the other learner's rule stay behind. A readout is taken over where both have one for as many classes; else it is drawn,
    as are the dense layers that `network.hidden` adds to convolutions which the other learner has without them; the statistics of the
    normalisation before them are not taken over, as it sees each step and not an average over time.

    Raises:
        UserError: no such learner, or its network is another one.
    """
    path = experiment.training.start
    if path is None:
        return {}
    found = checkpoint.read(folder.open_run(Path(path)).checkpoint).parameters()
    own = network.init(torch.Generator())
    body = [name for name in own if not name.startswith(f"{READOUT}.")]
    added = _added(experiment, network, found)
    wrong = [n for n in body if n.rpartition(".")[0] not in added and (n not in found or found[n].shape != own[n].shape)]
    if wrong:
        given = tuple(found[wrong[0]].shape) if wrong[0] in found else "no such weight"
        raise UserError(
            f"training.start = {path!r} has {given} for {wrong[0]}, {tuple(own[wrong[0]].shape)} expected: "
            "start from a learner of the same network, or make network the same as in its config.toml"
        )
    kept = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    running = {n: value for n, value in found.items() if n.endswith(STATISTICS) and not (added and n.startswith("features."))}
    return kept | {name: value for name, value in running.items() if f"{name.rpartition('.')[0]}.gain" in own}


def _added(experiment: config.Experiment, network: Network, found: Params) -> set[str]:
    """Dense layers behind the convolutions and their neurons, where the other learner has none of them."""
    net = experiment.network
    if not isinstance(net, config.Conv):
        return set()
    numbers = [str(len(net.channels) + i) for i in range(1, len(net.hidden) + 1)]
    if any(f"linear{number}.weight" in found for number in numbers):
        return set()
    layers = {name.rpartition(".")[0] for name in network.init(torch.Generator())}
    return {layer for layer in layers if layer.lstrip("abcdefghijklmnopqrstuvwxyz-_") in numbers}
