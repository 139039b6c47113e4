"""Warnings of images that were read wrongly, and of labels that a balanced test set would not get."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:  # this room is imported without torch, so that the command line answers at once
    from torch import Tensor

FEWEST, MOST = 0.7, 1.4  # times the fair share of a class in a balanced set
MEAN_SHIFT = 0.06  # of the range 0..1: natural photos stay below it, a wrong layout or scale does not
SPREAD_RATIO = 1.35  # largest ratio, in either direction, of the test images' deviation or roughness to training's

_MEANS = ("mean red", "mean green", "mean blue")
_FIGURES = (*_MEANS, "deviation red", "deviation green", "deviation blue", "roughness")
_SAMPLE = 5000  # images, taken evenly


def warn_of_unlikely_labels(labels: "Tensor", classes: Sequence[str]) -> pd.Series:
    """Count the images of each class, and warn of a class that is too rare or too frequent for a balanced test set.

    Args:
        labels: int64 (N,), predicted.
        classes: their names.

    Returns:
        The number of images by class name.
    """
    counts = labels.bincount(minlength=len(classes)).tolist()
    for name, count in zip(classes, counts, strict=True):
        if not FEWEST <= count * len(classes) / len(labels) <= MOST:
            warnings.warn(
                f"{name} is predicted on {100 * count / len(labels):.1f} % of the images, where a balanced set has "
                f"about {100 / len(classes):.0f} %: check the images' layout and normalisation", stacklevel=2,
            )  # fmt: skip
    return pd.Series(counts, index=list(classes), name="images")


def warn_of_unlike_images(images: "Tensor", training_images: "Tensor") -> pd.DataFrame:
    """Compare test images with training images, and warn if they differ as images do that were read or scaled wrongly.

    Args:
        images: uint8 (N, 3, 32, 32), the test images.
        training_images: uint8 (M, 3, 32, 32).

    Returns:
        Rows `training` and `test`. Columns, all on a scale of 0..1: the mean and the standard deviation of each
        channel, and the roughness: the mean absolute difference of neighbouring pixels. A wrong layout raises the
        roughness and leaves means and deviations as they are.
    """
    rows = {"training": _figures_of(training_images), "test": _figures_of(images)}
    table = pd.DataFrame(rows, index=list(_FIGURES)).T
    shift = (table.loc["test"] - table.loc["training"])[list(_MEANS)].abs().max()
    ratio = (table.loc["test"] / table.loc["training"]).drop(list(_MEANS))
    factor = max(ratio.max(), 1 / ratio.min()) if ratio.min() > 0 else float("inf")
    if shift > MEAN_SHIFT or factor > SPREAD_RATIO:
        warnings.warn(
            f"the test images are unlike the training images (a channel mean differs by {shift:.2f}, deviation or "
            f"roughness by a factor of {factor:.2f}): check that they are 0..255 RGB in the right layout",
            stacklevel=2,
        )
    return table


def _figures_of(images: "Tensor") -> list[float]:
    sample = images[:: max(len(images) // _SAMPLE, 1)].float().div(255)  # (n, 3, 32, 32), 0..1
    roughness = sample.diff(dim=3).abs().mean().item()
    return [*sample.mean((0, 2, 3)).tolist(), *sample.std((0, 2, 3)).tolist(), roughness]
