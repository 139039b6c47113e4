"""Figures of where a network is wrong: confusions, classes, galleries, heat maps, weaknesses, two runs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from kit.analysis import LARGE_CHANGES, Answers, Comparison, confused_pairs, confusion, images_of_pair, per_class
from kit.plots.samples import show_image
from kit.plots.style import COLORS, styled

BLUE, ORANGE = COLORS[:2]
GREY = "0.55"


@styled
def confusion_matrix(answers: Answers) -> Figure:
    """Counts (left) and shares of the true class (right), a row a true class; the shade shows the mistakes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
    counts, rates = confusion(answers), 100 * confusion(answers, rates=True)
    _matrix(left, counts, "{:.0f}", "images")
    _matrix(right, rates, "{:.1f}", "% of the true class")
    figure.suptitle(f"{answers.accuracy:.2%} of {len(answers):,} images right; darker means more mistakes")
    return figure


def _matrix(axes: Axes, table: pd.DataFrame, form: str, title: str) -> None:
    values = table.to_numpy(dtype=float)
    mistakes = np.where(np.eye(len(values), dtype=bool), np.nan, values)  # the diagonal would drown them
    top = np.nanmax(mistakes) if np.nansum(mistakes) else 1.0
    axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=top)
    for (row, column), value in np.ndenumerate(values):
        if value > 0:
            color = "white" if row != column and value > 0.6 * top else "black"
            weight = "bold" if row == column else "normal"
            axes.text(
                column,
                row,
                form.format(value),
                ha="center",
                va="center",
                fontsize=7,
                color=color,
                weight=weight,
            )
    axes.set_xticks(range(len(table)), table.columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table)), table.index)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)


@styled
def class_measures(answers: Answers) -> Figure:
    """Recall, precision and accuracy of every class with 95 % intervals, worst recall on top."""
    table = per_class(answers).sort_values("recall", ascending=False)
    panels = {
        "recall": "of its images, recognised",
        "precision": "of its predictions, right",
        "accuracy": "of all images, told apart",
    }
    figure, grid = plt.subplots(1, 3, figsize=(11, 0.32 * len(table) + 1.2), sharey=True)
    for axes, (measure, meaning) in zip(grid, panels.items(), strict=True):
        _intervals(axes, table.index, table[[measure, f"{measure}_low", f"{measure}_high"]].to_numpy(), BLUE)
        axes.set(title=f"{measure}: share {meaning}", xlabel=measure)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def _intervals(axes: Axes, names: Sequence[str], values: np.ndarray, color: str) -> None:
    """Points with intervals, a row a name; values (rows, 3) are the share, its low and its high end."""
    share, low, high = values.T
    whiskers = np.clip([share - low, high - share], 0, None)
    axes.errorbar(share, range(len(names)), xerr=whiskers, fmt="o", color=color, markersize=4, capsize=2)
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def caption(answers: Answers, index: int) -> str:
    """Two lines above an image: its label, and an arrow to what was predicted, with the probability."""
    label, predicted = answers.labels[index], answers.predicted[index]
    return f"{answers.classes[label]}\n→ {answers.classes[predicted]} {answers.confidence[index]:.0%}"


@styled
def gallery(images: Tensor, answers: Answers, indices: Sequence[int], heading: str, columns: int = 9) -> Figure:
    """Chosen images, each with its true label and below it the prediction and its probability.

    Args:
        images: uint8 (N, 3, H, W), the images that `answers` are about.
        indices: which of them, in the order shown; none gives a sentence instead of images.
    """
    if not len(indices):
        return _nothing(heading)
    figure, grid = _grid(len(indices), columns)
    for axes, index in zip(grid, indices, strict=False):
        show_image(axes, images[index], caption(answers, index))
    figure.suptitle(f"{heading} (true label → prediction with its probability)")
    return figure


def _grid(count: int, columns: int, height: float = 1.55) -> tuple[Figure, np.ndarray]:
    columns = min(columns, max(count, 4))
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(1.25 * columns, height * rows + 0.4), squeeze=False)
    for axes in grid.flat[count:]:
        axes.axis("off")
    return figure, grid.flat


def _nothing(heading: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 0.8))
    axes.axis("off")
    axes.text(0.5, 0.5, f"{heading}: there are none", ha="center", va="center")
    return figure


