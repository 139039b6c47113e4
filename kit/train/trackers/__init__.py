"""Trackers: TensorBoard, Weights & Biases, Trackio and MLflow, one module each, imported only when asked for.

Each module has a class `Adapter`, a `Tracker` that is made with the arguments of `Start`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

Config = Mapping[str, str | int | float | bool]


class Tracker(Protocol):
    """One run of a tracker. Every method may raise.

    Attributes:
        id: what the tracker knows its run by; it is kept in the run folder.
    """

    id: str

    def log(self, row: Mapping[str, float]) -> None:
        """Add an epoch's row of history.csv; `row["epoch"]` counts from 1."""

    def figure(self, name: str, figure: Figure) -> None:
        """Add a figure."""

    def finish(self, metrics: Mapping[str, float]) -> None:
        """End this session: with the final figures, or with none if the training is unfinished."""


class Start(Protocol):
    """How an `Adapter` is made."""

    def __call__(self, name: str, folder: Path, config: Config, id: str | None) -> Tracker:
        """Begin a run of the tracker, or go on with the one called `id`.

        Args:
            name: the run's name.
            folder: the run folder, for trackers that write files.
            config: the recipe and the machine.
            id: of the tracker's run that goes on; None begins one.
        """
