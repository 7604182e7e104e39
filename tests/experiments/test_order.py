"""What the order of examples changes: orders are orders, and a pass of single examples moves as far as one of all."""

import torch

from experiments.order import shuffled, slower, summary
from neurometa.types import Data, Episode


def test_every_episode_keeps_its_examples_with_their_labels_in_an_order_of_its_own() -> None:
    x = torch.arange(60.0).reshape(3, 10, 2)
    y = torch.arange(30).reshape(3, 10)
    found = shuffled(Episode(Data(x, y), Data(x, y)), torch.Generator().manual_seed(0))
    assert torch.equal(found.support.y.sort(1).values, y)
    assert torch.equal(found.support.x[..., 0], 2.0 * found.support.y)
    orders = found.support.y - y[:, :1]
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(found.query.y, y)


def test_learnt_step_sizes_are_divided_and_nothing_else() -> None:
    params = {"eprop.log_rate.linear1.weight": torch.tensor(1.0).log(), "linear1.weight": torch.ones(2)}
    found = slower(params, 10)
    torch.testing.assert_close(found["eprop.log_rate.linear1.weight"].exp(), torch.tensor(0.1))
    assert torch.equal(found["linear1.weight"], params["linear1.weight"])


def test_the_spread_over_orders_is_apart_from_that_over_episodes() -> None:
    found = summary(torch.tensor([[100.0, 50.0], [100.0, 50.0]]))
    assert found["sd_over_orders"] == 0
    assert found["sd_over_episodes"] > 30
