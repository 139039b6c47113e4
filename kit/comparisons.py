"""Runs beside each other and beside the paper: accuracies, differences, gaps and what was tried, as data frames."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kit.experiments import Experiment
from kit.recipe import RECIPES, Recipe
from kit.records import FINAL, Images, Repetition, data_of, device_of, identity_of, settings_of
from kit.run import Run
from kit.significance import Difference, difference, holm, mean_interval, verdict

NAN = float("nan")
LAST = "last epoch (%)"
SETTINGS = ("arch", "optimizer", "lr", "lookahead_k", "augment", "cutout", "mixup_alpha", "label_smoothing", "seed")


class Variant(NamedTuple):
    """What a group of runs, alike but for their seeds, is of a recipe.

    Attributes:
        name: what was tried, or the recipe's own name.
        differs: what the records have other than the recipe, in words.
        images: that trained and validated.
    """

    name: str
    differs: str
    images: Images


def accuracies(repetition: Repetition) -> pd.DataFrame:
    """A row an experiment: the paper's figures and ours; n is 0 and ours are nan where nothing ran.

    The standard deviation `sd` has n - 1 degrees of freedom, `low` to `high` is the 95 % t-interval of the mean of the
    last epoch; accuracies are in %, minutes and images a second means over the runs.
    """
    rows = []
    for experiment in repetition.table.experiments:
        printed = {"paper (%)": experiment.paper_accuracy, "paper's parameters": experiment.paper_parameters}
        rows.append({"": experiment.label} | printed | _figures(repetition.runs.get(experiment.row, ())))
    columns = [LAST, "sd", "n", "low", "high", "best epoch (%)", "parameters"]
    columns = ["paper (%)", *columns, "paper's parameters", "minutes", "images/s", "split", "device"]
    frame = pd.DataFrame(rows).set_index("").astype(dict.fromkeys(printed, float))[columns]
    return frame.drop(columns=[column for column in printed if frame[column].isna().all()])


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Every figure of runs that are alike but for their seeds, averaged; nan and "" of no runs."""
    metrics = [run.metrics for run in runs]
    histories = [run.history for run in runs if not run.history.empty]
    last = [figures["last_accuracy"] for figures in metrics]
    low, high = np.clip(mean_interval(last), 0, 100)  # of two seeds it can leave what an accuracy can be
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
        "minutes": _mean([figures["wall_seconds"] / 60 for figures in metrics]),
        "images/s": _mean([each["images_per_second"].median() for each in histories]),
        "split": ", ".join(sorted({figures["split"] for figures in metrics})),
        "device": "; ".join(sorted({device_of(run) for run in runs})),
    }


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else NAN


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else NAN


def reference_row(repetition: Repetition) -> Experiment:
    """What the rows are compared with: the paper's final configuration, or the first row where that one did not run.

    It is fixed before any result is known: against the best of k means, Holm's correction over k - 1 tests would find
    differences between equals more often than at 5 %.
    """
    ran = {each.row: each for each in repetition.table.experiments if each.row in repetition.runs}
    return ran.get(FINAL) or next(iter(ran.values()))


