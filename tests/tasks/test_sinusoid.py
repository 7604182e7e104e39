"""Sines: drawn within their bounds, every episode its own, support and queries of the same one."""

import math

import pytest
import torch

from neurometa.errors import UserError
from neurometa.tasks.sinusoid import Sinusoid


def test_points_of_an_episode_lie_on_one_sine_within_the_bounds_of_the_paper() -> None:
    episode = Sinusoid(3, 7).sample(torch.Generator().manual_seed(0), 500)
    assert episode.support.x.shape == episode.support.y.shape == (500, 3, 1)
    assert episode.query.x.shape == episode.query.y.shape == (500, 7, 1)
    x, y = (torch.cat([getattr(part, name) for part in episode[:2]], 1).double().squeeze(-1) for name in ("x", "y"))
    assert float(x.abs().max()) <= 5
    assert float(x.abs().max()) > 4.9
    basis = torch.stack([x.sin(), -x.cos()], -1)  # A sin(x - phase) = A cos(phase) sin x - A sin(phase) cos x
    solved = torch.linalg.lstsq(basis, y.unsqueeze(-1)).solution.squeeze(-1)
    torch.testing.assert_close((basis @ solved.unsqueeze(-1)).squeeze(-1), y, rtol=0, atol=1e-5)
    amplitude, phase = solved.norm(dim=1), torch.atan2(solved[:, 1], solved[:, 0])
    assert 0.1 - 1e-4 < float(amplitude.min()) < 0.2
    assert 4.9 < float(amplitude.max()) < 5 + 1e-4
    assert -1e-3 < float(phase.min()) < 0.1
    assert 3.0 < float(phase.max()) < math.pi + 1e-3


def test_the_same_seed_draws_the_same_sines_and_no_points_are_refused() -> None:
    one, two = (Sinusoid().sample(torch.Generator().manual_seed(3), 4) for _ in range(2))
    assert torch.equal(one.query.y, two.query.y)
    with pytest.raises(UserError, match="0 shots"):
        Sinusoid(0).sample(torch.Generator(), 1)
