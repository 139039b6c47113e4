"""Sort finished runs into the paper's tables: which row each of them repeats, and at which scale.

The run of a sweep says so in its config.json (`mark`). Any other run repeats a row if its recipe is that row's own,
whatever its seed and its split. The name of a run does not matter.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kit.ablation.experiments import TABLES, Table, at_scale
from kit.data import CLASSES
from kit.errors import KitError
from kit.model import parse
from kit.recipe import PAPER, RECIPES, Recipe
from kit.run import RESULTS, Run, all_runs, readable
from kit.system import files
from kit.system.paths import workspace

FINAL = "paper"  # the row that every table has: the paper's final configuration


@dataclass(frozen=True)
class Images:
    """The images that trained and validated a run. Runs with the same images can be compared.

    Attributes:
        kind: what they show, in words.
        trained: number of training images.
        validated: number of validation images.
        split: the recipe's split.
    """

    kind: str
    trained: int
    validated: int
    split: str

    def __str__(self) -> str:
        validated = f"validated on {self.validated:,} ({self.split} split)"
        return f"{self.kind}, trained on {self.trained:,} images, {validated}"


PAPERS_IMAGES = Images("CIFAR-10", 50_000, 10_000, "paper")


@dataclass(frozen=True)
class Scale:
    """The size of a repetition of the paper's experiment, and its images.

    Attributes:
        epochs: replaces the paper's 200.
        arch_scale: factor on the channels of every layer.
        data: the images that trained and validated.
    """

    epochs: int
    arch_scale: float
    data: Images

    @property
    def full(self) -> bool:
        """Whether it is the paper's own scale."""
        return self.epochs == PAPER.epochs and self.arch_scale == 1 and self.data == PAPERS_IMAGES

    def __str__(self) -> str:
        length = f"{self.epochs} epoch{'s' * (self.epochs > 1)}"
        length += f" in place of {PAPER.epochs}" if self.epochs != PAPER.epochs else ""
        width = "all channels" if self.arch_scale == 1 else f"channels x {self.arch_scale:g}"
        return f"{'Full scale' if self.full else 'Shrunk'}: {length}, {width}; {self.data}"


@dataclass(frozen=True)
class Repetition:
    """A table of the paper, repeated at one scale.

    Attributes:
        name: the table's key in TABLES.
        table: its rows and the paper's figures.
        scale: the scale of the runs.
        runs: by row, the runs in the order of their seeds, one per seed; rows without a run are missing.
    """

    name: str
    table: Table
    scale: Scale
    runs: dict[str, tuple[Run, ...]]

    @property
    def members(self) -> set[Run]:
        """The runs of all rows."""
        return {run for runs in self.runs.values() for run in runs}


def finished_runs(*folders: Path) -> list[Run]:
    """The finished runs of the folders, by default notebooks/results/ and runs/.

    If a run and its kept record both exist (same name, recipe and images), the later one is returned. Records of other
    training code than kit.train, which have an entry `way`, are left out.
    """
    folders = folders or (RESULTS, workspace() / "runs")
    runs = readable(run for folder in folders for run in all_runs(folder) if run.finished)
    found = (run for run in runs if "way" not in run.config)
    return list({(run.name, identity_of(run)): run for run in found}.values())


def kept_course(run: Run, folder: Path = RESULTS) -> tuple[pd.DataFrame, int] | None:
    """The mean history of the kept records of a run's recipe, of any seed, and how many they are; None without any.

    The run may be unfinished. Its classes and the number of its images have to be those of the record.
    """
    wanted = _apart_from_seed(run)
    records = [kept for kept in readable(all_runs(folder)) if "way" not in kept.config]
    histories = [kept.history for kept in records if kept.finished and _apart_from_seed(kept) == wanted]
    return (pd.concat(histories).groupby("epoch", as_index=False).mean(), len(histories)) if histories else None


def _apart_from_seed(run: Run) -> dict[str, Any]:
    return settings_of(run) | {"seed": None, "classes": run.config["classes"], "images": run.config["images"]}


def recipe_of(run: Run) -> Recipe | None:
    """The run's recipe, with today's defaults for settings that its record lacks.

    None if the record has a setting or a value that Recipe no longer has.
    """
    try:
        return run.recipe
    except KitError:
        return None


def settings_of(run: Run) -> dict[str, Any]:
    """The recorded settings, also those that Recipe no longer has, and today's defaults for those that it lacks."""
    return Recipe().as_dict() | run.config["recipe"]


def differences_in_recipe(run: Run, base: Recipe, aside: Sequence[str] = ("seed",), beside: bool = True) -> str:
    """The settings in which a run's record differs from a recipe, in words; also those that Recipe no longer has.

    Args:
        run: its record is read.
        base: the recipe.
        aside: settings that are left out.
        beside: whether to name the recipe's own value of each setting.
    """
    ours, theirs = settings_of(run), base.as_dict()
    changed = [name for name in ours if name not in aside and ours[name] != theirs.get(name)]
    words = {name: f"{name} {ours[name]!r}" for name in changed}
    for name in changed:
        if name not in theirs:
            words[name] += " (no setting any more)"
        elif beside:
            words[name] += f" instead of {theirs[name]!r}"
    return ", ".join(words.values())


