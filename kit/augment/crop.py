"""Random crop and flip of whole batches, drawn separately for every image."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.augment.todevice import send


def random_crop(
    images: Tensor,
    padding: int = 4,
    mode: Literal["zero", "reflect"] = "zero",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pad every image and cut a window of the original size at a random place (He et al. 2016).

    Args:
        images: (N, C, H, W) of any dtype; left unchanged.
        padding: pixels added on each side, 0 or more; below H and W in mode "reflect".
        mode: whether zeros are added, or the image mirrored about its edge pixels.
        generator: a CPU generator.

    Returns:
        (N, C, H, W); each of the (2 padding + 1)^2 windows is equally likely.

    Raises:
        ValueError: `padding` or `mode` has another value.
    """
    padded = _pad(images, padding, mode)
    down, right = torch.randint(2 * padding + 1, (2, len(images)), generator=generator)
    count, channels, height, width = images.shape
    order = right.argsort(stable=True)
    # Whole rows move in one gather; then the images that share a horizontal offset are cut together.
    first_row = (order * channels)[:, None] + torch.arange(channels)
    first_row = first_row * (height + 2 * padding) + down[order][:, None]
    rows = (first_row[..., None] + torch.arange(height)).flatten()
    strips = padded.flatten(0, 2).index_select(0, send(rows, images.device))
    strips = strips.view(count, channels, height, width + 2 * padding)
    windows = strips.new_empty(images.shape)
    start = 0
    for offset, size in enumerate(torch.bincount(right, minlength=1).tolist()):
        windows[start : start + size] = strips[start : start + size, ..., offset : offset + width]
        start += size
    return windows.index_select(0, send(order.argsort(), images.device))


def _pad(images: Tensor, padding: int, mode: str) -> Tensor:
    """Add `padding` pixels on each side."""
    if mode not in ("zero", "reflect"):
        raise ValueError(f"the padding mode of a crop is 'zero' or 'reflect', not {mode!r}")
    smallest = min(images.shape[2:])
    if padding < 0 or (mode == "reflect" and padding >= smallest):
        raise ValueError(f"padding is 0 or more, and below {smallest} pixels to reflect, not {padding}")
    padded = F.pad(images.contiguous(), (padding,) * 4)
    if mode == "reflect" and padding:
        for dim in (2, 3):  # torch's own reflection takes no uint8
            strip = padded.movedim(dim, 0)
            strip[:padding] = strip[padding + 1 : 2 * padding + 1].flip(0)
            strip[-padding:] = strip[-2 * padding - 1 : -padding - 1].flip(0)
    return padded


def random_flip(images: Tensor, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image left to right with probability `p`.

    Args:
        images: (N, C, H, W) of any dtype; left unchanged.
        p: 0 to 1.
        generator: a CPU generator.

    Returns:
        (N, C, H, W).
    """
    return mirror(images, torch.rand(len(images), generator=generator) < p)


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images left to right.

    Args:
        images: (N, C, H, W) of any dtype; left unchanged.
        chosen: bool (N,), on the CPU.

    Returns:
        (N, C, H, W).
    """
    order = chosen.argsort(stable=True)
    start = len(images) - int(chosen.sum())
    images = images.index_select(0, send(order, images.device))
    images[start:] = images[start:].flip(-1)
    return images.index_select(0, send(order.argsort(), images.device))
