"""Compare the engine with float32 and with the paper's own way of training (runs of tests/benchmarks/agreement.py)."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from kit.ablation import records
from kit.ablation.comparisons import LAST, accuracy_by_seed, compared
from kit.ablation.records import device_of, differences_in_recipe
from kit.ablation.significance import difference
from kit.recipe import PAPER
from kit.run import Run, all_runs, name_without_seed, readable

ENGINE = "engine"
WAYS = {ENGINE: "the engine", "float32": "the engine in float32, not compiled", "paper-way": "the paper's own way"}
MINUS = "engine minus this"
COLUMNS = [LAST, "sd", "n", MINUS, "low", "high", "test", "minutes", "device"]


def agreement_runs(folder: Path | None = None) -> list[Run]:
    """The finished runs `<way>-seed<N>` in `folder`, by default notebooks/results/agreement."""
    return [
        run
        for run in readable(run for run in all_runs(folder or records.RESULTS / "agreement") if run.finished)
        if name_without_seed(run) in WAYS
    ]


def comparisons_of(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Groups of runs with the same recipe and images; the key describes the group."""
    found = defaultdict(list)
    for run in runs:
        differs = differences_in_recipe(run, PAPER)
        images = run.config["data"].partition(", decoded")[0]  # when images were decoded does not matter
        found[f"The paper's recipe{f' but for {differs}' if differs else ''}; {images}"].append(run)
    return dict(found)


def agreement(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per way of training: accuracy of the last epoch, and the engine's mean minus this one with its interval.

    Args:
        runs: one of `comparisons_of`.
    """
    by_way = defaultdict(list)
    for run in runs:
        by_way[name_without_seed(run)].append(run)
    accuracies = {way: accuracy_by_seed(by_way[way]) for way in WAYS if way in by_way}
    frame = pd.DataFrame([_row(way, by_way[way], accuracies[way]) for way in accuracies]).set_index("")
    others = [way for way in accuracies if way != ENGINE and ENGINE in accuracies]
    found = [difference(accuracies[ENGINE], accuracies[way]) for way in others]
    against = compared([WAYS[way] for way in others], found)[["difference", "low", "high", "test"]]
    return frame.join(against.rename(columns={"difference": MINUS}))[COLUMNS]


def _row(way: str, runs: list[Run], accuracies: dict[int, float]) -> dict[str, object]:
    own, minutes = pd.Series(accuracies), pd.Series([run.metrics["wall_seconds"] / 60 for run in runs])
    devices = "; ".join(sorted({device_of(run) for run in runs}))
    row = {"": WAYS[way], LAST: own.mean(), "sd": own.std(), "n": len(own)}
    return row | {"minutes": minutes.mean(), "device": devices}