@styled
def confused_examples(images: Tensor, answers: Answers, pairs: int = 6, examples: int = 8) -> Figure:
    """The most confused pairs, a row a pair, with the images the network was surest about."""
    table = confused_pairs(answers, pairs)
    if table.empty:
        return _nothing("Confused pairs")
    figure, grid = plt.subplots(
        len(table), examples, figsize=(1.05 * examples + 2.2, 1.2 * len(table) + 0.4), squeeze=False
    )
    for line, pair in zip(grid, table.itertuples(), strict=True):
        chosen = images_of_pair(answers, pair.true, pair.predicted)[:examples]
        for axes in line[len(chosen) :]:
            axes.axis("off")
        for axes, index in zip(line, chosen, strict=False):
            show_image(axes, images[index], f"{answers.confidence[index]:.0%}")
        text = f"{pair.true}\ntaken for {pair.predicted}\n{pair.images} images ({pair.share:.1%})"
        line[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8)
    figure.suptitle("Most confused pairs; above each image the probability of the wrong class")
    return figure


@styled
def heat_maps(images: Tensor, maps: Tensor, answers: Answers, indices: Sequence[int]) -> Figure:
    """Images and, below each, what spoke for its predicted class (yellow: most), from `kit.analysis.gradcam.gradcam`.

    Args:
        images: uint8 (N, 3, H, W), the images that `answers` are about.
        maps: (len(indices), H, W), 0 to 1.
        indices: the images shown.
    """
    if not len(indices):
        return _nothing("Heat maps")
    count = len(indices)
    figure, grid = plt.subplots(2, count, figsize=(1.25 * count, 3.2), squeeze=False)
    for above, below, index, heat in zip(*grid, indices, maps, strict=True):
        show_image(above, images[index], caption(answers, index))
        show_image(below, images[index])
        below.imshow(heat.numpy(), cmap="viridis", alpha=0.55, vmin=0, vmax=1)
    figure.suptitle("Where the network looked (yellow) for the class it predicted (true label → prediction)")
    return figure


@styled
def suspicious(images: Tensor, table: pd.DataFrame, columns: int = 9) -> Figure:
    """Images from `kit.analysis.mistakes.suspicious_labels`: the label, and what the network would say."""
    if table.empty:
        return _nothing("Labels that look wrong")
    figure, grid = _grid(len(table), columns)
    for axes, row in zip(grid, table.itertuples(), strict=False):
        show_image(axes, images[row.index], f"label {row.label}\nrather {row.suggestion}?")
    figure.suptitle("Labels that look wrong to the network: judge for yourself")
    return figure


@styled
def weakness_bars(plain: Answers, table: pd.DataFrame) -> Figure:
    """Accuracy under each change of `kit.analysis.shifts.weaknesses`, against the unchanged images (dashed)."""
    names = [f"{row.change} {row.strength}".strip() for row in table.itertuples()]
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(table) + 1))
    places = np.arange(len(table))[::-1]
    spread = np.clip([table.accuracy - table.accuracy_low, table.accuracy_high - table.accuracy], 0, None)
    colors = [GREY if name in LARGE_CHANGES else BLUE for name in table.change]
    axes.barh(places, table.accuracy, color=colors, xerr=spread, error_kw={"ecolor": GREY, "capsize": 2})
    for place, row in zip(places, table.itertuples(), strict=True):
        axes.text(0.01, place, f"{0.0 - round(row.cost, 1):+.1f} points", va="center", color="white", fontsize=8)
    axes.axvline(plain.accuracy, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(places, names)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlim=(0, 1), xlabel=f"accuracy (dashed: unchanged images, {plain.accuracy:.1%})")
    axes.set_title("Accuracy under changes; in the bars, points against the unchanged images")
    return figure


@styled
def comparison(result: Comparison, names: Sequence[str] = ("first", "second")) -> Figure:
    """How many images both, one or none of two runs gets right, and McNemar's p-value."""
    counts = {
        "both right": result.both_right,
        f"only {names[0]} right": len(result.only_first),
        f"only {names[1]} right": len(result.only_second),
        "both wrong": result.both_wrong,
    }
    figure, axes = plt.subplots(figsize=(7, 2.2))
    bars = axes.barh(list(counts)[::-1], list(counts.values())[::-1], color=[GREY, ORANGE, BLUE, GREY])
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.set(xlabel="images", title=f"McNemar's exact test of equal accuracy: p = {result.p_value:.3g}")
    axes.margins(x=0.12)
    return figure
