"""Figures of images: samples of each class, and what augmentation makes of them."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kit.augment import MEAN, STD
from kit.plots.style import styled


def show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """Draw one uint8 image (3, H, W) without ticks or frame, which would look like its border."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8)


@styled
def image_grid(images: Tensor, titles: Sequence[str], columns: int = 10, heading: str = "") -> Figure:
    """Images (N, 3, H, W) in rows of `columns`, each with a title."""
    rows = -(-len(images) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(columns, 1.25 * rows + 0.3), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.axis("on")
        show_image(axes, image, title)
    figure.suptitle(heading)
    return figure


@styled
def class_samples(images: Tensor, labels: Tensor, classes: Sequence[str], per_class: int = 8) -> Figure:
    """The first images of every class, a row a class."""
    figure, grid = plt.subplots(len(classes), per_class, figsize=(per_class * 0.95 + 1, len(classes) * 0.95),
                                squeeze=False)  # fmt: skip
    for label, (row, name) in enumerate(zip(grid, classes, strict=True)):
        members = images[labels == label][:per_class]
        for axes in row[len(members) :]:
            axes.axis("off")
        for axes, image in zip(row, members, strict=False):
            show_image(axes, image)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


@styled
def augmentation_table(images: Tensor, ways: Mapping[str, Callable[[Tensor], Tensor]]) -> Figure:
    """The same uint8 images as they are and after each way of augmenting, a row a way."""
    rows = {"as they are": images} | {name: way(images) for name, way in ways.items()}
    figure, grid = plt.subplots(len(rows), len(images), figsize=(len(images) * 0.95 + 1.6, len(rows) * 0.98),
                                squeeze=False)  # fmt: skip
    for line, (name, changed) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, changed, strict=True):
            show_image(axes, image)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


@styled
def training_views(views: Tensor, targets: Tensor, classes: Sequence[str], columns: int = 10) -> Figure:
    """Normalised float images (N, 3, H, W) as training sees them, in rows of `columns`, titled with their targets."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    images = ((views * std + mean) * 255).round().clamp(0, 255).byte()
    if not targets.is_floating_point():
        return image_grid(images, [classes[k] for k in targets], columns)
    shares, order = targets.topk(2)
    pairs = zip(shares.tolist(), order.tolist(), strict=True)
    titles = [f"{100 * s[0]:.0f} {classes[k[0]]}\n{100 * s[1]:.0f} {classes[k[1]]}" for s, k in pairs]
    return image_grid(images, titles, columns)


@styled
def class_counts(counts: Mapping[str, int], expected: float | None = None, title: str = "") -> Figure:
    """Images a class as bars; a line at the expected count."""
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.bar(list(counts), list(counts.values()))
    for place, count in enumerate(counts.values()):
        if count > 0.1 * max(counts.values()):  # high enough to hold its number, away from the line
            axes.text(place, count / 2, f"{count:,.0f}", ha="center", va="center", fontsize=8, color="white")
        else:
            axes.text(place, count, f"{count:,.0f}", ha="center", va="bottom", fontsize=8)
    if expected is not None:
        axes.axhline(expected, color="black", linewidth=1, linestyle="--", label=f"{expected:,.0f} if balanced")
        axes.set_ylim(top=1.2 * max(*counts.values(), expected))
        axes.legend(loc="upper right")
    axes.set_ylabel("images")
    axes.set_title(title)
    axes.tick_params(axis="x", rotation=30)
    return figure


@styled
def pixel_histogram(images: Tensor) -> Figure:
    """How often each grey level occurs in the three channels of uint8 images."""
    figure, axes = plt.subplots(figsize=(7, 3))
    for channel, (name, color) in enumerate((("red", "#D55E00"), ("green", "#009E73"), ("blue", "#0072B2"))):
        counts = images[:, channel].flatten().bincount(minlength=256).double()
        axes.plot(range(256), 100 * counts / counts.sum(), color=color, label=name)
    axes.set(xlabel="grey level", ylabel="% of pixels", xlim=(0, 255))
    axes.legend()
    return figure
