"""Runs beside each other and beside the paper: accuracies, differences, gaps and what was tried, as data frames."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from kit.experiments import Experiment
from kit.recipe import RECIPES, Recipe
from kit.records import FINAL, Repetition, data_of, device_of, settings_of
from kit.run import Run
from kit.significance import Difference, difference, holm, mean_interval, verdict

NAN = float("nan")
TRIED = ("last epoch (%)", "sd", "n", "parameters", "minutes")
RECIPE_COLUMNS = (
    "last epoch (%)", "sd", "n", "low", "high", "best epoch (%)", "training, plain (%)", "split", "epochs",
    "parameters", "minutes", "images/s", "device",
)  # fmt: skip
SETTINGS = ("arch", "optimizer", "lr", "lookahead_k", "augment", "cutout", "mixup_alpha", "label_smoothing", "seed")


def accuracies(repetition: Repetition) -> pd.DataFrame:
    """A row an experiment: the paper's figures and ours; n is 0 and ours are nan where nothing ran.

    The standard deviation `sd` has n - 1 degrees of freedom, `low` to `high` is the 95 % t-interval of the mean of the
    last epoch; accuracies are in %, minutes and images a second means over the runs.
    """
    rows = []
    for experiment in repetition.table.experiments:
        runs = repetition.runs.get(experiment.row, ())
        printed = {"paper (%)": experiment.paper_accuracy, "paper's parameters": experiment.paper_parameters}
        rows.append({"": experiment.label} | printed | _figures(runs))
    frame = pd.DataFrame(rows).set_index("").astype(dict.fromkeys(printed, float))
    frame.insert(list(frame).index("parameters"), "paper's parameters", frame.pop("paper's parameters"))
    return frame.drop(columns=[column for column in printed if frame[column].isna().all()])


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    metrics = [run.metrics for run in runs]
    last = [figures["last_accuracy"] for figures in metrics]
    low, high = mean_interval(last)
    return {
        "last epoch (%)": _mean(last),
        "sd": stdev(last) if len(last) > 1 else NAN,
        "n": len(last),
        "low": low,
        "high": high,
        "best epoch (%)": _mean([figures["best_accuracy"] for figures in metrics]),
        "parameters": _mean([figures["parameters"] for figures in metrics]),
        "minutes": _mean([figures["wall_seconds"] / 60 for figures in metrics]),
        "images/s": _mean([run.history["images_per_second"].median() for run in runs]),
        "split": ", ".join(sorted({figures["split"] for figures in metrics})),
        "device": "; ".join(sorted({device_of(run) for run in runs})),
    }


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else NAN


def reference_row(repetition: Repetition) -> Experiment:
    """What the rows are compared with: the paper's final configuration, or the best mean where that one did not run."""
    ran = {each.row: each for each in repetition.table.experiments if each.row in repetition.runs}
    if FINAL in ran:
        return ran[FINAL]
    return ran[max(ran, key=lambda row: fmean(_by_seed(repetition.runs[row]).values()))]


def differences(repetition: Repetition) -> pd.DataFrame:
    """Each row that ran against `reference_row`: points with a 95 % interval, p-values and a verdict in words.

    Rows of the same seeds are compared seed by seed, others by Welch's test; Holm's correction is over this table, and
    the verdict goes by it.
    """
    reference = reference_row(repetition)
    against = _by_seed(repetition.runs[reference.row])
    others = [e for e in repetition.table.experiments if e.row in repetition.runs and e.row != reference.row]
    found = [difference(_by_seed(repetition.runs[e.row]), against) for e in others]
    return _compared([e.label for e in others], found)


def _compared(labels: Sequence[str], found: Sequence[Difference]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "difference": [each.points for each in found],
            "low": [each.low for each in found],
            "high": [each.high for each in found],
            "test": [each.test for each in found],
            "p": [each.p for each in found],
            "p (Holm)": holm([each.p for each in found]),
        },
        index=pd.Index(labels, name=""),
    )
    verdicts = [verdict(each, p) for each, p in zip(found, frame["p (Holm)"], strict=True)]
    return frame.assign(verdict=pd.Series(verdicts, index=frame.index, dtype=object))


def _by_seed(runs: Iterable[Run]) -> dict[int, float]:
    return {settings_of(run)["seed"]: run.metrics["last_accuracy"] for run in runs}


def gaps(repetition: Repetition) -> pd.DataFrame:
    """How much better each row knows its training images, without augmentation, than the validation images.

    The gap, training minus validation accuracy of the last epoch, is in points; `sd` is its standard deviation.
    """
    rows = []
    for experiment in repetition.table.experiments:
        metrics = [run.metrics for run in repetition.runs.get(experiment.row, ())]
        apart = gap_of_each(repetition.runs.get(experiment.row, ()))
        rows.append(
            {
                "": experiment.label,
                "epochs": _mean([figures["epochs"] for figures in metrics]),
                "training, plain (%)": _mean([figures["train_accuracy"] for figures in metrics]),
                "validation (%)": _mean([figures["last_accuracy"] for figures in metrics]),
                "gap": _mean(apart),
                "sd": stdev(apart) if len(apart) > 1 else NAN,
                "n": len(apart),
            }
        )
    return pd.DataFrame(rows).set_index("")


