"""Image operations on uint8 batches in which every image has its own operation and its own magnitude.

AutoAugment, RandAugment, TrivialAugment, colour jitter and random rotation share these operations. The results equal
those of `torchvision.transforms.functional` on uint8 CPU tensors, one image at a time, to the last bit; magnitudes mean
the same as in torchvision's auto-augment classes. A `Plan` says which image gets which operation. It lies in the host's
memory, so that the sizes of the groups are known without waiting for the device.

torchvision's operations on PIL images give other values than its operations on tensors. This table shows the share of
values that differ over every magnitude and sign of the three policies (hue: -0.5 to 0.5), in brackets the share at the
magnitude that differs most, and the largest difference. Measured on 200 CIFAR-10 training images with torchvision 0.29
by `python tests/benchmarks/augment.py --pil`:

    ShearX, ShearY             0.23 % (8.3 %)   255     the neighbouring pixel, if a position is a tie
    Rotate                     0.05 % (2.1 %)   181     the same, mostly at 135 degrees
    Color                     25.4 % (49.7 %)     1     grey is rounded in PIL, truncated in tensors
    Contrast                  24.0 % (54.8 %)     2     the same, and PIL rounds the mean to an integer
    Sharpness                  2.3 % (18.4 %)     1
    AutoContrast               0.5 % (0.5 %)      1
    Hue                       20.7 % (27.4 %)    13     PIL works on 8-bit HSV
    TranslateX, TranslateY, Brightness, Posterize, Solarize, Equalize, Invert: none
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.augment import color, geometry
from kit.augment.geometry import warp
from kit.augment.todevice import send


@dataclass(frozen=True)
class Plan:
    """The operations for each of N images, in S stages one after the other; tensors in the host's memory.

    Attributes:
        operations: int64 (N, S), indices into `NAMES`.
        magnitudes: float64 (N, S), signed, in the units of `NAMES`' functions.
    """

    operations: Tensor
    magnitudes: Tensor


def check_images(images: Tensor) -> None:
    """Refuse anything but uint8 (N, 3, H, W).

    Raises:
        TypeError: `images` is not a uint8 tensor.
        ValueError: it has another shape.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(
            f"images must be a torch.uint8 tensor (values 0 to 255), not {found}; augment before normalising"
        )
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have shape (N, 3, height, width), not {tuple(images.shape)}")


def apply(images: Tensor, plan: Plan) -> Tensor:
    """Carry out a plan. At each stage the images are sorted by operation, and each group is computed at once.

    Args:
        images: uint8 (N, 3, H, W) on any device, any memory format; left unchanged.
        plan: a plan for these N images.

    Returns:
        uint8 (N, 3, H, W) on the same device.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape, or the plan is for another number of images.
    """
    check_images(images)
    if len(plan.operations) != len(images):
        raise ValueError(f"the plan is for {len(plan.operations)} images, not {len(images)}; draw one for this batch")
    images = images.contiguous()
    place = torch.arange(len(images))  # place[i]: the present position of image i
    for operations, magnitudes in zip(plan.operations.T, plan.magnitudes.T, strict=True):
        order = operations.argsort(stable=True)
        images = images.index_select(0, send(place[order], images.device))
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        _apply_groups(images, operations[order], magnitudes[order])
    return images.index_select(0, send(place, images.device))


def _apply_groups(images: Tensor, operations: Tensor, magnitudes: Tensor) -> None:
    """Overwrite `images`, which are sorted by operation: all affine ones at once, the others group by group."""
    sizes = torch.bincount(operations, minlength=len(NAMES)).tolist()
    groups = dict(zip(NAMES, magnitudes.split(sizes), strict=True))
    warped = sum(len(groups[name]) for name in MATRICES)
    if warped:
        matrices = torch.cat([rows(groups[name], *images.shape[2:]) for name, rows in MATRICES.items()])
        images[:warped] = warp(images[:warped], matrices)
    start = warped
    for name, change in COLORS.items():
        group = slice(start, start + len(groups[name]))
        if len(groups[name]):
            images[group] = change(images[group], groups[name])
        start = group.stop


# MATRICES make affine maps from (magnitudes, height, width); COLORS change (images, magnitudes).
MATRICES: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "ShearX": geometry.shear_x,
    "ShearY": geometry.shear_y,
    "TranslateX": geometry.translate_x,
    "TranslateY": geometry.translate_y,
    "Rotate": geometry.rotate,
}
COLORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": color.brightness,
    "Color": color.saturation,
    "Contrast": color.contrast,
    "Sharpness": color.sharpness,
    "Posterize": color.posterize,
    "Solarize": color.solarize,
    "AutoContrast": color.autocontrast,
    "Equalize": color.equalize,
    "Invert": color.invert,
    "Hue": color.hue,
}
NAMES = (*MATRICES, *COLORS, "Identity")