def differences(repetition: Repetition) -> pd.DataFrame:
    """Each row that ran against `reference_row`: points with a 95 % interval, p-values and a verdict in words.

    Rows are compared seed by seed where one has all seeds of the other, and then over their common seeds, which `test`
    counts; others by Welch's test. Holm's correction is over this table, and the verdict goes by it.
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
            "test": [each.test + (f", n = {each.seeds}" if each.paired else "") for each in found],
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
        runs = repetition.runs.get(experiment.row, ())
        figures, apart = _figures(runs), gap_of_each(runs)
        figures |= {"validation (%)": figures[LAST], "gap": _mean(apart), "sd": _deviation(apart)}
        rows.append({"": experiment.label} | figures)
    columns = ["epochs", "training, plain (%)", "validation (%)", "gap", "sd", "n"]
    return pd.DataFrame(rows).set_index("")[columns]


def gap_of_each(runs: Iterable[Run]) -> list[float]:
    """Accuracy on the training images without augmentation minus that on the validation images, in points, a run."""
    return [run.metrics["train_accuracy"] - run.metrics["last_accuracy"] for run in runs]


def tried(runs: Iterable[Run], base_name: str = "quick") -> pd.DataFrame:
    """What was tried on the way to a recipe: the runs `<base_name>-tried-<what>[-seed<N>]` beside those of the recipe.

    A row a variant, the most accurate first. What differs is read from the records, never from a name; each variant is
    compared with the recipe on the same images, Holm's correction over all of them. Empty where nothing was tried.
    """
    variants = variants_of(runs, base_name)
    tries = [variant for variant in variants if variant.name != base_name]
    bases = [variant for variant in variants if variant.name == base_name]
    rows = [
        {"tried": v.name, "differs in": v.differs, "images": str(v.images)} | _figures(variants[v])
        for v in bases + tries
    ]
    reference = {variant.images: _by_seed(variants[variant]) for variant in bases}
    found = [difference(_by_seed(variants[v]), reference.get(v.images, {})) for v in tries]
    frame = pd.DataFrame(rows, columns=["tried", "differs in", "images", *_figures([])])
    compared = _compared(range(len(bases), len(rows)), found)[["difference", "verdict"]]
    frame = frame.join(compared).fillna({"verdict": "reference"}).set_index("tried")
    columns = ["differs in", LAST, "sd", "n", "difference", "verdict", "parameters", "minutes", "images"]
    return frame[columns].sort_values(LAST, ascending=False)[: len(rows) if tries else 0]


def variants_of(runs: Iterable[Run], base_name: str) -> dict[Variant, list[Run]]:
    """The runs of a recipe, whatever they are called, and those that were tried for it; of a seed, the last."""
    variants = defaultdict(dict)
    for run in runs:
        differs = differences_in_recipe(run, RECIPES[base_name])
        attempt = re.fullmatch(rf"{re.escape(base_name)}-tried-(.+?)(-seed\d+)?", run.name)
        if attempt:
            variant = Variant(attempt[1], differs or "nothing in the recipe", data_of(run))
        elif not differs:
            variant = Variant(base_name, "the recipe itself", data_of(run))
        else:
            continue
        variants[variant][settings_of(run)["seed"]] = run
    return {variant: list(by_seed.values()) for variant, by_seed in variants.items()}


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
    columns = [LAST, "best epoch (%)", "training, plain (%)", "epochs", "parameters", "minutes", "images/s"]
    columns = ["run", *columns, "split", "device", *SETTINGS]
    rows = [{"run": run.name} | _figures([run]) | settings_of(run) | {"epochs": run.metrics["epochs"]} for run in runs]
    return pd.DataFrame(rows, columns=columns).set_index("run").sort_values(LAST, ascending=False)


def by_recipe(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a recipe and images, its seeds taken together under the last name, the highest mean first.

    Of a seed that was trained twice, or kept under another name, the last run counts.
    """
    groups = defaultdict(dict)
    for run in runs:
        settings = settings_of(run)
        groups[tuple((settings | {"seed": None}).items()), data_of(run)][settings["seed"]] = run
    seeds = [list(by_seed.values()) for by_seed in groups.values()]
    rows = [{"run": re.sub(r"-seed\d+$", "", group[-1].name)} | _figures(group) for group in seeds]
    return pd.DataFrame(rows, columns=["run", *_figures([])]).set_index("run").sort_values(LAST, ascending=False)


def other_runs(runs: Iterable[Run], found: Iterable[Repetition]) -> list[Run]:
    """The runs that stand in none of the found tables and were not tried for a recipe."""
    told = {identity_of(run) for repetition in found for run in repetition.members}
    return [run for run in runs if identity_of(run) not in told and "-tried-" not in run.name]


def histories(runs: Iterable[Run]) -> dict[str, pd.DataFrame]:
    """The histories of the runs that have one, by their names; the second of a name is called name (2), and so on."""
    found = {}
    for run in (run for run in runs if not run.history.empty):
        names = (run.name if count == 1 else f"{run.name} ({count})" for count in itertools.count(1))
        found[next(name for name in names if name not in found)] = run.history
    return found
