"""What every plasticity rule offers."""

from typing import Protocol, runtime_checkable

import torch

from neurometa.types import Adapted, Data, Network, Params


class Plasticity(Protocol):
    """Writes fast weights from a support set."""

    @property
    def exact_graph(self) -> bool:
        """Whether an estimator may differentiate through `adapt`."""
        ...

    @property
    def readout_only(self) -> bool:
        """Whether the fast weights are the readout's alone, so that everything before it is computed once."""
        ...

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """Parameters of the rule itself that the outer loop may train."""
        ...

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Write fast weights from `support`; everything random comes in as `noise`."""
        ...


@runtime_checkable
class Noisy(Protocol):
    """A rule that explores: what it needs of chance is drawn before vmap and comes back to its `adapt` as `noise`."""

    def draw(self, support: Data, generator: torch.Generator) -> Params:
        """Draw for a batch of support sets; every tensor has their leading task axis."""
        ...
