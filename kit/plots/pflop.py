"""Accuracy against arithmetic, for runs and for published figures."""

from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.plots.style import BLACK, BLUE, SKY, VERMILION, counted, sentence, styled
from kit.run import Run


class Mark(NamedTuple):
    """A figure to compare with: a published one, or this kit's own with views."""

    label: str
    pflop: float
    accuracy: float  # %
    over_budget: bool = False  # whether it has more than 5 million parameters
    offset: tuple[int, int] = (5, 4)  # of its number from the cross, in points


# The first three: github.com/KellerJordan/cifar10-airbench, with six views, means of 200 runs; then this kit, as its
# README has it; github.com/davdcharizard/autoresearch-cifar10, mean of five best epochs; the paper and the best team,
# best epochs.
MARKS = (
    Mark("airbench94 with Muon, six views", 0.29, 94.01),
    Mark("airbench95, six views", 1.4, 95.01),
    Mark("airbench96_faster, six views, 9.9 M", 3.1, 96.00, over_budget=True),
    Mark("this kit's quick, adaptive views, n = 3", 0.272, 94.14, offset=(-10, 4)),
    Mark("this kit's hour, adaptive views, n = 1", 1.04, 95.00, offset=(-10, 4)),
    Mark("this kit's evening, adaptive views, n = 1", 2.0, 95.39, offset=(-10, 4)),
    Mark("autoresearch-cifar10", 27, 96.53),
    Mark("the paper", 52.5, 96.95),
    Mark("best team (arithmetic estimated)", 300, 97.77),
)
LOWEST = 86.0  # %, below which a run says nothing about the frontier


@styled
def frontier(runs: Iterable[Run]) -> Figure:
    """Validation accuracy of each run's last epoch, without views, against its arithmetic; published figures beside.

    Runs below 86 % are left out and counted in the title. The arithmetic is 3 x forward x images shown, in PFLOP.
    """
    known = [(run.metrics["pflop"], run.metrics["last_accuracy"]) for run in runs if "pflop" in run.metrics]
    shown = [(pflop, accuracy) for pflop, accuracy in known if accuracy >= LOWEST and pflop > 0]
    if not shown:
        return sentence(f"no run of at least {LOWEST:.0f} % whose arithmetic was counted yet")
    figure, axes = plt.subplots(figsize=(9.5, 5))
    axes.plot(*zip(*shown, strict=True), "o", color=SKY, markersize=4, label="a run, last epoch, no views")
    axes.plot(*zip(*_best(shown), strict=True), drawstyle="steps-post", color=BLUE, label="best of these runs so far")
    for number, mark in enumerate(MARKS, start=1):
        _draw(axes, number, mark)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="arithmetic (PFLOP: 3 x forward x images shown)", ylabel="accuracy (%)")
    left_out = len(known) - len(shown)
    axes.set_title(f"{counted(left_out, 'run')} below {LOWEST:.0f} %: not shown" if left_out else "", loc="left")
    title = "numbers: published, and ours with views"
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title, title_fontsize=8)
    return figure


def _draw(axes: Axes, number: int, mark: Mark) -> None:
    color = VERMILION if mark.over_budget else BLACK
    axes.plot(mark.pflop, mark.accuracy, "x", color=color, label=f"{number}  {mark.label}")
    axes.annotate(
        str(number), (mark.pflop, mark.accuracy), mark.offset, textcoords="offset points", fontsize=8, color=color
    )


def _best(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that are more accurate than all points with less arithmetic, sorted by arithmetic."""
    best: list[tuple[float, float]] = []
    for pflop, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((pflop, accuracy))
    return best
