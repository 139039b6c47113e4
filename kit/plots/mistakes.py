"""Figures of a network's mistakes: confusions, classes, galleries, heat maps, weaknesses, two runs."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from kit.analysis import LARGE_CHANGES, Answers, Comparison, confused_pairs, confusion, images_of_pair, per_class
from kit.plots.style import (
    BLUE,
    DARK_GREY,
    GREY,
    PALE,
    VERMILION,
    counted,
    intervals,
    sentence,
    short_names,
    shortened,
    styled,
)
from kit.plots.thumbnails import named, sheet, show_image, title_of

COLUMNS = 9  # images per row of a gallery


@styled
def confusion_matrix(answers: Answers) -> Figure:
    """Counts (left) and shares of the true class (right), one row per true class; the shade shows the mistakes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
    counts, rates = confusion(answers), 100 * confusion(answers, rates=True)
    _matrix(left, counts, "{:.0f}", "images")
    _matrix(right, rates, "{:.1f}", "% of the true class")
    wrong = int((~answers.right).sum())
    shade = "; darker means more mistakes" if wrong else ""
    figure.suptitle(f"{answers.accuracy:.2%} of {counted(len(answers), 'image')} right, {wrong:,} wrong{shade}")
    return figure


def _matrix(axes: Axes, table: pd.DataFrame, form: str, title: str) -> None:
    values = table.to_numpy(dtype=float)  # (classes, classes)
    mistakes = np.where(np.eye(len(values), dtype=bool), np.nan, values)  # the diagonal is far larger
    top = np.nanmax(mistakes) if np.nansum(mistakes) else 1.0
    axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=top)
    for (row, column), value in np.ndenumerate(values):
        if value > 0:
            color = "white" if row != column and value > 0.6 * top else "black"
            weight = "bold" if row == column else "normal"
            text = form.format(value)
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color, weight=weight)
    names = short_names(table.columns)
    axes.set_xticks(range(len(table)), names)
    if max(map(len, names)) > 2:
        plt.setp(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table)), short_names(table.index))
    axes.set(xlabel="predicted class", ylabel="true class", title=title)


@styled
def class_measures(answers: Answers) -> Figure:
    """Recall, precision and accuracy of every class with 95 % intervals, worst recall on top."""
    table = per_class(answers).sort_values("recall", ascending=False, na_position="first")
    panels = {
        "recall": "of its images, recognised",
        "precision": "of its predictions, right",
        "accuracy": "of all images, told apart",
    }
    figure, grid = plt.subplots(1, 3, figsize=(11, 0.32 * len(table) + 1.2), sharey=True)
    for axes, (measure, meaning) in zip(grid, panels.items(), strict=True):
        share, low, high = table[[measure, f"{measure}_low", f"{measure}_high"]].to_numpy().T
        intervals(axes, range(len(table)), low, high, BLUE, horizontal=True)
        axes.plot(share, range(len(table)), "o", color=BLUE, markersize=4)
        axes.set_yticks(range(len(table)), short_names(table.index))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(axis="x", color=PALE)
        axes.set_axisbelow(True)
        axes.set(title=f"{measure}: share {meaning}", xlabel=measure)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    grid[0].set_ylabel("class")
    return figure


def caption(answers: Answers, index: int) -> str:
    """Two lines above an image: its label, and an arrow to what was predicted, with the probability."""
    label, predicted = answers.labels[index], answers.predicted[index]
    certainty = f" {answers.confidence[index]:.0%}"
    return f"{named(answers.classes[label])}\n{named(answers.classes[predicted], before='→ ', after=certainty)}"


@styled
def gallery(images: Tensor, answers: Answers, indices: Sequence[int], heading: str, columns: int = COLUMNS) -> Figure:
    """Chosen images, each below its true label, its prediction and the prediction's probability.

    Args:
        images: uint8 (N, 3, H, W), the images that `answers` are about.
        answers: labels, predictions and probabilities of these images.
        indices: the images to show, in this order; if there are none, a sentence says so.
        heading: above the images.
        columns: images per row.
    """
    if not len(indices):
        return sentence(f"{heading}: there are none")
    figure, places = _places(len(indices), columns, f"{heading} (true label → prediction with its probability)")
    for axes, index in zip(places, indices, strict=False):
        show_image(axes, images[index], caption(answers, index))
    return figure


