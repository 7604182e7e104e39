"""Affine changes stay within their bounds and reach them."""

import math

import pytest
import torch

from neurometa.tasks.augment import Augment, augmented

N = 400


def blob(row: int, column: int, height: int = 29, width: int = 29) -> torch.Tensor:
    """`N` copies of a picture with a round spot, its centre at (row, column)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    spot = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 4.0)
    return spot.expand(N, 1, height, width)


def centre(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre of mass relative to the middle of the picture: right, down, pixels."""
    height, width = images.shape[2:]
    mass = images.sum((1, 2, 3))
    down = (images.sum((1, 3)) * torch.arange(height)).sum(1) / mass - (height - 1) / 2
    right = (images.sum((1, 2)) * torch.arange(width)).sum(1) / mass - (width - 1) / 2
    return right, down


def change(images: torch.Tensor, degrees: float = 0.0, scale: float = 0.0, shift_px: float = 0.0) -> torch.Tensor:
    return augmented(images, Augment(degrees, scale, shift_px), torch.Generator().manual_seed(0))


def test_no_change_is_no_change() -> None:
    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(change(images), images, rtol=0, atol=1e-4)  # interpolation at grid points: float32 rounding of positions


def test_a_shift_moves_up_to_its_bound_in_every_direction() -> None:
    for moved in centre(change(blob(14, 14), shift_px=3.0)):
        assert moved.abs().max() < 3.01
        assert moved.max() > 2.9
        assert moved.min() < -2.9


def test_a_scale_moves_away_from_the_centre_by_its_share() -> None:
    right, down = centre(change(blob(14, 22), scale=0.2))
    assert down.abs().max() < 0.01
    assert right.min() == pytest.approx(8 * 0.8, rel=0.03)
    assert right.max() == pytest.approx(8 * 1.2, rel=0.03)


@pytest.mark.parametrize("width", [29, 41])
def test_a_turn_keeps_the_distance_and_stays_within_its_angle(width: int) -> None:
    middle = (width - 1) // 2
    right, down = centre(change(blob(14, middle + 8, width=width), degrees=40.0))
    torch.testing.assert_close(torch.hypot(right, down), torch.full((N,), 8.0), rtol=0.01, atol=0)
    angle = torch.atan2(down, right) * 180 / math.pi
    assert angle.max() == pytest.approx(40, abs=1)
    assert angle.min() == pytest.approx(-40, abs=1)


def test_every_image_is_changed_on_its_own() -> None:
    right, _ = centre(change(blob(14, 14), shift_px=2.0))
    assert len(right.unique()) > N / 2
