"""Augmentation of whole batches on any device.

In: uint8 images (N, 3, H, W). Out: uint8 images of the same shape, or normalised float batches from `Pipeline`.
May import: errors, system. A lazy door (kit.system.lazyimports), since reading a recipe's `augment` needs no torch.
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.augment.augmentations import AUGMENTATIONS, Augmentations, read_words
    from kit.augment.crop import mirror, random_crop, random_flip
    from kit.augment.imagesizes import read_sides, sides_of_epochs
    from kit.augment.jitter import color_jitter, random_rotation
    from kit.augment.mixing import cutmix, mixup
    from kit.augment.pipeline import MEAN, STD, Pipeline, cutout, normalize
    from kit.augment.policies import autoaugment, randaugment, trivialaugment
    from kit.augment.resizing import resize
    from kit.augment.todevice import send

__all__, __dir__, __getattr__ = lazy_imports(__name__)
