"""A learner: network, plasticity and encoder, joined into `adapt` and a query loss over many tasks."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurometa.core.check import check_finite
from neurometa.core.encode import Encoder
from neurometa.core.loss import task_accuracy, task_loss
from neurometa.plasticity.base import Noisy, Plasticity
from neurometa.types import Adapted, Data, Episode, Measures, Network, Params


class Learner(NamedTuple):
    """`adapt(slow, support) -> fast`, then `run(slow + fast, query)`.

    Attributes:
        network, plasticity, encoder: its parts.
        redeal: in meta-training, deal the examples of an episode several times, see `adapt.redealt`. Never in an evaluation.
        device: where tensors live; everything random is drawn on the CPU, so that runs reproduce, and moved once.
        precision: "float32"; or "bf16": products and convolutions in 16 bits (`torch.autocast`), all else in 32.
    """

    network: Network
    plasticity: Plasticity
    encoder: Encoder
    redeal: bool = False
    device: str = "cpu"
    precision: str = "float32"

    def init(self, generator: torch.Generator) -> Params:
        """Draw the slow parameters, those of the plasticity included."""
        params = self.network.init(generator)
        return self.placed({**params, **self.plasticity.slow(self.network, params, generator)})

    def placed(self, params: Params) -> Params:
        """The same parameters on the learner's device."""
        return {name: value.to(self.device) for name, value in params.items()}

    def arithmetic(self) -> torch.autocast:
        """The context in which the network is to run."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    def encode(self, episodes: Episode, generator: torch.Generator) -> Episode:
        """Encode every example of a batch of episodes and move it to the device; done before vmap, because it may be random."""

        def one(data: Data) -> Data:
            check_finite("input", data.x)  # here, because vmap hides it from the network
            x = self.encoder.encode(data.x, generator).to(self.device)
            return Data(x.movedim(0, 1) if has_time(self.network, x) else x, data.y.to(self.device))

        support, rule = one(episodes.support), self.plasticity
        if isinstance(rule, Noisy):
            support = support._replace(noise=self.placed(rule.draw(episodes.support, generator)))
        return Episode(support, one(episodes.query))

    def adapt(self, slow: Params, support: Data) -> Adapted:
        """Run the plasticity on one encoded support set."""
        return self.plasticity.adapt(self.network, slow, support, support.noise or None)

    def outcome(self, slow: Params, adapted: Adapted, query: Data) -> Measures:
        """Run the adapted network on one encoded query set, normalised by the statistics of the slow weights or else of the support."""
        params = {**slow, **adapted.statistics, **adapted.fast}
        output = self.network.run(params, self.network.signal(query.x)).output
        return Measures(task_loss(output, query.y), task_accuracy(output.detach(), query.y), adapted.finite, adapted.statistics)


def has_time(network: Any, x: Tensor) -> bool:
    """Whether encoded examples of many tasks have a time axis, between those of task and example."""
    return x.ndim > len(network.shape) + 2
