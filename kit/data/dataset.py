"""A dataset in memory, whatever it was read from."""

from dataclasses import dataclass

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


def spread(images: Tensor, count: int) -> Tensor:
    """At most `count` of the images (or labels), evenly spread, since they may be sorted by class."""
    count = min(count, len(images))
    return images[torch.arange(count) * len(images) // count]
