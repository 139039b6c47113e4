"""Affine operations on uint8 batches, every image with its own magnitude: nearest neighbour, zero outside.

Each takes uint8 (N, 3, H, W) and float64 magnitudes (N,) on the host, and equals
`torchvision.transforms.functional.affine` or `rotate` on uint8 CPU tensors, one image at a time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from kit.transfer import send


def shear_x(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Shear along x about the top left corner; the magnitude is the tangent of the angle."""
    return _affine(images, magnitudes, lambda m: _matrix(b=m, c=m * images.shape[2] / 2))


def shear_y(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Shear along y about the top left corner; the magnitude is the tangent of the angle."""
    return _affine(images, magnitudes, lambda m: _matrix(d=m, f=m * images.shape[3] / 2))


def translate_x(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Move to the right by the magnitude in pixels, cut to an integer towards zero."""
    return _affine(images, magnitudes.trunc(), lambda m: _matrix(c=-m))


def translate_y(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Move down by the magnitude in pixels, cut to an integer towards zero."""
    return _affine(images, magnitudes.trunc(), lambda m: _matrix(f=-m))


def rotate(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Rotate about the centre, counter-clockwise by the magnitude in degrees."""

    def matrix(degrees: Tensor) -> Tensor:
        cosine, sine = degrees.deg2rad().cos(), degrees.deg2rad().sin()
        return _matrix(a=cosine, b=-sine, d=sine, e=cosine)

    return _affine(images, magnitudes, matrix)


def _matrix(a=1.0, b=0.0, c=0.0, d=0.0, e=1.0, f=0.0) -> Tensor:
    """(M, 6) rows of x' = a x + b y + c, y' = d x + e y + f, output to input, in pixels from the centre."""
    entries = [torch.as_tensor(value, dtype=torch.float64) for value in (a, b, c, d, e, f)]
    return torch.stack(torch.broadcast_tensors(*entries), -1)


def _affine(images: Tensor, magnitudes: Tensor, matrix: Callable[[Tensor], Tensor]) -> Tensor:
    """Resample each image through its own affine map; equal magnitudes share one."""
    count, _, height, width = images.shape
    distinct, which = magnitudes.unique(return_inverse=True)
    matrices = send(matrix(distinct).float(), images.device)
    source, inside = _nearest_pixels(matrices, height, width)
    which = send(which, images.device)
    source = source.index_select(0, which)[:, None].expand(count, 3, height * width)
    result = images.flatten(2).gather(2, source) * inside.index_select(0, which)[:, None]
    return result.view(images.shape)


def _nearest_pixels(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """For each matrix: int64 (M, H*W) index of the nearest input pixel, and uint8 whether there is one.

    Float32 in the order of torchvision's affine grid and torch's grid_sample, so that ties round alike.
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
