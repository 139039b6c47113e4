"""A dataset in memory, whatever it was read from."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled training and test images.

    Attributes:
        train_images: uint8 (N,3,32,32), RGB.
        train_labels: int64 (N,), positions in `classes`.
        test_images: as `train_images`.
        test_labels: as `train_labels`.
        classes: the names of the classes, in the order of their labels.
        source: what was read and from where, in words.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for these images: for all labels, and 1,000 images of each part."""
        digest = hashlib.sha256()
        for images, labels in ((self.train_images, self.train_labels), (self.test_images, self.test_labels)):
            for tensor in (spread(images, 1000), labels):
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def spread(images: Tensor, count: int) -> Tensor:
    """At most `count` of the images (or labels), evenly spread, since they may be sorted by class."""
    count = min(count, len(images))
    return images[torch.arange(count) * len(images) // count]
