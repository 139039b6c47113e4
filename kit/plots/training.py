"""Figures of a training: its curves, the architecture, and several runs side by side."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from kit.model import LayerSummary
from kit.plots.style import COLORS, count_epochs, styled


def _curve(history: pd.DataFrame, columns: Mapping[str, str], ylabel: str, title: str) -> Figure:
    if history.empty:
        return placeholder("no epoch has ended yet")
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    marker = "o" if len(history) < 3 else None  # a line of one point is invisible
    for column, label in columns.items():
        axes.plot(history["epoch"], history[column], label=label, marker=marker)
    axes.set(ylabel=ylabel, title=title)
    count_epochs(axes)
    if len(columns) > 1:
        axes.legend()
    return figure


@styled
def training_loss(history: pd.DataFrame, smoothed: bool = False) -> Figure:
    """Training loss against epochs (the paper's Figure 2); `smoothed` says that it is of smoothed labels."""
    title = (
        "Training loss, on augmented images and smoothed labels" if smoothed else "Training loss, on augmented images"
    )
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
    """Mean gradient norm of each epoch."""
    return _curve(history, {"grad_norm": "gradient"}, "L2 norm", "Gradient norm, mean of each epoch")


@styled
def architecture(layers: Sequence[LayerSummary], title: str = "") -> Figure:
    """A network as a stack of bars: output shape of each part, with bars as long as its parameters."""
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(layers) + 1.2))
    counts = [layer.parameters for layer in layers]
    names = [f"{layer.name} ({layer.kind})" for layer in layers]
    axes.barh(range(len(layers)), counts)
    longest = max(counts)
    for y, layer in enumerate(layers):
        shape = "x".join(map(str, layer.shape))
        axes.text(layer.parameters + 0.01 * longest, y, f"{shape}   {layer.parameters:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(layers)), names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlim=(0, 1.28 * longest), xlabel="trainable parameters (output shape beside each bar)", title=title)
    return figure


@styled
def compare_runs(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation accuracy against epochs of several runs in one figure."""
    if not histories:
        return placeholder("no other run has finished yet")
    figure, axes = plt.subplots(figsize=(9.5, max(3.8, 0.19 * len(histories))))
    axes.set_prop_cycle(cycler(linestyle=("-", "--", ":")) * cycler(color=COLORS))
    for name, history in histories.items():
        marker = "o" if len(history) < 3 else None
        axes.plot(history["epoch"], history["validation_accuracy"], label=name, marker=marker)
    axes.set_ylabel("validation accuracy (%)")
    count_epochs(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def placeholder(words: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure, axes = plt.subplots(figsize=(6.4, 0.8))
    axes.text(0.5, 0.5, words, ha="center", va="center", color="0.4")
    axes.set_axis_off()
    return figure
