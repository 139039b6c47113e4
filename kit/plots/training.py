"""Figures of a training: its curves, the architecture, and several runs side by side."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from kit.model import LayerSummary
from kit.plots.style import COLORS, count_epochs, drawable, sentence, shortened, styled, wrapped


def _curve(history: pd.DataFrame, columns: Mapping[str, str], ylabel: str, title: str) -> Figure:
    if history.empty:
        return sentence("no epoch has ended yet")
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for column, label in columns.items():
        axes.plot(history["epoch"], history[column], label=label, marker=marker_of(history))
    axes.set(ylabel=ylabel, title=title)
    count_epochs(axes)
    if len(columns) > 1:
        axes.legend()
    return figure


def marker_of(history: pd.DataFrame) -> str | None:
    """A dot for curves of one or two epochs, since a line through one point cannot be seen."""
    return "o" if len(history) < 3 else None


@styled
def training_loss(history: pd.DataFrame, smoothed: bool = False) -> Figure:
    """Training loss against epochs (the paper's Figure 2); `smoothed` if its labels were smoothed."""
    labels = " and smoothed labels" if smoothed else ""
    title = f"Training loss, on augmented images{labels}"
    return _curve(history, {"train_loss": "training"}, "cross-entropy (nats)", title)


@styled
def validation_loss(history: pd.DataFrame) -> Figure:
    """Loss on the validation images against epochs (the paper's Figure 3, its testing loss)."""
    return _curve(history, {"validation_loss": "test"}, "cross-entropy (nats)", "Test loss, on the validation images")


@styled
def accuracy(history: pd.DataFrame) -> Figure:
    """Both accuracies against epochs (the paper's Figure 4)."""
    columns = {"train_accuracy": "training, augmented", "validation_accuracy": "validation"}
    return _curve(history, columns, "accuracy (%)", "Accuracy")


@styled
def learning_rate(history: pd.DataFrame) -> Figure:
    """Learning rate at the end of each epoch."""
    return _curve(history, {"lr": "learning rate"}, "learning rate", "Learning rate at each epoch's end")


@styled
def gradient_norm(history: pd.DataFrame) -> Figure:
    """Mean L2 norm of the gradients of each epoch's steps."""
    return _curve(history, {"grad_norm": "gradient"}, "L2 norm", "Gradient norm, mean of each epoch")


@styled
def architecture(layers: Sequence[LayerSummary], title: str = "") -> Figure:
    """A network as a stack of bars: output shape of each part, with bars as long as its parameters."""
    if not layers:
        return sentence("the network has no layers to draw")
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(layers) + 1.2))
    counts = [layer.parameters for layer in layers]
    names = [drawable(f"{layer.name} ({layer.kind})") for layer in layers]
    axes.barh(range(len(layers)), counts)
    longest = max(*counts, 1)
    for y, layer in enumerate(layers):
        shape = "x".join(map(str, layer.shape))
        axes.text(layer.parameters + 0.01 * longest, y, f"{shape}   {layer.parameters:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(layers)), names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlim=(0, 1.28 * longest), xlabel="trainable parameters (output shape beside each bar)")
    figure.suptitle(wrapped(title, 7.8))
    return figure


@styled
def compare_runs(histories: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Validation accuracy against epochs of several runs, one panel per kind of images.

    Args:
        histories: by the kind of images, such as CIFAR-10, the history of each run by the run's name.
    """
    panels = {kind: runs for kind, runs in histories.items() if runs}
    if not panels:
        return sentence("no other run has finished yet")
    heights = [max(3.8, 0.19 * len(runs) + 0.8) for runs in panels.values()]
    size = (9.5, sum(heights))
    figure, grid = plt.subplots(len(panels), 1, figsize=size, height_ratios=heights, squeeze=False)
    for axes, (kind, runs) in zip(grid[:, 0], panels.items(), strict=True):
        _beside_each_other(axes, runs)
        axes.set_title(wrapped(drawable(kind), 6), loc="left")
    return figure


def _beside_each_other(axes: Axes, runs: Mapping[str, pd.DataFrame]) -> None:
    axes.set_prop_cycle(cycler(linestyle=("-", "--", ":")) * cycler(color=COLORS))
    for name, history in runs.items():
        label = shortened(name, 2.4)
        axes.plot(history["epoch"], history["validation_accuracy"], label=label, marker=marker_of(history))
    axes.set_ylabel("validation accuracy (%)")
    count_epochs(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
