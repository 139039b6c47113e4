"""Augmentation of whole batches on any device.

In: uint8 images (N, 3, H, W). Out: uint8 images of the same shape, or normalised float batches from `Pipeline`.
May import: errors, system.
"""

from kit.augment.crop import mirror, random_crop, random_flip
from kit.augment.jitter import color_jitter, random_rotation
from kit.augment.mixing import cutmix, mixup
from kit.augment.pipeline import MEAN, STD, Pipeline, cutout, normalize
from kit.augment.policies import autoaugment, randaugment, trivialaugment
from kit.augment.transfer import send

__all__ = [
    "MEAN",
    "STD",
    "Pipeline",
    "autoaugment",
    "color_jitter",
    "cutmix",
    "cutout",
    "mirror",
    "mixup",
    "normalize",
    "randaugment",
    "random_crop",
    "random_flip",
    "random_rotation",
    "send",
    "trivialaugment",
]
