"""Compare runs with each other and with the paper: accuracies, differences and gaps, as data frames."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd

from kit.ablation.experiments import Experiment
from kit.ablation.records import (
    FINAL,
    Repetition,
    attempt_of,
    data_of,
    device_of,
    differences_in_recipe,
    identity_of,
    settings_of,
)
from kit.ablation.significance import WORDS, Difference, difference, holm, mean_interval, verdict
from kit.recipe import RECIPES
from kit.run import Run, name_without_seed

NAN = float("nan")
LAST = "last epoch (%)"
NOTE = "note"
GAP_WORDS = ("larger", "smaller")
OTHER = "other than today's recipe of that name"
SETTINGS = ("arch", "optimizer", "lr", "lookahead_k", "augment", "cutout", "mixup_alpha", "label_smoothing", "seed")


def accuracies(repetition: Repetition) -> pd.DataFrame:
    """One row per experiment: the paper's figures and ours; if nothing ran, n is 0 and ours are NaN.

    The standard deviation `sd` has n - 1 degrees of freedom; `low` to `high` is the 95 % t-interval of the last epoch's
    mean accuracy. Accuracies are in %; minutes and images per second are means over the runs. The column
    `note` is there if some runs are no better than guessing.
    """
    rows = []
    for experiment in repetition.table.experiments:
        printed = {"paper (%)": experiment.paper_accuracy, "paper's parameters": experiment.paper_parameters}
        rows.append({"": experiment.label} | printed | figures_of(repetition.runs.get(experiment.row, ())))
    columns = [LAST, "sd", "n", "low", "high", "best epoch (%)", "PFLOP", "parameters"]
    columns = ["paper (%)", *columns, "paper's parameters", "minutes", "images/s", "split", "device", NOTE]
    frame = _with_notes(pd.DataFrame(rows).set_index("").astype(dict.fromkeys(printed, float))[columns])
    return frame.drop(columns=[column for column in printed if frame[column].isna().all()])


def figures_of(runs: Sequence[Run]) -> dict[str, Any]:
    """Every figure, averaged over runs that differ in their seed only; NaN and "" if there are no runs."""
    metrics = [run.metrics for run in runs]
    histories = [run.history for run in runs if not run.history.empty]
    last = [figures["last_accuracy"] for figures in metrics]
    low, high = np.clip(mean_interval(last), 0, 100)  # the interval of two seeds can reach beyond 0 and 100 %
    return {
        LAST: _mean(last),
        "sd": _deviation(last),
        "n": len(last),
        "low": low,
        "high": high,
        "best epoch (%)": _mean([figures["best_accuracy"] for figures in metrics]),
        "training, plain (%)": _mean([figures["train_accuracy"] for figures in metrics]),
        "epochs": _mean([figures["epochs"] for figures in metrics]),
        "parameters": _mean([figures["parameters"] for figures in metrics]),
        "PFLOP": _mean([figures["pflop"] for figures in metrics if "pflop" in figures]),
        "minutes": _mean([figures["wall_seconds"] / 60 for figures in metrics]),
        "images/s": _mean([each["images_per_second"].median() for each in histories]),
        "split": ", ".join(sorted({figures["split"] for figures in metrics})),
        "device": "; ".join(sorted({device_of(run) for run in runs})),
        NOTE: _note(runs),
    }


def _note(runs: Sequence[Run]) -> str:
    """How many of the runs learnt nothing, if any."""
    lost = sum(bool(run.trouble) for run in runs)
    return f"{lost} of {len(runs)} no better than guessing" if lost else ""


def _with_notes(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its column of notes if there are any, else without."""
    return frame if frame[NOTE].any() else frame.drop(columns=NOTE)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else NAN


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else NAN


def reference_row(repetition: Repetition) -> Experiment:
    """The row that others are compared with: the paper's final configuration, or the first row if that did not run.

    It is fixed before any result is known. If all rows were compared with the best of k means, Holm's correction over
    k - 1 tests would find a difference between equal rows in more than 5 % of cases.
    """
    ran = {each.row: each for each in repetition.table.experiments if each.row in repetition.runs}
    return ran.get(FINAL) or next(iter(ran.values()))


def differences(repetition: Repetition) -> pd.DataFrame:
    """Compare each row that ran with `reference_row`: points with a 95 % interval, p-values and a verdict in words.

    If one row has all seeds of the other, the two are compared seed by seed over their common seeds, whose number
    `test` shows; otherwise by Welch's test. Holm's correction is over this table, and the verdict uses its p-values.
    """
    return _against_reference(repetition, accuracy_by_seed)


def _against_reference(
    repetition: Repetition, by_seed: Callable[[Iterable[Run]], dict[int, float]], words: tuple[str, str] = WORDS
) -> pd.DataFrame:
    reference = reference_row(repetition)
    against = by_seed(repetition.runs[reference.row])
    others = [e for e in repetition.table.experiments if e.row in repetition.runs and e.row != reference.row]
    found = [difference(by_seed(repetition.runs[e.row]), against) for e in others]
    return compared([e.label for e in others], found, words)


