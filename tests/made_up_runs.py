"""Run folders with figures that a test chooses, as a training would have left them but for the weights."""

import numpy as np
import pandas as pd

from kit.ablation.experiments import TABLES, at_scale
from kit.ablation.records import mark
from kit.data.loading import CLASSES
from kit.recipe import PAPER, RECIPES
from kit.run import Run
from kit.system import files

SMALL = PAPER.replace(arch="tiny", epochs=2)
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
        "recipe": recipe.as_dict(), "data": "made up", "classes": list(classes), "images": images,
        "parameters": parameters,
        "amp": "float32", "processes": 1, "device": "a CPU", "threads": 2, "commit": None, "command": "a test",
    }  # fmt: skip
    files.write_json(run.config_path, config)
    metrics = {
        "last_accuracy": accuracy, "best_accuracy": min(accuracy + 0.5, 100), "best_epoch": epochs,
        "train_accuracy": min(accuracy + gap, 100), "split": recipe.split, "training_images": images,
        "validation_images": validation, "epochs": epochs, "parameters": parameters, "pflop": 0.25,
        "wall_seconds": 60 * minutes,
    }  # fmt: skip
    files.write_json(run.folder / "metrics.json", metrics)
    return run


def make_table(folder, name, accuracies, epochs=2, arch_scale=0.125, **given):
    """Runs of a table, as a sweep leaves them: accuracies by row, each a list whose place is the seed, from 1."""
    assert set(accuracies) <= set(TABLES[name].rows)
    for row, values in accuracies.items():
        for seed, accuracy in enumerate(values, start=1):
            recipe = at_scale(row, epochs, arch_scale).replace(seed=seed)
            run = make_run(folder, f"{row}-{epochs}-{arch_scale}-seed{seed}", recipe, accuracy, **given)
            mark(run, row, epochs, arch_scale)


def make_agreement(folder, accuracies, recipe=SMALL, data="image folder data"):
    """Runs as tests/benchmarks/agreement.py leaves them: by way a list whose place is the seed, from 1."""
    for way, values in accuracies.items():
        for seed, accuracy in enumerate(values, start=1):
            run = make_run(folder, f"{way}-seed{seed}", recipe.replace(seed=seed), accuracy)
            files.write_json(run.config_path, run.config | {"data": data})
            if way == "paper-way":
                _leave_what_the_papers_loop_writes(run)


def _leave_what_the_papers_loop_writes(run):
    config = {k: run.config[k] for k in ("recipe", "data", "amp", "device", "threads", "commit", "command")}
    files.write_json(run.config_path, config | {"way": "A network that trains and predicts in the paper's way."})
    columns = ["epoch", "train_loss", "validation_accuracy", "seconds", "images_per_second"]
    run.save_history(run.history[columns].to_dict("records"))
    figures = {k: run.metrics[k] for k in ("last_accuracy", "wall_seconds")}
    files.write_json(run.folder / "metrics.json", figures)


def make_tries(folder):
    """Three seeds of the recipe `digits`, tries of it, and a run of an earlier recipe of that name."""
    base = RECIPES["digits"]
    for seed, accuracy in enumerate([84.0, 84.6, 84.2], start=1):
        make_run(folder, f"digits-seed{seed}", base.replace(seed=seed), accuracy)
        other = base.replace(seed=seed, lr=base.lr / 2, label_smoothing=0.3)
        make_run(folder, f"digits-tried-half-lr-seed{seed}", other, accuracy - 2 + seed / 10)
    make_run(folder, "digits-tried-adamw", base.replace(optimizer="adamw"), 85)
    make_run(folder, "digits-tried-code", base, 83)
    make_run(folder, "digits-tried-other-images", base, 99, classes=DIGITS)
    make_run(folder, "digits", base.replace(epochs=base.epochs + 1), 80)
    return folder
