"""Figures of a network's confidence and of its expected leaderboard score."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kit.analysis import (
    LINE,
    Answers,
    Calibration,
    Forecast,
    Line,
    accuracy_by_confidence,
    expected_calibration_error,
    reliability,
)
from kit.plots.style import BLACK, BLUE, DARK_GREY, GREY, PALE, SKY, VERMILION, counted, intervals, styled, wrapped


@styled
def confidence_parts(answers: Answers, parts: int = 10) -> Figure:
    """Accuracy and share of mistakes in equal parts of the images, from the least to the most confident."""
    table = accuracy_by_confidence(answers, parts)
    mistakes = int((~answers.right).sum())
    names = [f"{row.from_confidence:.0%} to\n{row.to_confidence:.0%}" for row in table.itertuples()]
    figure, axes = plt.subplots(figsize=(9, 3.8))
    axes.bar(range(len(table)), table.accuracy, color=BLUE)
    intervals(axes, range(len(table)), table.accuracy_low, table.accuracy_high, BLACK)
    for place, row in enumerate(table.itertuples() if mistakes else ()):
        inside = row.accuracy > 0.25  # otherwise the text stands above the interval
        y, color = (0.02, "white") if inside else (row.accuracy_high + 0.02, "black")
        text = f"{row.share_of_mistakes:.0%} of\nmistakes"
        axes.text(place, y, text, ha="center", va="bottom", color=color, fontsize=7.5)
    axes.set_xticks(range(len(table)), names)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(ylim=(0, 1.02), ylabel="accuracy", title=wrapped(_where_the_mistakes_are(table, mistakes), 8.6))
    axes.set_xlabel(f"confidence, from the least to the most confident of {counted(len(table), 'equal part')}")
    return figure


def _where_the_mistakes_are(table: pd.DataFrame, mistakes: int) -> str:
    images, first = int(table.images.sum()), table.iloc[0]
    if not mistakes:
        return f"All {counted(images, 'image')} are right" if images > 1 else "The one image is right"
    least_sure = f"the {counted(int(first.images), 'image')} of {images:,} with the lowest confidence"
    return f"{first.share_of_mistakes:.0%} of {counted(mistakes, 'mistake')} lie in {least_sure}"


@styled
def reliability_diagram(calibration: Calibration, bins: int = 15) -> Figure:
    """Accuracy against confidence before and after temperature scaling, on images that it was not fitted on."""
    figure, grid = plt.subplots(1, 2, figsize=(9, 4.5), sharey=True)
    titles = ("before", f"after, temperature {calibration.temperature:.2f}")
    for axes, title, answers in zip(grid, titles, (calibration.before, calibration.after), strict=True):
        _reliability(axes, answers, bins)
        axes.set_title(f"{title}: ECE {expected_calibration_error(answers, bins):.2%}")
    grid[0].set_ylabel("accuracy in the bin")
    figure.suptitle(f"Confidence and accuracy of {counted(len(calibration.before), 'image')}")
    return figure


def _reliability(axes: Axes, answers: Answers, bins: int) -> None:
    table = reliability(answers, bins)
    table = table[table.images > 0]
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.text(0.01, 0.04, "accuracy = confidence", color=DARK_GREY, rotation=45, rotation_mode="anchor", fontsize=7)
    share = table.images / table.images.max()
    axes.bar(table.low, 0.25 * share, width=table.high - table.low, align="edge", color=SKY, alpha=0.5)
    intervals(axes, table.confidence, table.accuracy_low, table.accuracy_high, BLUE)
    axes.plot(table.confidence, table.accuracy, "o-", color=BLUE, markersize=4)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        aspect="equal",
        xlabel="mean confidence (pale bars: where the images are)",
    )


@styled
def published_line(rows: pd.DataFrame, line: Line, validation: float | None = None) -> Figure:
    """All published results, the line with its 95 % prediction interval, and where a network falls on it.

    Args:
        rows: from `kit.analysis.leaderboard`.
        line: from `kit.analysis.fit_line`.
        validation: the network's validation accuracy in %, 0 to 100; None marks no network.
    """
    figure, axes = plt.subplots(figsize=(8, 5))
    shown = list(rows.validation) if validation is None else [*rows.validation, validation]
    x = np.linspace(min(shown) - 0.3, max(shown) + 0.3, 100)
    axes.fill_between(x, *line.interval(x), color=SKY, alpha=0.25, linewidth=0)
    axes.plot(x, np.clip(line.predict(x), 0, 100), color=BLUE)
    for fitted, marker, face in ((True, "o", BLUE), (False, "s", "white")):
        part = rows[rows.fit == fitted]
        axes.plot(part.validation, part.kaggle, marker, color=BLUE, markerfacecolor=face, markersize=5)
    text = "filled: fitted rows; open squares: shown only\nline and 95 % interval for one more team\n"
    sign = "-" if line.intercept < 0 else "+"
    text += f"Kaggle = {line.slope:.3f} x validation {sign} {abs(line.intercept):.1f}, spread {line.spread:.2f}"
    axes.text(0.02, 0.98, text, transform=axes.transAxes, va="top", fontsize=8)
    if validation is not None:
        _mark(axes, line, validation)
    axes.set(xlabel="accuracy on CIFAR-10's test images (%)", ylabel="Kaggle score (%)")
    return figure


def _mark(axes: Axes, line: Line, validation: float) -> None:
    """One network on the line; a score is from 0 to 100 % also if the line is not."""
    expected, (low, high) = float(np.clip(line.predict(validation), 0, 100)), line.interval(validation)
    intervals(axes, validation, low, high, VERMILION)
    axes.plot(validation, expected, "D", color=VERMILION)
    text = f"this run: {validation:.2f} % here, {expected:.1f} % expected ({low:.1f} to {high:.1f})"
    axes.set_title(text, color=VERMILION)


@styled
def forecast_intervals(forecast: Forecast) -> Figure:
    """The expected score by every method, one above the other, with intervals."""
    table = forecast.table[::-1]
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(table) + 1.1))
    for place, row in enumerate(table.itertuples()):
        color = VERMILION if row.Index == LINE else BLUE
        intervals(axes, place, row.low, row.high, color, horizontal=True)
        axes.plot(row.expected, place, "o", color=color)
        axes.annotate(f"{row.expected:.1f}", (row.expected, place), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(table)), table.index)
    axes.margins(x=0.08, y=0.15)
    axes.set_xlabel("expected leaderboard score (%)")
    axes.set_title("Published line (orange-red) beside estimates from the test images themselves")
    axes.grid(axis="x", color=PALE)
    return figure
