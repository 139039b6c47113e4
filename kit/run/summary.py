"""A run in words: its accuracy, its size, and whether it has learnt anything."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.run.folder import Run

STANDARD_ERRORS = 3  # of the accuracy of a guess, within which a network is called no better than that
VANISHED = 1e-6  # length of the gradient, below which a training stands still


def summary(run: "Run") -> str:
    """The run's accuracy and number of parameters, and a warning if it is no better than guessing.

    Raises:
        KitError: a file of the run is damaged.
    """
    config, figures = run.config, run.metrics
    size = f"number of parameters {config['parameters']:,} (5,000,000 are allowed)"
    if not run.finished:
        epochs = f"{len(run.history)} of {config['recipe']['epochs']} epochs"
        return f"unfinished: {epochs}; run the training again to go on\n{size}"
    lines = [
        f"final accuracy {figures['last_accuracy']:.2f} % on {figures['validation_images']:,} validation images "
        f"({figures['split']} split, last epoch)",
        f"best epoch {figures['best_epoch']} of {figures['epochs']}: {figures['best_accuracy']:.2f} %, "
        "chosen on these same images",
        f"accuracy on training images without augmentation {figures['train_accuracy']:.2f} %",
    ]
    if "test_accuracy" in figures:
        lines.append(f"accuracy on the official test images, used once {figures['test_accuracy']:.2f} %")
    if "pflop" in figures:  # runs of earlier versions did not count it
        lines.append(f"arithmetic {figures['pflop']:.3g} PFLOP (3 x forward passes x images shown)")
    lines.append(size)
    if failure := trouble(run):
        lines.append(f"warning: {failure}")
    return "\n".join(lines)


def trouble(run: "Run") -> str:
    """Why the result of a finished run is none, in words: it is no better than guessing. Empty if it is better.

    A network that gives every image the same class has exactly 10 % of ten equal classes right. Its gradient has often
    vanished: with every unit dead, no step changes anything.
    """
    figures, config, history = run.metrics, run.config, run.history
    if not {"last_accuracy", "validation_images"} <= figures.keys() or "classes" not in config:
        return ""  # unfinished, or a record of another way of training
    classes, images = len(config["classes"]), max(figures["validation_images"], 1)
    chance = 1 / classes
    error = math.sqrt(chance * (1 - chance) / images)
    if figures["last_accuracy"] / 100 > chance + STANDARD_ERRORS * error:
        return ""
    guess = f"{figures['last_accuracy']:.2f} % is no better than guessing among {classes} classes"
    norm = history["grad_norm"].iloc[-1] if "grad_norm" in history and len(history) else math.nan
    if norm < VANISHED:
        return f"{guess}, and the gradient has vanished ({norm:.0e}): the training collapsed; lower lr, lengthen warmup"
    return f"{guess}: the training collapsed, or was too short; lower lr, lengthen warmup, or train longer"