def gap_of_each(runs: Iterable[Run]) -> list[float]:
    """Accuracy on the training images without augmentation minus that on the validation images, in points, a run."""
    return [run.metrics["train_accuracy"] - run.metrics["last_accuracy"] for run in runs]


def tried(runs: Iterable[Run], base_name: str = "quick") -> pd.DataFrame:
    """What was tried on the way to a recipe: the runs `<base_name>-tried-<what>[-seed<N>]` beside those of the recipe.

    A row a variant, the most accurate first. What differs is read from the records, never from a name; each variant is
    compared with the recipe on the same images, Holm's correction over all of them. Empty where nothing was tried.
    """
    variants = variants_of(runs, base_name)
    bases = {images: group for (name, _, images), group in variants.items() if name == base_name}
    others = {key: group for key, group in variants.items() if key[0] != base_name}
    found = {
        key: difference(_by_seed(group), _by_seed(bases[key[2]])) for key, group in others.items() if key[2] in bases
    }
    corrected = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    rows = []
    for key, group in variants.items() if others else ():
        name, differs, images = key
        compared = {"difference": NAN, "verdict": "reference" if name == base_name else "nothing to compare with"}
        if key in found:
            compared = {"difference": found[key].points, "verdict": verdict(found[key], corrected[key])}
        kept = {column: figures for column, figures in _figures(group).items() if column in TRIED}
        rows.append({"tried": name, "differs in": differs} | kept | compared | {"images": images})
    columns = ["tried", "differs in", *TRIED[:3], "difference", "verdict", *TRIED[3:], "images"]
    return pd.DataFrame(rows, columns=columns).set_index("tried").sort_values(TRIED[0], ascending=False)


def variants_of(runs: Iterable[Run], base_name: str) -> dict[tuple[str, str, str], list[Run]]:
    """The runs of a recipe and of what was tried for it, by name, what differs from the recipe, and images."""
    variants = defaultdict(list)
    for run in runs:
        differs = differences_in_recipe(run, RECIPES[base_name])
        attempt = re.fullmatch(rf"{re.escape(base_name)}-tried-(.+?)(-seed\d+)?", run.name)
        if attempt:
            variants[attempt[1], differs or "nothing in the recipe", data_of(run)].append(run)
        elif not differs:
            variants[base_name, "the recipe itself", data_of(run)].append(run)
    return dict(variants)


def differences_in_recipe(run: Run, base: Recipe) -> str:
    """What a run's record has other than a recipe, the seed aside, in words; settings that no longer exist included."""
    ours, theirs = settings_of(run), base.as_dict()
    changed = [name for name in ours if name != "seed" and ours[name] != theirs.get(name)]
    return ", ".join(
        f"{name} {ours[name]!r}" + (f" instead of {theirs[name]!r}" if name in theirs else " (no setting any more)")
        for name in changed
    )


def single_runs(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a run, the highest accuracy of the last epoch first, with the settings that runs differ in most often."""
    rows = []
    for run in runs:
        metrics, figures = run.metrics, _figures([run])
        kept = ("last epoch (%)", "best epoch (%)", "parameters", "minutes", "images/s", "split", "device")
        settings = {name: settings_of(run)[name] for name in SETTINGS}
        plain = {"training, plain (%)": metrics["train_accuracy"], "epochs": metrics["epochs"]}
        rows.append({"run": run.name} | {name: figures[name] for name in kept} | plain | settings)
    frame = pd.DataFrame(rows, columns=None if rows else ["run", "last epoch (%)"])
    return frame.set_index("run").sort_values("last epoch (%)", ascending=False)


def by_recipe(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a recipe, the runs of its seeds taken together, the highest mean of the last epoch first."""
    groups = defaultdict(list)
    for run in runs:
        settings = settings_of(run) | {"seed": None}
        groups[re.sub(r"-seed\d+$", "", run.name), tuple(settings.items()), data_of(run)].append(run)
    rows = []
    for (name, _, _), group in groups.items():
        metrics = [run.metrics for run in group]
        plain = _mean([figures["train_accuracy"] for figures in metrics])
        figures = _figures(group) | {"training, plain (%)": plain, "epochs": metrics[0]["epochs"]}
        rows.append({"run": name} | {column: figures[column] for column in RECIPE_COLUMNS})
    return pd.DataFrame(rows, columns=["run", *RECIPE_COLUMNS]).set_index("run").sort_values(TRIED[0], ascending=False)


def other_runs(runs: Iterable[Run], found: Iterable[Repetition]) -> list[Run]:
    """The runs that stand in none of the found tables and were not tried for a recipe."""
    told = {_identity(run) for repetition in found for group in repetition.runs.values() for run in group}
    return [run for run in runs if _identity(run) not in told and "-tried-" not in run.name]


def _identity(run: Run) -> tuple:
    return tuple(settings_of(run).items()), data_of(run)
