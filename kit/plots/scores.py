"""Figures of how sure a network is, and of what the leaderboard will probably say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kit.analysis import (
    LINE,
    METHODS,
    Answers,
    Calibration,
    Forecast,
    Line,
    accuracy_by_confidence,
    expected_calibration_error,
    reliability,
)
from kit.plots.style import COLORS, styled

BLUE, ORANGE, GREEN, PURPLE = COLORS[:4]
GREY = "0.6"


@styled
def confidence_parts(answers: Answers, parts: int = 10) -> Figure:
    """Accuracy from the least to the most confident tenth of the images, and where the mistakes are."""
    table = accuracy_by_confidence(answers, parts)
    names = [f"{row.from_confidence:.0%} to\n{row.to_confidence:.0%}" for row in table.itertuples()]
    figure, axes = plt.subplots(figsize=(9, 3.6))
    spread = np.clip([table.accuracy - table.accuracy_low, table.accuracy_high - table.accuracy], 0, None)
    axes.bar(range(len(table)), table.accuracy, color=BLUE, yerr=spread, error_kw={"ecolor": "black", "capsize": 3})
    for place, row in enumerate(table.itertuples()):
        text = f"{row.share_of_mistakes:.0%} of\nmistakes"
        axes.text(place, 0.02, text, ha="center", va="bottom", color="white", fontsize=7.5)
    axes.set_xticks(range(len(table)), names)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(
        ylim=(0, 1.02),
        ylabel="accuracy",
        xlabel=f"confidence, from the least to the most confident of {len(table)} equal parts of the images",
    )
    return figure


@styled
def reliability_diagram(calibration: Calibration, bins: int = 15) -> Figure:
    """Accuracy against confidence before and after temperature scaling, on images it was not fitted on."""
    figure, grid = plt.subplots(1, 2, figsize=(9, 4.3), sharey=True)
    titles = ("before", f"after, temperature {calibration.temperature:.2f}")
    for axes, title, answers in zip(grid, titles, (calibration.before, calibration.after), strict=True):
        _reliability(axes, answers, bins)
        axes.set_title(f"{title}: ECE {expected_calibration_error(answers, bins):.2%}")
    grid[0].set_ylabel("accuracy in the bin")
    return figure


def _reliability(axes: Axes, answers: Answers, bins: int) -> None:
    table = reliability(answers, bins)
    table = table[table.images > 0]
    spread = np.clip([table.accuracy - table.accuracy_low, table.accuracy_high - table.accuracy], 0, None)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.text(0.01, 0.04, "as sure as right", color="0.4", rotation=45, rotation_mode="anchor", fontsize=7)
    share = table.images / table.images.max()
    axes.bar(table.low, 0.25 * share, width=table.high - table.low, align="edge", color=COLORS[5], alpha=0.5)
    axes.errorbar(table.confidence, table.accuracy, yerr=spread, fmt="o-", color=BLUE, markersize=4, capsize=2)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        aspect="equal",
        xlabel="mean confidence (pale bars: where the images are)",
    )


@styled
def published_line(rows: pd.DataFrame, line: Line, validation: float | None = None) -> Figure:
    """All published rows, the line with its 95 % prediction interval, and where `validation` (%) falls on it."""
    figure, axes = plt.subplots(figsize=(8, 5))
    shown = rows.validation if validation is None else [*rows.validation, validation]
    x = np.linspace(min(shown) - 0.3, max(shown) + 0.3, 100)
    axes.fill_between(x, *line.interval(x), color=COLORS[5], alpha=0.25, linewidth=0)
    axes.plot(x, line.predict(x), color=BLUE)
    for fitted, marker, face in ((True, "o", BLUE), (False, "s", "white")):
        part = rows[rows.fit == fitted]
        axes.plot(part.validation, part.kaggle, marker, color=BLUE, markerfacecolor=face, markersize=5)
    text = "filled: fitted rows; open squares: shown only\nline and 95 % interval for one more team\n"
    text += f"Kaggle = {line.slope:.3f} x validation - {-line.intercept:.1f}, spread {line.spread:.2f}"
    axes.text(0.02, 0.98, text, transform=axes.transAxes, va="top", fontsize=8)
    if validation is not None:
        _mark(axes, line, validation)
    axes.set(xlabel="accuracy on CIFAR-10's test images (%)", ylabel="Kaggle score (%)")
    return figure


def _mark(axes: Axes, line: Line, validation: float) -> None:
    expected, (low, high) = line.predict(validation), line.interval(validation)
    axes.errorbar(validation, expected, [[expected - low], [high - expected]], fmt="D", color=ORANGE, capsize=4)
    text = f"this run: {validation:.2f} % here, {expected:.1f} % expected ({low:.1f} to {high:.1f})"
    axes.text(0.98, 0.04, text, transform=axes.transAxes, ha="right", color=ORANGE)


@styled
def forecast_intervals(forecast: Forecast) -> Figure:
    """The expected score by every method, one above the other, with intervals."""
    table = forecast.table[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(table) + 1.1))
    colors = [ORANGE if name == LINE else BLUE for name in table.index]
    for place, (row, color) in enumerate(zip(table.itertuples(), colors, strict=True)):
        spread = [[row.expected - row.low], [row.high - row.expected]]
        axes.errorbar(row.expected, place, xerr=spread, fmt="o", color=color, capsize=3)
        axes.annotate(f"{row.expected:.1f}", (row.expected, place), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(table)), table.index)
    axes.margins(y=0.15)
    axes.set(
        xlabel="expected leaderboard score (%)",
        title="Published line (orange) beside the test images' own word",
    )
    axes.grid(axis="x", color="0.9")
    return figure


@styled
def estimates_under_shifts(table: pd.DataFrame) -> Figure:
    """Estimated against true accuracy under made shifts, a panel a method.

    Args:
        table: columns `true` and each of `kit.analysis.expected.METHODS`, in %, a row a shift and strength.
    """
    figure, grid = plt.subplots(2, len(METHODS) // 2, figsize=(9.5, 7), sharex=True, sharey=True)
    for axes, method in zip(grid.flat, METHODS, strict=True):
        error = (table[method] - table.true).abs().mean()
        axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1)
        axes.plot(table.true, table[method], "o", color=BLUE, markersize=3.5, alpha=0.8)
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        axes.set_title(f"{method}\nmean absolute error {error:.1f} points", fontsize=9)
    for row in grid:
        row[0].set_ylabel("estimated accuracy (%)")
    for axes in grid[-1]:
        axes.set_xlabel("true accuracy (%)")
    return figure
