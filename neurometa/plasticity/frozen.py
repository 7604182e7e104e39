"""No plasticity: the control that shows what adaptation adds."""

from typing import NamedTuple

import torch

from neurometa.types import Adapted, Data, Network, Params, Work


class Frozen(NamedTuple):
    """fast = {}. The support set is not looked at."""

    @property
    def exact_graph(self) -> bool:
        """There is nothing to differentiate through."""
        return True

    @property
    def readout_only(self) -> bool:
        """Every weight stays, but the whole network is slow."""
        return False

    def slow(self, network: Network, params: Params, generator: torch.Generator) -> Params:
        """No parameters."""
        return {}

    def adapt(self, network: Network, slow: Params, support: Data, noise: Params | None = None) -> Adapted:
        """Measure the support set's normalisation statistics, where the slow parameters carry none, and write nothing."""
        return Adapted({}, Work.of(), torch.tensor(True), network.run(slow, network.signal(support.x)).statistics)
