"""Run: the folder that a training leaves behind."""

import csv
import io
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from kit.data import Dataset
from kit.errors import KitError
from kit.model import ResNet, build
from kit.recipe import Recipe
from kit.run import checkpoint, reading, summary, weights
from kit.run.contents import CHECKPOINT, TRAINED, WEIGHTS
from kit.system import files, paths
from kit.system.paths import workspace

LONGEST_NAME = 200  # bytes; file systems allow 255


class Run:
    """A run folder: configuration, history, figures, weights and checkpoint of one training.

    `Run("paper")` names `runs/paper` of the workspace whether or not it exists; a name with a slash, or an absolute
    path, is a folder as it stands.

    Raises:
        KitError: the name is too long, or holds characters that do not belong into a folder's name.
    """

    def __init__(self, name: str | Path):
        path = Path(name)
        if not path.is_absolute() and len(path.parts) <= 1:
            if not re.fullmatch(r"[\w.+-]+", str(name)) or str(name).startswith("."):
                raise KitError(f"run has to be a name of letters, digits and . _ + - like paper-2, not {str(name)!r}")
            if len(str(name).encode()) > LONGEST_NAME:
                raise KitError(f"run has to be a name of at most {LONGEST_NAME} bytes, not {str(name)[:60]!r}...")
            path = workspace() / "runs" / path
        self.folder = paths.given(path)

    @classmethod
    def load(cls, name: str | Path = "") -> "Run":
        """The existing run of that name, or the run that was started last if no name is given.

        Raises:
            KitError: there is no such run; the sentence lists those that exist.
        """
        runs = sorted(all_runs(), key=lambda run: run.config_path.stat().st_mtime)
        run = cls(name or "paper") if name or not runs else runs[-1]
        if not run.config_path.is_file():
            others = ", ".join(sorted(r.name for r in all_runs(run.folder.parent))) or "none yet"
            raise KitError(f"there is no run in {run.folder}: train one first, or choose one of runs/ ({others})")
        return run

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def config_path(self) -> Path:
        return self.folder / "config.json"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def config(self) -> dict[str, Any]:
        """What the run was: recipe, versions, device, commit, command, data, classes, parameters.

        Raises:
            KitError: the file is missing or damaged, or an entry that is asked for is missing.
        """
        return reading.read_record(self.config_path, reading.CONFIG)

    @property
    def recipe(self) -> Recipe:
        """The run's recipe; a setting that was added since has its default.

        Raises:
            KitError: the config is damaged, or has a setting or a value that recipes do not have.
        """
        return self._recipe_from(self.config["recipe"])

    def _recipe_from(self, settings: dict[str, Any]) -> Recipe:
        if unknown := sorted(settings.keys() - Recipe().as_dict().keys()):
            raise KitError(f"{self.config_path} has a setting that recipes do not have: {unknown[0][:80]}")
        try:
            return Recipe(**settings)
        except KitError as error:
            raise KitError(f"{self.config_path} holds no recipe of the kit: {error}") from None

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch; empty before the first epoch ended.

        Raises:
            KitError: the file is damaged.
        """
        return reading.read_history(self.history_path) if self.history_path.is_file() else pd.DataFrame()

    @property
    def metrics(self) -> dict[str, Any]:
        """The final figures; empty while the run is unfinished.

        Raises:
            KitError: the file is damaged, or an entry that is asked for is missing.
        """
        return reading.read_record(self.metrics_path, reading.METRICS) if self.finished else {}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is over and the final figures are written."""
        return self.metrics_path.is_file()

    def check(self) -> None:
        """Read config, history and metrics of a finished run. Settings that recipes no longer have are allowed.

        Raises:
            KitError: one of them is damaged or lacks an entry; the sentence names the file.
        """
        config, metrics = self.config, self.metrics
        known = Recipe().as_dict().keys()
        self._recipe_from({name: value for name, value in config["recipe"].items() if name in known})
        if "way" not in config:  # records of other training loops are shorter
            for name in reading.TOLD:
                config[name]
            for name in reading.MEASURED:
                metrics[name]
        self.history  # noqa: B018

    def check_images(self, dataset: Dataset) -> None:
        """Make sure that the run was trained on `dataset`: by its classes, its number of images, and their fingerprint.

        Runs of earlier versions have no fingerprint.

        Raises:
            KitError: it was not.
        """
        images = len(dataset.train_labels)
        theirs = self.config["classes"], self.config["images"]
        if theirs != (list(dataset.classes), images):
            raise KitError(
                f"{self.folder} was trained on {theirs[1]:,} images of {', '.join(theirs[0][:3])}, ..., not on these "
                f"{images:,} of {', '.join(dataset.classes[:3])}, ...: give data or run another value"
            )
        if self.config.get("fingerprint", dataset.fingerprint) != dataset.fingerprint:
            raise KitError(
                f"{self.folder} was trained on other images of the same classes ({self.config['data']}), not on "
                f"these ({dataset.source}): give data or run another value"
            )

    def check_unseen_validation(self, other: Recipe) -> None:
        """Make sure that this run did not train on what `other` validates with, so that both can be judged by it.

        Raises:
            KitError: it trained on some of these images.
        """
        ours = self.recipe
        if other.split == "holdout" and (ours.split, ours.seed) != ("holdout", other.seed):
            raise KitError(
                f"{self.folder} trained on images that split holdout of seed {other.seed} keeps for validation, so "
                "these cannot judge both runs: take runs of split paper, or of split holdout with the same seed"
            )

    def model(self, which: str = "last") -> ResNet:
        """The trained network in evaluation mode, on the CPU.

        Args:
            which: weights of the "last" epoch, or of the "best" epoch as chosen on the validation images.

        Raises:
            KitError: the weights are missing or do not fit the run's architecture.
        """
        network = build(self.recipe.architecture, classes=len(self.config["classes"]))
        path = self.weights_path(which)
        try:
            network.load_state_dict(weights.read(path))
        except Exception as error:  # safetensors, json and torch raise many kinds, by where the damage lies
            raise KitError(
                f"{path} is damaged, or does not fit the run's architecture ({str(error).partition(chr(10))[0][:80]}): "
                "type the training's command again, which rebuilds it from the checkpoint"
            ) from None
        return network.eval().to(memory_format=torch.channels_last)

    def weights_path(self, which: str = "last") -> Path:
        """The file of the "last" or "best" weights.

        Raises:
            KitError: the word is unknown or the file is missing.
        """
        if which not in WEIGHTS:
            raise KitError(f"weights has to be one of {', '.join(WEIGHTS)}, not {which!r}")
        path = self.folder / WEIGHTS[which]
        if not path.is_file():
            raise KitError(f"{path} is missing: the run has not finished an epoch yet; train it first")
        return path

    @property
    def trouble(self) -> str:
        """Why the result of a finished run is none, in words: it is no better than guessing. Empty if it is better."""
        return summary.trouble(self)

    def summary(self) -> str:
        """The run's accuracy and number of parameters in words, and a warning if it is no better than guessing."""
        return summary.summary(self)

    def save_weights(self, which: str, state: dict[str, Tensor], **notes: str) -> None:
        """Write "last" or "best" weights with notes of what they are (text to text)."""
        files.write_bytes(self.folder / WEIGHTS[which], weights.to_bytes(state, notes))

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write everything that a resume needs; the checkpoint before it is kept."""
        checkpoint.write(self.checkpoint_path, state)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """What the last checkpoint holds, or the one before it if the last one is damaged, or None without any.

        Raises:
            KitError: all of them are damaged.
        """
        return checkpoint.read(self.checkpoint_path)

    def drop_earlier_checkpoint(self) -> None:
        """Remove the checkpoint before the last, which a finished run does not need."""
        checkpoint.before(self.checkpoint_path).unlink(missing_ok=True)

    def save_history(self, rows: Iterable[dict[str, float]]) -> None:
        """Write the rows of all epochs so far; before the first epoch has ended there is no file."""
        rows, text = list(rows), io.StringIO()
        if not rows:
            self.history_path.unlink(missing_ok=True)
            return
        names = list(rows[-1])  # the first ones may be of a version that wrote fewer
        writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.history_path, text.getvalue())

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Save a figure as `<name>.png` at print resolution and return it.

        A figure that cannot be saved costs a warning and no more: what comes after it may be the CSV.
        """
        try:
            with files.replacing(self.folder / f"{name}.png") as part:
                figure.savefig(part, format="png", dpi=200)
            figure.set_layout_engine("none")  # as it was saved, so that showing it need not lay it out again
        except Exception as error:
            warnings.warn(f"{name}.png could not be drawn and saved ({error})", stacklevel=2)
        return figure

    def clear(self) -> None:
        """Remove the files of an earlier training, so that the run starts over."""
        for name in TRAINED:
            (self.folder / name).unlink(missing_ok=True)