def compared(labels: Sequence, found: Sequence[Difference], words: tuple[str, str] = WORDS) -> pd.DataFrame:
    """One row per difference: points with interval, test, p-value before and after Holm's correction, verdict.

    The correction is over all rows, and the verdict uses it.

    Args:
        labels: index of the table, one label per difference.
        found: the differences.
        words: of the verdict if the first is higher, and if it is lower.
    """
    frame = pd.DataFrame(
        {
            "difference": [each.points for each in found],
            "low": [each.low for each in found],
            "high": [each.high for each in found],
            "test": [each.test + (f", n = {each.seeds}" if each.paired else "") for each in found],
            "p": [each.p for each in found],
            "p (Holm)": holm([each.p for each in found]),
        },
        index=pd.Index(labels, name=""),
    )
    verdicts = [verdict(each, p, words) for each, p in zip(found, frame["p (Holm)"], strict=True)]
    return frame.assign(verdict=pd.Series(verdicts, index=frame.index, dtype=object))


def accuracy_by_seed(runs: Iterable[Run]) -> dict[int, float]:
    """Validation accuracy of the last epoch in %, by the run's seed."""
    return {settings_of(run)["seed"]: run.metrics["last_accuracy"] for run in runs}


def gaps(repetition: Repetition) -> pd.DataFrame:
    """The gap of each row: accuracy on training images without augmentation, minus accuracy on validation images.

    Both are of the last epoch; the gap is in points, and `sd` is its standard deviation. Gaps are compared with that of
    `reference_row` (the paper's 200 epochs, if they ran) in the same way as accuracies in `differences`.
    """
    rows = []
    for experiment in repetition.table.experiments:
        runs = repetition.runs.get(experiment.row, ())
        figures, apart = figures_of(runs), list(gap_by_seed(runs).values())
        figures |= {"validation (%)": figures[LAST], "gap": _mean(apart), "sd": _deviation(apart)}
        rows.append({"": experiment.label} | figures)
    columns = ["epochs", "training, plain (%)", "validation (%)", "gap", "sd", "n"]
    frame = pd.DataFrame(rows).set_index("")[columns].join(_against_reference(repetition, gap_by_seed, GAP_WORDS))
    frame.loc[reference_row(repetition).label, "verdict"] = "reference"
    return frame.drop(columns=["p", "p (Holm)"])


def gap_by_seed(runs: Iterable[Run]) -> dict[int, float]:
    """Accuracy on the training images without augmentation minus that on the validation images, in points, by seed."""
    return {settings_of(run)["seed"]: run.metrics["train_accuracy"] - run.metrics["last_accuracy"] for run in runs}


def single_runs(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per run, with the settings in which runs differ most often; sorted by images, then by last accuracy."""
    columns = [LAST, "best epoch (%)", "training, plain (%)", "epochs", "PFLOP", "parameters", "minutes", "images/s"]
    columns = ["run", "images", *columns, "split", "device", *SETTINGS, NOTE]
    rows = [
        {"run": run.name, "images": data_of(run).kind}
        | figures_of([run])
        | settings_of(run)
        | {"epochs": run.metrics["epochs"]}
        for run in runs
    ]
    frame = _with_notes(pd.DataFrame(rows, columns=columns).set_index("run"))
    return frame.sort_values(["images", LAST], ascending=[True, False])


def by_recipe(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per recipe and images, over all seeds, the highest mean first; it is named after the last run.

    If a seed was trained twice, or was kept under another name, the last run counts. If RECIPES has a recipe of that
    name with other settings (it was changed since), the last column lists the differences.
    """
    groups: dict[tuple, dict[int, Run]] = defaultdict(dict)  # by settings and images: the run of each seed
    for run in runs:
        settings = settings_of(run)
        groups[tuple((settings | {"seed": None}).items()), data_of(run)][settings["seed"]] = run
    seeds = [list(by_seed.values()) for by_seed in groups.values()]
    names = [name_without_seed(group[-1]) for group in seeds]
    rows = [
        {"run": name, OTHER: differences_in_recipe(group[-1], RECIPES[name]) if name in RECIPES else ""}
        | figures_of(group)
        for name, group in zip(names, seeds, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["run", *figures_of([]), OTHER]).set_index("run")
    frame = _with_notes(frame.sort_values(LAST, ascending=False))
    return frame if frame[OTHER].any() else frame.drop(columns=OTHER)


def other_runs(runs: Iterable[Run], found: Iterable[Repetition]) -> list[Run]:
    """The runs that are in none of the tables and were not tried for a recipe."""
    told = {identity_of(run) for repetition in found for run in repetition.members}
    return [run for run in runs if identity_of(run) not in told and not attempt_of(run)]


def histories(runs: Iterable[Run]) -> dict[str, pd.DataFrame]:
    """The runs' histories by name, without empty ones; a second run of a name is called `name (2)`, and so on."""
    found = {}
    for run in (run for run in runs if not run.history.empty):
        names = (run.name if count == 1 else f"{run.name} ({count})" for count in itertools.count(1))
        found[next(name for name in names if name not in found)] = run.history
    return found


def histories_by_images(runs: Iterable[Run]) -> dict[str, dict[str, pd.DataFrame]]:
    """`histories` for each kind of images, since accuracies on digits and on CIFAR-10 cannot be compared."""
    kinds = defaultdict(list)
    for run in runs:
        kinds[data_of(run).kind].append(run)
    return {kind: histories(kinds[kind]) for kind in sorted(kinds)}
