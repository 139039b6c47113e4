"""The kept records of finished runs, under notebooks/results/."""

import re
from collections.abc import Container
from pathlib import Path
from statistics import fmean

from kit.data import CLASSES
from kit.run.folder import Run, all_runs, readable
from kit.system.paths import ROOT

RESULTS = ROOT / "notebooks" / "results"


def name_without_seed(run: Run) -> str:
    """The run's name without its `-seed<N>`, which runs that differ in nothing else share."""
    return re.sub(r"-seed\d+$", "", run.name)


def mean_results(names: Container[str], folder: Path = RESULTS) -> dict[str, tuple[float, float, int]]:
    """What the kept runs of CIFAR-10 reached: by name, their mean arithmetic in PFLOP and mean accuracy in %.

    Args:
        names: runs are counted if they are called so, with `-seed<N>` or without it.
        folder: where the records are.

    Returns:
        Arithmetic, accuracy of the last epoch without views, and the number of runs. Records without their arithmetic
        are left out.
    """
    runs: dict[str, list[Run]] = {}
    for run in readable(run for run in all_runs(folder) if run.finished and name_without_seed(run) in names):
        if "pflop" in run.metrics and run.config["classes"] == list(CLASSES):
            runs.setdefault(name_without_seed(run), []).append(run)
    return {
        name: (
            fmean(run.metrics["pflop"] for run in found),
            fmean(run.metrics["last_accuracy"] for run in found),
            len(found),
        )
        for name, found in runs.items()
    }
