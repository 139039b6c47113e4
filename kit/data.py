"""Where CIFAR-10 comes from, as tensors, and how it is split into training and validation images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kit import imagefolder
from kit.errors import KitError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = ("paper", "holdout")
HOLDOUT_FRACTION = 0.16  # the paper's 84:16, taken from the training images

_DIGITS_TEST_FRACTION = 0.2


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: uint8 (N,3,32,32), int64 labels (N,), class names, and in words what was read."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    source: str


@dataclass(frozen=True, eq=False)
class Split:
    """Images to train on and to validate on, and the test images that neither touches (None for `paper`)."""

    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    test_images: Tensor | None = None
    test_labels: Tensor | None = None


def load(source: str | Path = "auto") -> Dataset:
    """Read CIFAR-10 (or `digits`) into memory.

    Args:
        source: `auto`, `digits` (scikit-learn's handwritten digits) or a folder.

    Raises:
        KitError: nothing usable there.
    """
    if source == "digits":
        return _digits()
    images, cached = imagefolder.read(Path("data" if source == "auto" else source))
    return Dataset(*images, source=f"image folder {source}" + (" (from the cache)" if cached else ""))


def split(dataset: Dataset, how: str, seed: int) -> Split:
    """Divide a dataset for training.

    `paper` trains on all training images and validates on the official test images, as the paper did.
    `holdout` keeps 16 % of the training images of each class for validation and leaves the test images alone.

    Args:
        dataset: what `load` returned.
        how: `paper` or `holdout`.
        seed: which training images `holdout` keeps; the same seed keeps the same ones.

    Raises:
        KitError: an unknown split.
    """
    if how == "paper":
        return Split(dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    if how != "holdout":
        raise KitError(f"split is {how!r}; it can be {' or '.join(SPLITS)}")
    train, held = _stratified(dataset.train_labels, HOLDOUT_FRACTION, seed)
    return Split(
        dataset.train_images[train],
        dataset.train_labels[train],
        dataset.train_images[held],
        dataset.train_labels[held],
        dataset.test_images,
        dataset.test_labels,
    )


def _stratified(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Ascending indices of the rest and of `fraction` of each class, at least one image a class."""
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        count = max(1, round(fraction * len(members)))
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)


def _digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8x8 pixels and 17 gray levels, enlarged to 32x32 RGB."""
    from sklearn.datasets import load_digits  # a second of import time that only this source needs

    digits = load_digits()
    small = torch.from_numpy(digits.images).float().unsqueeze(1) * (255 / 16)
    large = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    images = large.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(digits.target).long()
    train, test = _stratified(labels, _DIGITS_TEST_FRACTION, seed=0)
    classes = tuple(str(name) for name in digits.target_names)
    source = "scikit-learn's handwritten digits, enlarged to 32x32"
    return Dataset(images[train], labels[train], images[test], labels[test], classes, source)
