"""The page of one run: recipe, network, curves, mistakes, calibration, expected score, submission, provenance."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from kit import plots
from kit.errors import KitError
from kit.model import build, summarize
from kit.run import Run
from kit.submission import sha256, submission_path
from kit.system import files
from kit.workflow.reports.notebooks import notebook_html
from kit.workflow.reports.page import RUN, page

NOTEBOOKS = {
    "explore": "Images",
    "train": "Network and training",
    "misclassification": "Mistakes and calibration",
    "submit": "Expected score and submission",
}


@dataclass(frozen=True)
class Part:
    """One section of the page: its anchor, title, a note above it, and its content."""

    key: str
    title: str
    note: str
    html: Markup


def write_report(run: Run) -> Path:
    """Write `report.html` into the run's folder: one file that holds all its figures and needs no network.

    What the executed notebooks of the folder show is shown without their code. If a notebook has not run, a sentence
    says so; curves and network are drawn from the run's own files then.

    Raises:
        KitError: there is no run in the folder, or its files are damaged.
    """
    if not run.config_path.is_file():
        raise KitError(f"there is no run in {run.folder}: train one first")
    recipe = run.recipe.as_dict()
    text = page(
        RUN,
        run.name,
        name=run.name,
        data=run.config.get("data", ""),
        lines=_warnings(run) if run.finished else run.summary().split("\n"),
        cards=_cards(run),
        differences=_differences(run),
        recipe=recipe,
        parts=[_part(run, key, title) for key, title in NOTEBOOKS.items()],
        provenance=_provenance(run),
    )
    path = run.folder / "report.html"
    files.write_text(path, text)
    return path


def _warnings(run: Run) -> list[str]:
    return [f"Warning: {run.trouble}"] if run.trouble else []


def _cards(run: Run) -> list[tuple[str, str]]:
    """The figures on top of the page, each with what it is."""
    metrics = run.metrics
    cards = [(f"{run.config['parameters']:,}", "trainable parameters")]
    if metrics:
        cards = [
            (f"{metrics['last_accuracy']:.2f} %", "accuracy, last epoch"),
            (
                f"{metrics['best_accuracy']:.2f} %",
                f"epoch {metrics['best_epoch']} of {metrics['epochs']}, the best here",
            ),
            (f"{metrics['validation_images']:,}", f"validation images, {metrics['split']} split"),
            (f"{metrics['train_accuracy']:.2f} %", "of training images as they are"),
            *cards,
            (f"{metrics['wall_seconds'] / 60:.1f} min", "training time"),
        ]
    if "test_accuracy" in metrics:
        cards.insert(1, (f"{metrics['test_accuracy']:.2f} %", "official test images, used once"))
    if "pflop" in metrics:
        cards.append((f"{metrics['pflop']:.3g}", "PFLOP of arithmetic"))
    return cards


def _differences(run: Run) -> str:
    """What the recipe has other than the paper's final configuration."""
    paper, own = type(run.recipe)().as_dict(), run.recipe.as_dict()
    changed = [f"{key} {value}" for key, value in own.items() if value != paper[key]]
    if not changed:
        return "The paper's final configuration."
    return "As the paper's final configuration, but for " + ", ".join(changed) + "."


def _part(run: Run, key: str, title: str) -> Part:
    path = run.folder / f"{key}.ipynb"
    if path.is_file():
        try:
            return Part(key, title, "", notebook_html(path))
        except KitError as error:
            return Part(key, title, str(error), Markup())
    drawn = _training_figures(run) if key == "train" else Markup()
    instead = (
        "what follows is drawn from the run's own files" if drawn else "`python -m kit run` executes all notebooks"
    )
    return Part(key, title, f"The {key} notebook has not run in this folder: {instead}.", drawn)


def _training_figures(run: Run) -> Markup:
    recipe, history = run.recipe, run.history
    title = f"{recipe.arch}: {run.config['parameters']:,} trainable parameters"
    layers = summarize(build(recipe.architecture, classes=len(run.config["classes"])))
    figures = {
        "the network": plots.architecture(layers, title),
        "training loss": plots.training_loss(history, bool(recipe.label_smoothing)),
        "test loss": plots.validation_loss(history),
        "accuracy": plots.accuracy(history),
    }
    return Markup("\n").join(_picture(figure, words) for words, figure in figures.items())


def _picture(figure: Figure, words: str) -> Markup:
    """A figure inside the page itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<p><img alt="{}" src="data:image/png;base64,{}"></p>').format(words, data)


def _provenance(run: Run) -> list[tuple[str, Any]]:
    """Where the run and its submission come from."""
    config = run.config
    rows = [(key, config[key]) for key in ("data", "device", "threads", "amp", "commit", "command") if config.get(key)]
    rows += [(f"version of {name}", version) for name, version in config.get("versions", {}).items()]
    weights = run.folder / "model.safetensors"
    if weights.is_file():
        rows.append(("SHA-256 of the weights", sha256(weights)))
    about = submission_path([run]).with_suffix(".json")
    if about.is_file():
        described = files.read_json(about)
        keys = ("file", "sha256", "rows", "weights", "tta", "accuracy")
        rows += [(f"submission: {key}", described[key]) for key in keys if key in described]
    return rows
