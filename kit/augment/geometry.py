"""Affine operations on uint8 batches, every image with its own matrix: nearest neighbour, zero outside.

With a matrix row (a, b, c, d, e, f) the output point (x, y) shows the input point (a x + b y + c, d x + e y + f), in
pixels from the image's centre. The functions that make rows take float64 magnitudes (N,) on the host and return float64
(N, 6). Together with `warp` they equal `torchvision.transforms.functional.affine` and `rotate` on uint8 CPU tensors.
"""

import torch
from torch import Tensor

from kit.augment.todevice import send


def shear_x(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Shear along x about the top left corner; the magnitude is the tangent of the angle."""
    return _rows(b=magnitudes, c=magnitudes * height / 2)


def shear_y(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Shear along y about the top left corner; the magnitude is the tangent of the angle."""
    return _rows(d=magnitudes, f=magnitudes * width / 2)


def translate_x(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Move to the right by the magnitude in pixels, rounded towards zero."""
    return _rows(c=-magnitudes.trunc())


def translate_y(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Move down by the magnitude in pixels, rounded towards zero."""
    return _rows(f=-magnitudes.trunc())


def rotate(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Rotate about the centre, counter-clockwise by the magnitude in degrees."""
    cosine, sine = magnitudes.deg2rad().cos(), magnitudes.deg2rad().sin()
    return _rows(a=cosine, b=-sine, d=sine, e=cosine)


def _rows(**entries: Tensor) -> Tensor:
    """Rows of the identity with some entries replaced by the values (N,); float64 (N, 6)."""
    count = len(next(iter(entries.values())))
    rows = torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float64).repeat(count, 1)
    for name, values in entries.items():
        rows[:, "abcdef".index(name)] = values
    return rows


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample every image through its own affine map. The map of equal matrices is computed once.

    Args:
        images: uint8 (N, 3, H, W), contiguous.
        matrices: float64 (N, 6) on the host.

    Returns:
        uint8 (N, 3, H, W).
    """
    height, width = images.shape[2:]
    distinct, which = matrices.unique(dim=0, return_inverse=True)
    source, inside = _nearest_pixels(send(distinct.float(), images.device), height, width)
    which = send(which, images.device)
    source = source.index_select(0, which)[:, None].expand(-1, 3, -1)
    warped = images.flatten(2).gather(2, source).mul_(inside.index_select(0, which)[:, None])
    return warped.view(images.shape)


def _nearest_pixels(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """For each matrix the index of the nearest input pixel, int64 (M, H*W), and whether it lies inside, uint8 (M, H*W).

    The float32 operations come in the order of torchvision's affine grid and torch's grid_sample, so that ties round
    as they do there.
    """
    a, b, c, d, e, f = (column[:, None, None] for column in matrices.unbind(1))
    x = torch.arange(width, device=matrices.device) - (width / 2 - 0.5)
    y = torch.arange(height, device=matrices.device)[:, None] - (height / 2 - 0.5)
    half_width, half_height = 0.5 * width, 0.5 * height
    grid_x = x * (a / half_width) + y * (b / half_width) + c / half_width
    grid_y = x * (d / half_height) + y * (e / half_height) + f / half_height
    column = (((grid_x + 1) * width - 1) / 2).round_()
    row = (((grid_y + 1) * height - 1) / 2).round_()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = (row * width + column).mul_(inside)
    return pixel.flatten(1).long(), inside.flatten(1).to(torch.uint8)
