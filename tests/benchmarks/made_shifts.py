"""Damage after Hendrycks and Dietterich 2019 (arXiv:1903.12261) and changes of framing, each in three strengths.

The strengths were written down before anything was measured on them.
"""

import io

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from kit.analysis.shifts import Shift, blur, brightness, in_floats, move, rotate, saturation


@in_floats
def _noise(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    return images + sigma * torch.randn(images.shape, generator=generator)


@in_floats
def _impulses(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    hit = torch.rand(n, 1, height, width, generator=generator) < share
    salt = (torch.rand(n, 1, height, width, generator=generator) < 0.5).float()
    return torch.where(hit, salt, images)


def _jpeg(images: Tensor, quality: float, _: torch.Generator) -> Tensor:
    # Pillow's, since torchvision's is deprecated from 0.29 on.
    return torch.stack([_jpeg_one(image, int(quality)) for image in images])


def _jpeg_one(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    transforms.to_pil_image(image).save(file, "JPEG", quality=quality)
    return transforms.pil_to_tensor(Image.open(file))


def _contrast(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_contrast(images, factor)


def _hue(images: Tensor, turn: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_hue(images, turn)


def _pixelate(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    small = transforms.resize(images, [int(side)] * 2, antialias=True)
    return transforms.resize(small, list(images.shape[2:]), transforms.InterpolationMode.NEAREST)


def _zoom_in(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    middle = transforms.center_crop(images, [int(side)] * 2)
    return transforms.resize(middle, list(images.shape[2:]), antialias=True)


def _zoom_out(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    small = transforms.resize(images, [int(side)] * 2, antialias=True)
    before = (images.shape[2] - int(side)) // 2
    after = images.shape[2] - int(side) - before
    return transforms.pad(small, [before, before, after, after], padding_mode="edge")


@in_floats
def _occlude(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """Put a grey square of `side` pixels at a random place inside each image."""
    n, _, height, width = images.shape
    top = torch.randint(height - int(side) + 1, (n, 1, 1, 1), generator=generator)
    left = torch.randint(width - int(side) + 1, (n, 1, 1, 1), generator=generator)
    row, column = torch.arange(height)[:, None], torch.arange(width)
    inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
    return images.masked_fill(inside, 0.5)


MADE_SHIFTS = (
    Shift("blur", "sigma {:g} px", (0.5, 0.8, 1.2), blur),
    Shift("pixelate", "{:g} px a side", (24, 18, 13), _pixelate),
    Shift("noise", "sigma {:g}", (0.02, 0.05, 0.09), _noise),
    Shift("salt and pepper", "{:.0%}", (0.01, 0.03, 0.07), _impulses),
    Shift("JPEG", "quality {:g}", (60, 25, 10), _jpeg),
    Shift("less contrast", "x {:g}", (0.6, 0.35, 0.2), _contrast),
    Shift("brighter", "x {:g}", (1.4, 1.9, 2.6), brightness),
    Shift("darker", "x {:g}", (0.6, 0.35, 0.2), brightness),
    Shift("less colour", "x {:g}", (0.5, 0.2, 0.0), saturation),
    Shift("other hues", "{:g} turn", (0.08, 0.2, 0.5), _hue),
    Shift("zoom in", "middle {:g} px", (26, 21, 16), _zoom_in),
    Shift("zoom out", "to {:g} px", (26, 20, 15), _zoom_out),
    Shift("off-centre", "{:g} px", (4, 8, 13), move),
    Shift("rotation", "{:g} degrees", (12, 25, 45), rotate),
    Shift("occlusion", "{:g} px a side", (8, 13, 19), _occlude),
)
