"""A moving scan: every pixel comes by in its time, and nothing else does."""

import pytest
import torch

from neurometa.core.encode import Raster
from neurometa.errors import UserError
from neurometa.tasks.base import ImageClasses
from neurometa.tasks.strokes import Scanned


def pictures() -> ImageClasses:
    drawn = (torch.rand(6, 4, 5, 7, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8) * 255
    return ImageClasses(drawn, ways=3, shots=1, queries=2, threshold=0.3)


@pytest.mark.parametrize(("width", "stride", "steps"), [(1, 1, 7), (3, 2, 3), (7, 1, 1)])
def test_step_by_step_the_columns_under_the_slit_are_shown(width: int, stride: int, steps: int) -> None:
    family = Scanned(pictures(), width, stride)
    assert family.shape == (steps, 5 * width)
    scan, whole = family.sample(torch.Generator().manual_seed(1), 2), pictures().sample(torch.Generator().manual_seed(1), 2)
    assert torch.equal(scan.query.y, whole.query.y)
    assert scan.support.x.shape == (2, 3, steps, 5 * width)
    assert scan.support.x.sum() > 0
    for step in range(steps):
        under = whole.query.x[..., 0, :, step * stride : step * stride + width]
        assert torch.equal(scan.query.x[..., step, :], under.transpose(-1, -2).flatten(-2))


def test_the_raster_brings_time_to_the_front_and_a_slit_wider_than_the_picture_is_refused() -> None:
    x = Scanned(pictures()).sample(torch.Generator().manual_seed(1), 2).support.x
    assert torch.equal(Raster().encode(x, torch.Generator())[4], x[:, :, 4])
    with pytest.raises(UserError, match="slit of 8 columns"):
        _ = Scanned(pictures(), 8).shape
