"""All runs beside each other: those on this machine and those kept with the repository."""

from pathlib import Path

import pandas as pd

from kit.run import Run, all_runs, workspace

RESULTS = Path(__file__).resolve().parent.parent / "notebooks" / "results"
SETTINGS = ("arch", "optimizer", "lr", "lookahead_k", "augment", "cutout", "mixup_alpha", "label_smoothing", "seed")


def finished_runs() -> list[Run]:
    """The finished runs of runs/ and of notebooks/results/; of two with one name, the one of runs/."""
    runs = {run.name: run for folder in (RESULTS, workspace() / "runs") for run in all_runs(folder) if run.finished}
    return list(runs.values())


def table(runs: list[Run]) -> pd.DataFrame:
    """A row a run: accuracies in %, parameters, time and the settings that runs differ in most often."""
    rows = []
    for run in runs:
        figures, config = run.metrics, run.config
        images = run.history["images_per_second"].median()
        rows.append(
            {
                "run": run.name,
                "last epoch (%)": figures["last_accuracy"],
                "best epoch (%)": figures["best_accuracy"],
                "training, plain (%)": figures["train_accuracy"],
                "split": figures["split"],
                "images": figures["validation_images"],
                "epochs": figures["epochs"],
                "parameters": figures["parameters"],
                "minutes": figures["wall_seconds"] / 60,
                "images/s": round(images),
                "device": config["device"],
            }
            | {name: config["recipe"][name] for name in SETTINGS}
        )
    frame = pd.DataFrame(rows, columns=None if rows else ["run", "last epoch (%)"])
    return frame.set_index("run").sort_values("last epoch (%)", ascending=False).round(2)
