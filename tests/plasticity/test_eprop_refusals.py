"""What e-prop cannot do it refuses where it is called, not only where it is configured."""

import pytest
import torch

from neurometa.core.layer import Linear, Norm, TimeAverage
from neurometa.core.network import stacked
from neurometa.errors import UserError
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data
from tests.plasticity.networks import LABELS, NEURONS, dense, raster


def without_statistics():
    network, _ = dense(NEURONS["lif-hard"])
    layers = list(network.layers)
    layers.insert(1 + [name for name, _ in layers].index("linear1"), ("norm1", Norm()))
    return stacked((7,), layers)


def two_dense():
    network, _ = dense(NEURONS["lif-hard"])
    return stacked((7,), [("linear0", Linear(6)), *network.layers])


def filter_behind():
    network, _ = dense(NEURONS["lif-hard"], readout_decay=0.8)
    kept = [(name, layer) for name, layer in network.layers if not isinstance(layer, TimeAverage)]
    return stacked((7,), [*kept, ("average", TimeAverage(0.8))])


@pytest.mark.parametrize(
    ("rule", "network", "said"),
    [
        (EProp(), dense(NEURONS["lif-hard"], widths=(9, 9))[0], "lif1 is not wired to the readout"),
        (EProp(examples="single"), without_statistics(), "normalisation norm1 given, whose statistics would be those of the first example"),
        (EProp(chunk=7), two_dense(), "layers linear0 and linear1 before population lif1 given, one dense layer expected"),
        (EProp(chunk=7), filter_behind(), "filter average behind the readout's weights given"),
        (EProp(chunk=7), dense(NEURONS["lif-hard"], delay=1)[0], "delayed population lif1 given"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_by_adapt_itself(rule, network, said) -> None:
    with pytest.raises(UserError, match=said):
        rule.adapt(network, network.init(torch.Generator().manual_seed(0)), Data(raster(30, 4, 7), LABELS))
