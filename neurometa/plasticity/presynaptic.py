"""What the synapses of the readout are given: features of each example, or a window of spikes in time."""

from typing import NamedTuple

from torch import Tensor

from neurometa.core.layer import TimeAverage
from neurometa.errors import UserError
from neurometa.types import Data, Network, Params


class Given(NamedTuple):
    """Presynaptic activity, and the normalisation statistics measured on the way where the parameters carry none.

    `values` has shape (n, features), or (time, n, features) of a window.
    """

    values: Tensor
    statistics: Params


def features(network: Network, slow: Params, support: Data) -> Given:
    """The activity that reaches the readout, averaged over time: (n, features)."""
    body, head = network.split()
    shown = body.run(slow, network.signal(support.x))
    signal = head.signal(shown.output)
    for _, layer in getattr(head, "layers", ()):
        if isinstance(layer, TimeAverage):  # behind the readout, with which it commutes
            signal = layer.apply({}, signal, {})[0]
    return Given(signal.values, shown.statistics)


def window(network: Network, slow: Params, support: Data) -> Given:
    """The activity that reaches the readout at every step: (time, n, features).

    Raises:
        UserError: the network averages over time before its readout.
    """
    body, _ = network.split()
    shown = body.run(slow, network.signal(support.x))
    if shown.output.ndim != 3:
        raise UserError(
            f"features of shape {tuple(shown.output.shape)} given, a window (time, n, features) expected: "
            "move the time average behind the readout with `network.averaged_last`"
        )
    return Given(shown.output, shown.statistics)
