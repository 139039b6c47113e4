"""Figures of an ablation: the curves of a table's rows, and how far training and validation lie apart."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.ablation import FINAL, Repetition, gap_by_seed
from kit.plots.style import COLORS, count_epochs, styled
from kit.plots.training import placeholder
from kit.run import Run

BLUE, ORANGE, BLACK = COLORS[0], COLORS[4], COLORS[6]


@styled
def table_curves(found: Sequence[Repetition]) -> Figure:
    """Validation accuracy against epochs, a panel a table and scale, a colour a row: thin a seed, thick their mean.

    Of runs of one epoch, which have no curve, a line of points a row. The paper's final configuration is black.
    """
    if not found:
        return placeholder("no table of the paper has two rows to compare yet")
    return _panels(found, _curves)


def _panels(found: Sequence[Repetition], draw: Callable[[Axes, Repetition], None]) -> Figure:
    figure, grid = plt.subplots(len(found), 1, figsize=(9.5, 3.4 * len(found)), squeeze=False)
    for axes, repetition in zip(grid[:, 0], found, strict=True):
        draw(axes, repetition)
    return figure


def _curves(axes: Axes, repetition: Repetition) -> None:
    """Rows in the order of their last accuracy, so that the legend reads as the lines end: from the top."""
    labels = {each.row: each.label for each in repetition.table.experiments}
    others = [row for row in labels if row != FINAL]
    colors = {FINAL: BLACK} | dict(zip(others, COLORS, strict=False))
    curves = {row: _by_epoch(recorded) for row, runs in repetition.runs.items() if (recorded := _with_history(runs))}
    ordered = sorted(curves, key=lambda row: -curves[row].mean(axis=1).iloc[-1])
    scale = str(repetition.scale).replace("; ", "\n")
    axes.set_title(f"{repetition.table.title}\n{scale}", loc="left")
    if all(len(curve) == 1 for curve in curves.values()):
        names = [f"{labels[row]}, n = {curves[row].shape[1]}" for row in ordered]
        return _points(axes, [curves[row].iloc[0] for row in ordered], names, [colors[row] for row in ordered])
    for row in ordered:
        curve, color = curves[row], colors[row]
        marker = "o" if len(curve) < 3 else None  # a line of one point is invisible
        if curve.shape[1] > 1:
            axes.plot(curve, color=color, linewidth=0.8, alpha=0.45, marker=marker, markersize=2)
        name = f"{labels[row]}, n = {curve.shape[1]}"
        axes.plot(curve.mean(axis=1), color=color, label=name, marker=marker, markersize=4)
    axes.set_ylabel("validation accuracy (%)")
    count_epochs(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="highest last epoch first", title_fontsize=8)


def _points(axes: Axes, rows: Sequence[pd.Series], names: Sequence[str], colors: Sequence[str]) -> None:
    for place, (row, color) in enumerate(zip(rows, colors, strict=True)):
        axes.plot(row, [place] * len(row), "o", color=color, markersize=4, alpha=0.6)
        axes.plot(row.mean(), place, "|", color=color, markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("validation accuracy after the one epoch (%): a point a seed, a stroke their mean")


def _with_history(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if not run.history.empty]


def _by_epoch(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.concat([run.history.set_index("epoch")["validation_accuracy"] for run in runs], axis=1)


@styled
def accuracy_gaps(found: Sequence[Repetition]) -> Figure:
    """Training minus validation accuracy against the epochs of the run, a panel a scale: seeds, mean and deviation.

    Args:
        found: repetitions of the table of epochs; others are passed over.
    """
    own = [repetition for repetition in found if repetition.name == "epochs"]
    if not own:
        return placeholder("no two lengths have run yet")
    return _panels(own, _gaps)


def _gaps(axes: Axes, repetition: Repetition) -> None:
    gaps = {runs[0].metrics["epochs"]: list(gap_by_seed(runs).values()) for runs in repetition.runs.values()}
    means = [fmean(apart) for apart in gaps.values()]
    spreads = [stdev(apart) if len(apart) > 1 else 0 for apart in gaps.values()]
    points = [(epochs, gap) for epochs, apart in gaps.items() for gap in apart]
    axes.plot(*zip(*points, strict=True), "o", color=ORANGE, markersize=4, zorder=3, label="a run")
    label = "mean and standard deviation over the seeds"
    axes.errorbar(list(gaps), means, yerr=spreads, fmt="-", color=BLUE, capsize=4, label=label)
    axes.axhline(0, color="0.8", linewidth=1, zorder=0)
    axes.set_xticks(list(gaps))
    axes.set(xlabel="epochs of the run", ylabel="training - validation\naccuracy (points)")
    axes.set_title(str(repetition.scale).replace("; ", "\n"), loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