def attempt_of(run: Run) -> tuple[str, str] | None:
    """The recipe's name and what was tried, for a run called `<recipe>-tried-<what>[-seed<N>]`; otherwise None."""
    found = re.fullmatch(r"(.+?)-tried-(.+?)(-seed\d+)?", run.name)
    return (found[1], found[2]) if found and found[1] in RECIPES else None


def identity_of(run: Run) -> tuple:
    """Every setting with the seed, and the images: equal for two runs if they are the same training, or repeat it."""
    return tuple(settings_of(run).items()), data_of(run)


def mark(run: Run, row: str, epochs: int, arch_scale: float) -> None:
    """Write into the run's config.json which row it repeats at which scale, unless it says so already.

    Args:
        run: a run that nobody is training.
        row: a name in RECIPES.
        epochs: the number that replaced the paper's 200, as in `at_scale`.
        arch_scale: factor on the channels of every layer.

    Raises:
        KitError: the file is damaged, or cannot be written.
    """
    config = run.config
    label = {"row": row, "scale": {"epochs": epochs, "channels": arch_scale}}
    if {name: config.get(name) for name in label} == label:
        return
    before = run.config_path.stat()
    files.write_json(run.config_path, config | label)
    os.utime(run.config_path, ns=(before.st_atime_ns, before.st_mtime_ns))  # this time says when the run was started


def data_of(run: Run) -> Images:
    """The images that trained and validated a run."""
    classes, figures = tuple(run.config["classes"]), run.metrics
    noise = " with noise" if "noise" in run.config.get("data", "") else ""
    known = {CLASSES: "CIFAR-10", tuple(map(str, range(10))): f"handwritten digits{noise}"}
    kind = known.get(classes, f"{len(classes)} classes, {classes[0]} first")
    return Images(kind, figures["training_images"], figures["validation_images"], figures["split"])


def device_of(run: Run) -> str:
    """The hardware that trained a run and the type of its matrix products, in words."""
    config = run.config
    processes = f"{config['processes']} x " if config.get("processes", 1) > 1 else ""
    threads = f"{config['threads']} thread{'s' if config['threads'] > 1 else ''}"
    return f"{processes}{config['device']}, {threads}, {config['amp']}"


def repetitions(name: str, runs: Iterable[Run]) -> list[Repetition]:
    """The table called `name` at every scale at which there is something to compare.

    That is two rows that have runs, or, at full scale, one row beside a figure of the paper. Full scale comes first,
    then the scale with most runs.
    """
    table = TABLES[name]
    by_scale = _runs_by_scale(table, runs)
    found = []
    for scale in sorted(by_scale, key=lambda scale: _rank(scale, by_scale[scale])):
        rows = by_scale[scale]
        runs_of = {row: tuple(rows[row][seed] for seed in sorted(rows[row])) for row in table.rows if row in rows}
        printed = any(each.paper_accuracy for each in table.experiments if each.row in rows)
        if len(rows) > 1 or (scale.full and printed):
            found.append(Repetition(name, table, scale, runs_of))
    return found


def all_repetitions(runs: Iterable[Run]) -> list[Repetition]:
    """The repetitions of all tables, in the order of TABLES."""
    runs = list(runs)
    return [repetition for name in TABLES for repetition in repetitions(name, runs)]


def _runs_by_scale(table: Table, runs: Iterable[Run]) -> dict[Scale, dict[str, dict[int, Run]]]:
    """The table's runs by scale, row and seed. If two runs have the same recipe and seed, the later one counts."""
    found: dict[Scale, dict[str, dict[int, Run]]] = defaultdict(dict)
    for run in runs:
        recipe = recipe_of(run)
        repeated = _repeated(run, recipe) if recipe else None
        if recipe is None or repeated is None:
            continue
        full, epochs, arch_scale = repeated
        for experiment in table.experiments:
            if _alike(experiment.recipe, full):
                found[Scale(epochs, arch_scale, data_of(run))].setdefault(experiment.row, {})[recipe.seed] = run
    return found


def _repeated(run: Run, recipe: Recipe) -> tuple[Recipe, int, float] | None:
    """The recipe at full scale that a run repeats, and the scale's epochs and factor on the channels.

    None if config.json names a row that has changed since, so that it no longer gives the run's recipe.
    """
    config = run.config
    if "row" not in config or "scale" not in config:
        return recipe, PAPER.epochs, 1.0
    row, epochs, arch_scale = config["row"], config["scale"]["epochs"], config["scale"]["channels"]
    try:
        return (RECIPES[row], epochs, arch_scale) if _alike(recipe, at_scale(row, epochs, arch_scale)) else None
    except KitError:  # there is no such row any more, or the scale is not valid
        return None


def _alike(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes differ in seed and split at most; an architecture may be named or spelt out."""
    return parse(one.arch) == parse(other.arch) and one == other.replace(arch=one.arch, seed=one.seed, split=one.split)


def _rank(scale: Scale, rows: dict[str, dict[int, Run]]) -> tuple:
    """Key to sort by: full scale first, then most runs, then scales with the final row, then the larger scale."""
    members = {run for seeds in rows.values() for run in seeds.values()}
    return not scale.full, -len(members), FINAL not in rows, -scale.arch_scale, -scale.epochs
