"""The course of a training in one figure, which a notebook's cell redraws while the training works."""

import time
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from kit.ablation import kept_course
from kit.plots.style import BLUE, DARK_GREY, GREY, VERMILION, count_epochs, counted, sentence, styled
from kit.plots.training import marker_of
from kit.run import Run
from kit.system import progress

PANELS = {  # by what the axis says, its curves
    "cross-entropy (nats)": {"train_loss": "training, augmented", "validation_loss": "validation"},
    "accuracy (%)": {"train_accuracy": "training, augmented", "validation_accuracy": "validation"},
    "learning rate": {"lr": "at each epoch's end"},
}
STYLES = ("-", "--")
LEAST_SECONDS = 3.0  # between two drawings
FREE_SECONDS, SHARE = 10.0, 0.005  # CPU time of all drawings: at most so much, and this share of the time that passes


@styled
def course(history: pd.DataFrame, epochs: int = 0, kept: pd.DataFrame | None = None, runs: int = 0) -> Figure:
    """Losses, accuracies and learning rate against epochs, in three panels.

    Args:
        history: one row per epoch so far.
        epochs: of the whole training, which the axes reach to; 0 for those of `history`.
        kept: what to expect, drawn in grey behind; None draws nothing.
        runs: how many runs `kept` is the mean of.
    """
    if history.empty and (kept is None or kept.empty):
        return sentence("no epoch has ended yet: the curves begin after the first one")
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.1))
    for panel, (ylabel, columns) in zip(axes, PANELS.items(), strict=True):
        for (column, label), color, style in zip(columns.items(), (BLUE, VERMILION), STYLES, strict=False):
            if kept is not None:
                panel.plot(kept["epoch"], kept[column], color=GREY, linestyle=style, linewidth=1.2)
            if not history.empty:
                panel.plot(history["epoch"], history[column], color=color, label=label, marker=marker_of(history))
        panel.set(ylabel=ylabel, xlim=(0.5, max(epochs, len(history), 2) + 0.5))
        count_epochs(panel)
        if not history.empty:
            panel.legend()
    if kept is not None:
        words = f"grey: what to expect, the mean of {counted(runs, 'kept run')} of this recipe (validation dashed)"
        figure.suptitle(words, color=DARK_GREY, fontsize=9)
    return figure


class LiveCurves:
    """Shows `course` below a notebook's cell while a training works, a callback of kit.train; elsewhere nothing.

    One figure is drawn at the start and redrawn after epochs, at most every few seconds, and so seldom that all
    drawings take at most ten seconds and half a percent of the time. The last drawing shows the whole course, earlier
    sessions included.
    """

    name = "the figure of the curves"

    def __init__(self) -> None:
        self._shown: Any = None  # IPython's handle, by which the figure is replaced in its place
        self._kept: tuple[pd.DataFrame, int] | None = None
        self._rows = -1  # that are drawn
        self._began = self._drawn = 0.0  # when the training began, and when the figure was drawn
        self._drawing = 0.0  # seconds of CPU time that all drawings have taken

    def begin(self, run: Run) -> None:
        if progress.in_kernel():
            self._began = time.monotonic()
            self._kept = kept_course(run)
            self._draw(run)

    def epoch(self, run: Run) -> None:
        now = time.monotonic()
        affordable = self._drawing <= FREE_SECONDS + SHARE * (now - self._began)
        if self._shown and affordable and now - self._drawn >= LEAST_SECONDS:
            self._draw(run)

    def end(self, run: Run) -> None:
        if self._shown:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        began, history = time.thread_time(), run.history
        if len(history) == self._rows:
            return
        figure = course(history, run.config["recipe"]["epochs"], *(self._kept or ()))
        if self._shown:
            self._shown.update(figure)
        else:
            self._shown = display(figure, display_id=True)
        self._rows, self._drawn = len(history), time.monotonic()
        self._drawing += time.thread_time() - began