def load_runs(names: str = "") -> list[Run]:
    """The existing runs of these names, which commas join; without a name, the run that was started last.

    Raises:
        KitError: there is no such run, one is named twice, or one trained on images that the first validates with.
    """
    parts = [names] if os.path.isdir(names) else [part.strip() for part in names.split(",")]  # folders may have commas
    if len(parts) > 1 and (not all(parts) or len(set(parts)) < len(parts)):
        raise KitError(f"run has to be different names joined by commas, such as paper,paper-2, not {names!r}")
    runs = [Run.load(part) for part in parts]
    for run in runs[1:]:
        run.check_unseen_validation(runs[0].recipe)
    return runs


def all_runs(folder: Path | None = None) -> list[Run]:
    """The runs below `folder` (default: runs/ of the workspace), sorted by name."""
    folder = folder or workspace() / "runs"
    return [Run(path.parent.resolve()) for path in sorted(folder.glob("*/config.json")) if path.is_file()]


def readable(runs: Iterable[Run]) -> list[Run]:
    """The runs whose files are whole; each other one costs a printed warning."""
    whole = []
    for run in runs:
        try:
            run.check()
        except KitError as error:
            print(f"warning: {run.folder} is left out: {error}", flush=True)
        else:
            whole.append(run)
    return whole
