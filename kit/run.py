"""Run: the folder that a training leaves behind."""

import csv
import io
import json
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torchvision
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from kit.data import Dataset
from kit.errors import KitError
from kit.model import ResNet, build
from kit.recipe import Recipe
from kit.system import files
from kit.system.paths import workspace

LONGEST_NAME = 200  # bytes of a run's name; file systems take 255
WEIGHTS = {"last": "model.safetensors", "best": "best.safetensors"}


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
        self.folder = path

    @classmethod
    def load(cls, name: str | Path = "") -> "Run":
        """The existing run of that name; of no name, the one that was started last.

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
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def config(self) -> dict[str, Any]:
        """What the run was: recipe, versions, device, commit, command, data, classes, parameters."""
        return files.read_json(self.config_path)

    @property
    def recipe(self) -> Recipe:
        """The run's recipe."""
        return Recipe(**self.config["recipe"])

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch; empty before the first epoch ended."""
        path = self.folder / "history.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    @property
    def metrics(self) -> dict[str, Any]:
        """The final figures; empty while the run is unfinished."""
        path = self.folder / "metrics.json"
        return files.read_json(path) if path.is_file() else {}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is over and the final figures are written."""
        return (self.folder / "metrics.json").is_file()

    def check_images(self, dataset: Dataset) -> None:
        """Make sure that the run was trained on `dataset`, as far as its classes and the number of its images tell.

        Raises:
            KitError: it was not.
        """
        images = len(dataset.train_labels)
        theirs = self.config["classes"], self.config.get("images", images)
        if theirs != (list(dataset.classes), images):
            raise KitError(
                f"{self.folder} was trained on {theirs[1]:,} images of {', '.join(theirs[0][:3])}, ..., not on these "
                f"{images:,} of {', '.join(dataset.classes[:3])}, ...: give data or run another value"
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

    def model(self, weights: str = "last") -> ResNet:
        """The trained network in evaluation mode, on the CPU.

        Args:
            weights: "last" epoch, or "best" epoch as chosen on the validation images.

        Raises:
            KitError: the weights are missing or do not fit the run's architecture.
        """
        network = build(self.recipe.architecture, classes=len(self.config["classes"]))
        try:
            network.load_state_dict(load_file(self.weights_path(weights)))
        except (RuntimeError, SafetensorError) as error:
            raise KitError(
                f"{self.weights_path(weights)} does not fit the run's architecture ({str(error).splitlines()[0]}): "
                "train the run again"
            ) from None
        return network.eval().to(memory_format=torch.channels_last)

    def weights_path(self, weights: str = "last") -> Path:
        """The file of the "last" or "best" weights.

        Raises:
            KitError: the word is unknown or the file is missing.
        """
        if weights not in WEIGHTS:
            raise KitError(f"weights has to be one of {', '.join(WEIGHTS)}, not {weights!r}")
        path = self.folder / WEIGHTS[weights]
        if not path.is_file():
            raise KitError(f"{path} is missing: the run has not finished an epoch yet; train it first")
        return path

    def summary(self) -> str:
        """The run's accuracy and number of parameters in words."""
        config, figures, rows = self.config, self.metrics, self.history
        size = f"number of parameters {config['parameters']:,} (5,000,000 are allowed)"
        if not self.finished:
            how = "run the same command again to go on"
            return f"unfinished: {len(rows)} of {config['recipe']['epochs']} epochs; {how}\n{size}"
        lines = [
            f"final accuracy {figures['last_accuracy']:.2f} % on {figures['validation_images']:,} validation images "
            f"({figures['split']} split, last epoch)",
            f"best epoch {figures['best_epoch']} of {figures['epochs']}: {figures['best_accuracy']:.2f} %, "
            "chosen on these same images",
            f"accuracy on the training images without augmentation {figures['train_accuracy']:.2f} %",
        ]
        if "test_accuracy" in figures:
            lines.append(f"accuracy on the official test images, used once {figures['test_accuracy']:.2f} %")
        if "pflop" in figures:  # runs of earlier versions did not count it
            lines.append(f"arithmetic {figures['pflop']:.3g} PFLOP (3 x forward passes x images shown)")
        return "\n".join([*lines, size])

    def save_weights(self, weights: str, state: dict[str, Tensor], **metadata: str) -> None:
        """Write "last" or "best" weights with a note of what they are (text to text)."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        files.write_bytes(self.folder / WEIGHTS[weights], _with_sorted_header(save(tensors, metadata)))

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write everything that a resume needs."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files.write_bytes(self.checkpoint_path, buffer.getbuffer())

    def load_checkpoint(self) -> dict[str, Any] | None:
        """What the last checkpoint holds, or None where there is none.

        Raises:
            KitError: the file is damaged.
        """
        if not self.checkpoint_path.is_file():
            return None
        try:
            return torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds, by where the damage lies
            raise KitError(
                f"{self.checkpoint_path} cannot be read ({type(error).__name__}): delete it to start the run over"
            ) from None

    def save_history(self, rows: Iterable[dict[str, float]]) -> None:
        """Write the rows of all epochs so far."""
        rows, text = list(rows), io.StringIO()
        names = list(rows[-1]) if rows else []  # the first ones may be of a version that wrote fewer
        writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.folder / "history.csv", text.getvalue())

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Save a figure as `<name>.png` at print resolution and return it.

        A figure that cannot be saved costs a warning and no more: what comes after it may be the CSV.
        """
        try:
            with files.replacing(self.folder / f"{name}.png") as part:
                figure.savefig(part, format="png", dpi=200)
        except Exception as error:
            warnings.warn(f"{name}.png could not be drawn and saved ({error})", stacklevel=2)
        return figure

    def clear(self) -> None:
        """Remove the files of an earlier training, so that the run starts over."""
        for name in (*WEIGHTS.values(), "history.csv", "metrics.json", "checkpoint.pt", "config.json"):
            (self.folder / name).unlink(missing_ok=True)


def _with_sorted_header(file: bytes) -> bytes:
    """The same safetensors file with its notes in alphabetical order, since the library's own order is random."""
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return file[:8] + header.encode().ljust(size) + file[8 + size :]


def load_runs(names: str = "") -> list[Run]:
    """The existing runs of these names, joined by commas, to be averaged; of no name, the one that was started last.

    Raises:
        KitError: there is no such run, one is named twice, or one trained on images that the first validates with.
    """
    parts = [names] if Path(names).is_dir() else [part.strip() for part in names.split(",")]  # folders may have commas
    if len(parts) > 1 and (not all(parts) or len(set(parts)) < len(parts)):
        raise KitError(f"run has to be different names joined by commas, such as paper,paper-2, not {names!r}")
    runs = [Run.load(part) for part in parts]
    for run in runs[1:]:
        run.check_unseen_validation(runs[0].recipe)
    return runs


def all_runs(folder: Path | None = None) -> list[Run]:
    """The runs below `folder` (default: runs/ of the workspace), sorted by name."""
    folder = folder or workspace() / "runs"
    return [Run(path.parent.resolve()) for path in sorted(folder.glob("*/config.json"))]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, commit and command, as kept in config.json."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "command": _command(),
    }


def _command() -> str:
    program = Path(sys.argv[0]).name
    return "a notebook" if program == "ipykernel_launcher.py" else " ".join([program, *sys.argv[1:]])


def _cpu_name() -> str:
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True)
    except OSError:  # no git on this machine
        return None
    return answer.stdout.strip() or None
