"""Run folders with figures that a test chooses, as a training would have left them but for the weights."""

import numpy as np
import pandas as pd

from kit import files
from kit.data import CLASSES
from kit.experiments import TABLES, at_scale
from kit.run import Run

DIGITS = tuple(map(str, range(10)))


def make_run(folder, name, recipe, accuracy=60.0, gap=5.0, classes=CLASSES, images=50_000, validation=10_000,
             minutes=3.0, parameters=1000):  # fmt: skip
    """A finished run whose validation accuracy rises to `accuracy`, with `gap` points more on its training images."""
    epochs, seconds = recipe.epochs, 60 * minutes / recipe.epochs
    curve = np.linspace(20, accuracy, epochs + 1)[1:]
    columns = {
        "epoch": range(1, epochs + 1), "lr": 0.1, "train_loss": 1.0, "train_accuracy": curve - 5,
        "validation_loss": 1.0, "validation_accuracy": curve, "grad_norm": 1.0, "seconds": seconds,
        "images_per_second": images / seconds,
    }  # fmt: skip
    run = Run(folder / name)
    run.save_history(pd.DataFrame(columns).to_dict("records"))
    config = {
        "recipe": recipe.as_dict(), "data": "made up", "classes": list(classes), "parameters": parameters,
        "amp": "float32", "processes": 1, "device": "a CPU", "threads": 2, "commit": None, "command": "a test",
    }  # fmt: skip
    files.write_json(run.config_path, config)
    metrics = {
        "last_accuracy": accuracy, "best_accuracy": accuracy + 0.5, "best_epoch": epochs,
        "train_accuracy": accuracy + gap, "split": recipe.split, "training_images": images,
        "validation_images": validation, "epochs": epochs, "parameters": parameters, "wall_seconds": 60 * minutes,
    }  # fmt: skip
    files.write_json(run.folder / "metrics.json", metrics)
    return run


def make_table(folder, name, accuracies, epochs=2, arch_scale=0.125, **given):
    """Runs of a table: accuracies by row, each a list whose place is the seed, from 1."""
    assert set(accuracies) <= set(TABLES[name].rows)
    for row, values in accuracies.items():
        for seed, accuracy in enumerate(values, start=1):
            recipe = at_scale(row, epochs, arch_scale).replace(seed=seed)
            make_run(folder, f"{row}-{epochs}-{arch_scale}-seed{seed}", recipe, accuracy, **given)