def _places(count: int, columns: int, heading: str) -> tuple[Figure, Iterable[Axes]]:
    rows = -(-count // columns)
    figure, grid = sheet(rows, min(columns, count), [2] * rows, heading)
    return figure, grid.flat


@styled
def confused_examples(images: Tensor, answers: Answers, pairs: int = 6, examples: int = 8) -> Figure:
    """The most confused pairs, one row per pair, with the most confident mistakes."""
    table = confused_pairs(answers, pairs)
    if table.empty:
        return sentence("Confused pairs: there are none, as every image is right")
    rows = list(table.itertuples())
    labels = [
        f"{shortened(pair.true, 1.4)}\ntaken for {shortened(pair.predicted, 1.4)}\n"
        f"{counted(pair.images, 'image')} ({pair.share:.1%})"
        for pair in rows
    ]
    heading = "Most confused pairs; above each image the probability of the wrong class"
    figure, grid = sheet(len(rows), min(examples, max(table.images)), [1] * len(rows), heading, labels)
    for line, pair in zip(grid, rows, strict=True):
        chosen = images_of_pair(answers, pair.true, pair.predicted)
        for axes, index in zip(line, chosen, strict=False):
            show_image(axes, images[index], f"{answers.confidence[index]:.0%}")
    return figure


@styled
def heat_maps(images: Tensor, maps: Tensor, answers: Answers, indices: Sequence[int]) -> Figure:
    """Images and, below each, a map from `kit.analysis.gradcam` (yellow: speaks most for the predicted class).

    Args:
        images: uint8 (N, 3, H, W), the images that `answers` are about.
        maps: float (len(indices), H, W), 0 to 1.
        answers: labels, predictions and probabilities of all images.
        indices: the images shown.
    """
    if not len(indices):
        return sentence("Where the network looked: there is no image to show")
    columns = min(COLUMNS, len(indices))
    blocks = -(-len(indices) // columns)
    heading = "Where the network looked (yellow) for the class it predicted (true label → prediction)"
    figure, grid = sheet(2 * blocks, columns, [2, 0] * blocks, heading)
    above, below = grid[::2].flat, grid[1::2].flat
    for upper, lower, index, heat in zip(above, below, indices, maps, strict=False):
        show_image(upper, images[index], caption(answers, index))
        show_image(lower, images[index])
        lower.imshow(heat.numpy(), cmap="viridis", alpha=0.55, vmin=0, vmax=1)
    return figure


@styled
def suspicious(images: Tensor, table: pd.DataFrame, columns: int = COLUMNS) -> Figure:
    """Images from `kit.analysis.suspicious_labels`, with their label and the network's suggestion."""
    if table.empty:
        return sentence("Labels that look wrong to the network: there are none")
    figure, places = _places(len(table), columns, "Labels that look wrong to the network: judge for yourself")
    for axes, row in zip(places, table.itertuples(), strict=False):
        show_image(axes, images[row.index], title_of(f"label {row.label}", f"rather {row.suggestion}?"))
    return figure


@styled
def weakness_bars(plain: Answers, table: pd.DataFrame) -> Figure:
    """Accuracy under each change of `kit.analysis.weaknesses`, against the unchanged images (dashed)."""
    if table.empty:
        return sentence("no change of the images was tried")
    names = [f"{row.change} {row.strength}".strip() for row in table.itertuples()]
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(table) + 1.2))
    places = np.arange(len(table))[::-1]
    colors = [GREY if name in LARGE_CHANGES else BLUE for name in table.change]
    axes.barh(places, table.accuracy, color=colors)
    intervals(axes, places, table.accuracy_low, table.accuracy_high, DARK_GREY, horizontal=True)
    for place, row in zip(places, table.itertuples(), strict=True):
        text, inside = f"{0.0 - round(row.cost, 1):+.1f} points", row.accuracy > 0.25
        x, color = (0.01, "white") if inside else (row.accuracy_high + 0.02, "black")
        axes.text(x, place, text, va="center", color=color, fontsize=8)
    axes.axvline(plain.accuracy, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(places, names)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlim=(0, 1), xlabel=f"accuracy (dashed: unchanged images, {plain.accuracy:.1%})")
    axes.set_title("Accuracy under changes; in the bars, points against the unchanged images")
    return figure


@styled
def comparison(result: Comparison, names: Sequence[str] = ("first", "second")) -> Figure:
    """How many images both, one or none of two runs gets right, and McNemar's p-value."""
    first, second = short_names(names)
    counts = {
        "both right": result.both_right,
        f"only {first} right": len(result.only_first),
        f"only {second} right ": len(result.only_second),  # the blank keeps apart two runs of one name
        "both wrong": result.both_wrong,
    }
    figure, axes = plt.subplots(figsize=(7, 2.2))
    places, colors = range(len(counts))[::-1], [GREY, BLUE, VERMILION, GREY]
    bars = axes.barh(places, list(counts.values()), color=colors)
    axes.set_yticks(places, list(counts))
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set(xlabel="images", title=f"McNemar's exact test of equal accuracy: p = {result.p_value:.3g}")
    axes.set_xlim(0, 1.12 * max(*counts.values(), 1))
    return figure
