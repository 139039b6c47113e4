"""Colour jitter and random rotation of uint8 batches, drawn separately for every image."""

import torch
from torch import Tensor

from kit.augment.plans import NAMES, Plan, apply, check_images


def color_jitter(
    images: Tensor,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change brightness, contrast, saturation and hue, in an order and by amounts drawn for each image.

    This is torchvision's `ColorJitter`.

    Args:
        images: uint8 (N, 3, H, W); left unchanged.
        brightness: factors are uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: as for brightness.
        saturation: as for brightness.
        hue: shifts are uniform in [-hue, hue], in turns of the colour circle; 0 to 0.5.
        generator: a CPU generator.

    Returns:
        uint8 (N, 3, H, W).

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape, or an amount is out of range.
    """
    check_images(images)
    return apply(images, draw_color_jitter(len(images), brightness, contrast, saturation, hue, generator))


def draw_color_jitter(
    count: int,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    generator: torch.Generator | None = None,
) -> Plan:
    """Draw `color_jitter`'s plan for `count` images: a host `Plan` of four stages.

    Raises:
        ValueError: an amount is negative, or `hue` is above 0.5.
    """
    largest = torch.tensor([brightness, contrast, saturation, hue], dtype=torch.float64)
    if largest.min() < 0 or hue > 0.5:
        raise ValueError(f"colour jitter takes amounts of 0 or more, hue at most 0.5, not {largest.tolist()}")
    smallest = -largest.clamp(max=1)  # a factor is never negative
    magnitudes = smallest + (largest - smallest) * torch.rand(count, 4, dtype=torch.float64, generator=generator)
    names = ("Brightness", "Contrast", "Color", "Hue")
    stages = [name if amount > 0 else "Identity" for name, amount in zip(names, largest, strict=True)]
    operations = torch.tensor([NAMES.index(name) for name in stages])
    order = torch.rand(count, 4, generator=generator).argsort(1)
    return Plan(operations[order], magnitudes.gather(1, order))


def random_rotation(images: Tensor, degrees: float, generator: torch.Generator | None = None) -> Tensor:
    """Rotate each image about its centre by an angle that is uniform in [-degrees, degrees].

    This is torchvision's `RandomRotation`: nearest neighbour, zero outside.

    Args:
        images: uint8 (N, 3, H, W); left unchanged.
        degrees: 0 to 180.
        generator: a CPU generator.

    Returns:
        uint8 (N, 3, H, W).

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape.
    """
    check_images(images)
    return apply(images, draw_rotation(len(images), degrees, generator))


def draw_rotation(count: int, degrees: float, generator: torch.Generator | None = None) -> Plan:
    """Draw `random_rotation`'s plan for `count` images: a host `Plan` of one stage."""
    angles = (torch.rand(count, 1, dtype=torch.float64, generator=generator) * 2 - 1) * degrees
    return Plan(torch.full((count, 1), NAMES.index("Rotate")), angles)
