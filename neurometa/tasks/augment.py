"""Small random affine changes of images: rotation, scale and shift, one draw an image."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Augment(NamedTuple):
    """How far an image may be moved; every quantity is drawn uniformly from plus or minus its bound."""

    degrees: float = 10.0  # rotation about the centre
    scale: float = 0.12  # relative change of size, the same in both directions
    shift_px: float = 2.0  # shift along each axis, pixels


def augmented(
    images: Float[Tensor, "images 1 height width"], augment: Augment, generator: torch.Generator
) -> Float[Tensor, "images 1 height width"]:
    """Turn, scale and shift each image on its own, by bilinear interpolation over a background of 0.

    Output position p shows input position  R(angle) p / (1 + scale) - shift,  both in pixels from the centre.

    Args:
        images: float, shape (images, 1, height, width).
        augment: bounds of the change.
        generator: source of randomness, on the CPU.
    Returns:
        Images of the same shape.
    """
    n, _, height, width = images.shape
    u = 2.0 * torch.rand(4, n, generator=generator) - 1.0
    angle = u[0] * math.radians(augment.degrees)
    zoom = 1.0 / (1.0 + u[1] * augment.scale)
    cos, sin, aspect = zoom * torch.cos(angle), zoom * torch.sin(angle), height / width
    right, down = u[2] * (2.0 * augment.shift_px / width), u[3] * (2.0 * augment.shift_px / height)
    theta = torch.stack((cos, -sin * aspect, -right, sin / aspect, cos, -down), dim=1).view(n, 2, 3).to(images.dtype)
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
