"""What every source of images becomes: tensors, class names, and a sentence on where they came from."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images of both parts.

    Attributes:
        train_images: uint8 (N,3,32,32), RGB.
        train_labels: int64 (N,), positions in `classes`.
        test_images: as `train_images`.
        test_labels: as `train_labels`.
        classes: the names of the classes, in the order of their labels.
        source: in words, what was read and from where.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    source: str
