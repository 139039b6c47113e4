"""Figures of images: samples of each class, and what augmentation makes of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from kit.augment import MEAN, STD
from kit.plots.style import BLACK, BLUE, GREEN, VERMILION, counted, sentence, short_names, styled, wrapped
from kit.plots.thumbnails import named, sheet, show_image, title_of


@styled
def image_grid(images: Tensor, titles: Sequence[str], columns: int = 8, heading: str = "") -> Figure:
    """Images in rows of `columns`, each with a title.

    Args:
        images: uint8 (N, 3, H, W).
        titles: one per image, of one or more lines, which are shortened to the width of an image's place.
        columns: images per row.
        heading: above all images.
    """
    if not len(images):
        return sentence(f"{heading}: there are no images" if heading else "there are no images")
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    figure, grid = sheet(rows, min(columns, len(images)), [lines] * rows, heading)
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        show_image(axes, image, title_of(*title.split("\n")))
    return figure


@styled
def predicted_samples(images: Tensor, logits: Tensor, classes: Sequence[str], columns: int = 8) -> Figure:
    """Images, each with its predicted class and the probability of it.

    Args:
        images: uint8 (N, 3, H, W).
        logits: float (N, classes) of these images.
        classes: the name of each class.
        columns: images per row.
    """
    certainty, labels = logits.softmax(1).max(1)  # (N,) each
    pairs = zip(labels.tolist(), certainty.tolist(), strict=True)
    titles = [named(classes[label], after=f" ({share:.0%})") for label, share in pairs]
    return image_grid(images, titles, columns)


@styled
def class_samples(images: Tensor, labels: Tensor, classes: Sequence[str], per_class: int = 8) -> Figure:
    """The first uint8 images (N, 3, H, W) of every class, one row per class."""
    members = [images[labels == label][:per_class] for label in range(len(classes))]
    names = [
        name if len(some) else f"{name}\n(no image)"
        for name, some in zip(short_names(classes), members, strict=True)
    ]  # fmt: skip
    return _rows(names, members, per_class)


def _rows(names: Sequence[str], images: Sequence[Tensor], columns: int) -> Figure:
    figure, grid = sheet(len(names), max(columns, 1), [0] * len(names), labels=names)
    for line, some in zip(grid, images, strict=True):
        for axes, image in zip(line, some, strict=False):
            show_image(axes, image)
    return figure


@styled
def augmentation_table(images: Tensor, ways: Mapping[str, Callable[[Tensor], Tensor]]) -> Figure:
    """The same uint8 images (N, 3, H, W) as they are and after each way of augmenting, one row per way."""
    if not len(images):
        return sentence("there are no images to augment")
    rows = {"as they are": images} | {name: way(images) for name, way in ways.items()}
    return _rows(list(rows), list(rows.values()), len(images))


@styled
def training_views(views: Tensor, targets: Tensor, classes: Sequence[str], columns: int = 10) -> Figure:
    """Images as training sees them, in rows of `columns`, each with its target as the title.

    Args:
        views: normalised float (N, 3, H, W).
        targets: int64 (N,), or the float shares of the classes (N, classes) of mixed images.
        classes: the name of each class.
        columns: images per row.
    """
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    images = ((views * std + mean) * 255).round().clamp(0, 255).byte()
    if not targets.is_floating_point():
        return image_grid(images, [classes[k] for k in targets], columns)
    shares, order = targets.topk(2)  # (N, 2): the two classes that were mixed
    pairs = zip(shares.tolist(), order.tolist(), strict=True)
    return image_grid(images, [_mixture(classes, *pair) for pair in pairs], columns)


def _mixture(classes: Sequence[str], shares: Sequence[float], labels: Sequence[int]) -> str:
    """One line per class of a mixed image: its share in % and its name."""
    mixed = zip(shares, labels, strict=True)
    return "\n".join(named(classes[label], before=f"{100 * share:.0f} ") for share, label in mixed)


@styled
def class_counts(counts: Mapping[str, int], expected: float | None = None, title: str = "") -> Figure:
    """Number of images per class as bars.

    Args:
        counts: images by class.
        expected: a dashed line stands at this count.
        title: of the figure; the lowest and the highest count follow it.
    """
    if not counts:
        return sentence("there are no classes to count")
    values = list(counts.values())
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.bar(range(len(values)), values)
    names = short_names(list(counts))
    slant: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    slant = slant if max(map(len, names)) > 4 else {}
    axes.set_xticks(range(len(values)), names, **slant)
    for place, count in enumerate(values):
        if count > 0.1 * max(values):  # high enough to hold its number, away from the line
            axes.text(place, count / 2, f"{count:,.0f}", ha="center", va="center", fontsize=8, color="white")
        else:
            axes.text(place, count, f"{count:,.0f}", ha="center", va="bottom", fontsize=8)
    if expected is not None:
        axes.axhline(expected, color="black", linewidth=1, linestyle="--", label=f"{expected:,.0f} if balanced")
        axes.legend(loc="upper right")
    axes.set_ylim(0, 1.2 * max(*values, expected or 0, 1))
    low, high = min(values), max(values)
    spread = f"{high:,.0f} each" if low == high else f"{low:,.0f} to {high:,.0f}"
    axes.set(xlabel="class", ylabel="images")
    axes.set_title(wrapped(f"{title}: {spread}" if title else spread, 6.6))
    return figure


@styled
def pixel_histogram(images: Tensor) -> Figure:
    """How often each grey level occurs in the three channels of uint8 images (N, 3, H, W)."""
    if not len(images):
        return sentence("there are no images whose pixels could be counted")
    figure, axes = plt.subplots(figsize=(7, 3))
    counts = [images[:, channel].flatten().bincount(minlength=256).double() for channel in range(3)]
    curves = list(zip(counts, ("red", "green", "blue"), (VERMILION, GREEN, BLUE), strict=True))
    if torch.equal(counts[0], counts[1]) and torch.equal(counts[0], counts[2]):  # grey images: one curve hides two
        curves = [(counts[0], "red, green and blue alike", BLACK)]
    for count, name, color in curves:
        axes.plot(range(256), 100 * count / count.sum(), color=color, label=name)
    axes.set(xlabel="grey level", ylabel="% of pixels", xlim=(-2, 257))
    black, white = ((images == level).double().mean().item() for level in (0, 255))
    axes.set_title(f"{counted(len(images), 'image')}: {black:.1%} of the values are 0, {white:.1%} are 255")
    axes.legend()
    return figure
