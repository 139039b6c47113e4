"""Figures of an ablation: the curves of a table's rows, and the gap between training and validation."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.ablation import FINAL, Repetition, gap_by_seed
from kit.plots.style import BLACK, BLUE, COLORS, ORANGE, count_epochs, drawable, sentence, shortened, styled, wrapped
from kit.plots.training import marker_of
from kit.run import Run

TITLE = 6.5  # inches that the lines above a panel may take
LEGEND = 3.0


@styled
def table_curves(repetitions: Sequence[Repetition]) -> Figure:
    """Validation accuracy against epochs: one panel per table and scale, one colour per row of the table.

    A thick line is the mean of a row's seeds, thin lines are the seeds. Runs of one epoch have no curve: there, each
    is a point. The paper's final configuration is black.
    """
    if not repetitions:
        return sentence("no table of the paper has two rows to compare yet")
    return _panels(repetitions, _curves)


def _panels(repetitions: Sequence[Repetition], draw: Callable[[Axes, Repetition], None]) -> Figure:
    figure, grid = plt.subplots(len(repetitions), 1, figsize=(9.5, 3.6 * len(repetitions)), squeeze=False)
    for axes, repetition in zip(grid[:, 0], repetitions, strict=True):
        draw(axes, repetition)
    return figure


def _scale(repetition: Repetition) -> str:
    return wrapped(drawable_lines(str(repetition.scale).replace("; ", "\n")), TITLE)


def drawable_lines(text: str) -> str:
    """`drawable`, line by line."""
    return "\n".join(drawable(line) for line in text.split("\n"))


def _curves(axes: Axes, repetition: Repetition) -> None:
    """Rows sorted by their last accuracy, so that the legend has the order in which the lines end."""
    labels = {each.row: each.label for each in repetition.table.experiments}
    others = [row for row in labels if row != FINAL]
    colors = {FINAL: BLACK} | dict(zip(others, COLORS, strict=False))
    curves = {
        row: _by_epoch(recorded) for row, runs in repetition.runs.items() if (recorded := _with_history(runs))
    }  # each (epochs, seeds)
    axes.set_title(f"{repetition.table.title}\n{_scale(repetition)}", loc="left")
    if not curves:
        axes.text(0.5, 0.5, "none of these runs has a history", ha="center", transform=axes.transAxes)
        return axes.set_axis_off()
    ordered = sorted(curves, key=lambda row: -curves[row].mean(axis=1).iloc[-1])
    names = {row: shortened(f"{labels[row]}, n = {curves[row].shape[1]}", LEGEND) for row in ordered}
    if all(len(curve) == 1 for curve in curves.values()):
        points = [curves[row].iloc[0] for row in ordered]
        return _points(axes, points, list(names.values()), [colors[row] for row in ordered])
    for row in ordered:
        curve, color, marker = curves[row], colors[row], marker_of(curves[row])
        if curve.shape[1] > 1:
            axes.plot(curve, color=color, linewidth=0.8, alpha=0.45, marker=marker, markersize=2)
        axes.plot(curve.mean(axis=1), color=color, label=names[row], marker=marker, markersize=4)
    axes.set_ylabel("validation accuracy (%)")
    count_epochs(axes)
    seeds = "\nthin: one seed, thick: mean" if any(curve.shape[1] > 1 for curve in curves.values()) else ""
    title = f"highest last epoch first{seeds}"
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title, title_fontsize=8, alignment="left")


def _points(axes: Axes, rows: Sequence[pd.Series], names: Sequence[str], colors: Sequence[str]) -> None:
    for place, (row, color) in enumerate(zip(rows, colors, strict=True)):
        axes.plot(row, [place] * len(row), "o", color=color, markersize=4, alpha=0.6)
        axes.plot(row.mean(), place, "|", color=color, markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("validation accuracy after the one epoch (%); point: one seed, stroke: their mean")


def _with_history(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if not run.history.empty]


def _by_epoch(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.concat([run.history.set_index("epoch")["validation_accuracy"] for run in runs], axis=1)


@styled
def accuracy_gaps(repetitions: Sequence[Repetition]) -> Figure:
    """Training minus validation accuracy against the epochs of the run, one panel per scale.

    Args:
        repetitions: of the paper's tables; only those of the table of epochs are drawn.
    """
    of_epochs = [repetition for repetition in repetitions if repetition.name == "epochs"]
    if not of_epochs:
        return sentence("no two lengths have run yet")
    return _panels(of_epochs, _gaps)


def _gaps(axes: Axes, repetition: Repetition) -> None:
    gaps = {runs[0].metrics["epochs"]: list(gap_by_seed(runs).values()) for runs in repetition.runs.values()}
    means = [fmean(by_seed) for by_seed in gaps.values()]
    spreads = [stdev(by_seed) if len(by_seed) > 1 else 0 for by_seed in gaps.values()]
    points = [(epochs, gap) for epochs, by_seed in gaps.items() for gap in by_seed]
    axes.plot(*zip(*points, strict=True), "o", color=ORANGE, markersize=4, zorder=3, label="a run")
    label = "mean and standard deviation\nover the seeds" if any(spreads) else "mean (of one seed)"
    axes.errorbar(list(gaps), means, yerr=spreads, fmt="-", color=BLUE, capsize=4, label=label)
    axes.axhline(0, color="0.8", linewidth=1, zorder=0)
    axes.set_xticks(list(gaps))
    axes.set(xlabel="epochs of the run", ylabel="training - validation\naccuracy (points)")
    axes.set_title(_scale(repetition), loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
