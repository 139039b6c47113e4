"""Load CIFAR-10 from any source as tensors, and split it into training and validation images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kit.data import imagefolder, locations, official
from kit.data.classnames import CLASSES, DIGITS
from kit.data.dataset import Dataset
from kit.data.digits import digits
from kit.data.download import download
from kit.data.testfile import CompetitionTest, find_competition_test, load_competition_test, write_competition_test
from kit.errors import KitError
from kit.system.paths import EMBEDDED, given

__all__ = [
    "CLASSES",
    "DIGITS",
    "SPLITS",
    "CompetitionTest",
    "Dataset",
    "Split",
    "classes_of",
    "find_competition_test",
    "load",
    "load_competition_test",
    "split",
    "write_competition_test",
]

SPLITS = ("paper", "holdout")
HOLDOUT_FRACTION = 0.16  # the paper's 84:16, taken from the training images

_DIGITS_TEST_FRACTION = 0.2


@dataclass(frozen=True, eq=False)
class Split:
    """Images to train on, images to validate on, and test images that neither of them includes (None for `paper`).

    Images are uint8 (N,3,32,32) and labels int64 (N,).
    """

    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    test_images: Tensor | None = None
    test_labels: Tensor | None = None


def load(source: str | Path = "auto") -> Dataset:
    """Read a dataset into memory.

    Args:
        source: `auto` looks at $CIFAR10_DIR, Kaggle's mounts and ./data, and then downloads CIFAR-10 to ./data;
            `digits` is scikit-learn's handwritten digits, and `noisy-digits` the same with noise; anything else is a
            folder, or the official tar.gz.
            `resize:FOLDER` scales the images of a folder to 32x32 pixels.

    Raises:
        KitError: there is nothing usable, or the images are not 32x32 pixels and `resize:` is missing.
    """
    if source in EMBEDDED:
        return _digits(noisy=source == "noisy-digits")
    place, resize = locations.place_of(source)
    found = (locations.find_dataset() or download(locations.local_data())) if place == "auto" else _found(Path(place))
    return imagefolder.read(found, resize) if imagefolder.holds_images(found) else official.read(found)


def classes_of(source: str | Path = "auto") -> tuple[str, ...]:
    """The classes that `load` would find; reads no image and downloads nothing.

    Raises:
        KitError: there is nothing usable.
    """
    if source in EMBEDDED:
        return DIGITS
    place, _ = locations.place_of(source)
    found = locations.find_dataset() if place == "auto" else _found(Path(place))
    return imagefolder.classes_in(found) if found and imagefolder.holds_images(found) else CLASSES


def _found(place: Path) -> Path:
    place = given(place)
    found = locations.find_form(place)
    if found is None:
        state = "holds no CIFAR-10" if place.is_dir() else "does not exist"
        raise KitError(f"{place} {state}; pass a folder with {locations.FORMS}, or auto, or digits, or noisy-digits")
    return found


def split(dataset: Dataset, how: str, seed: int) -> Split:
    """Divide a dataset for training.

    `paper` trains on all training images and validates on the official test images, as the paper did.
    `holdout` validates on 16 % of the training images of each class and does not use the test images.

    Args:
        dataset: what `load` returned.
        how: `paper` or `holdout`.
        seed: chooses the images that `holdout` validates on; the same seed chooses the same ones.

    Raises:
        KitError: the split is unknown.
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
    """Split indices by class: the rest, and `fraction` of each class; both ascending, with every class in both."""
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held).nonzero().squeeze(1), held.nonzero().squeeze(1)


def _digits(noisy: bool) -> Dataset:
    images, labels = digits(noisy)
    train, test = _stratified(labels, _DIGITS_TEST_FRACTION, seed=0)
    source = f"scikit-learn's handwritten digits, enlarged to 32x32{', with noise' if noisy else ''}"
    return Dataset(images[train], labels[train], images[test], labels[test], DIGITS, source)
