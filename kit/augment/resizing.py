"""Smaller images for the early epochs of a training."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, side: int) -> Tensor:
    """Shrink images to `side` x `side` pixels on their device: bilinear, antialiased.

    Args:
        images: float32 (N, C, H, W), normalised; returned unchanged if they have that size.
        side: pixels, 1 or more.

    Returns:
        float32 (N, C, side, side), channels_last.
    """
    if images.shape[2:] == (side, side):
        return images
    small = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    return small.contiguous(memory_format=torch.channels_last)
