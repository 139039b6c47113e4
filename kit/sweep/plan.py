"""What a sweep consists of: the rows of a table, or rows by name, times the seeds; checked before anything starts."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from kit import parameters
from kit.ablation import (
    TABLES,
    Experiment,
    at_scale,
    differences_in_recipe,
    is_about_epochs,
    mark,
    recipe_of,
    table_named,
)
from kit.data import classes_of
from kit.errors import KitError
from kit.model import check_budget, draft
from kit.parameters import Settings
from kit.recipe import PAPER, RECIPES, RULES, Recipe, recipe_named
from kit.rules import Rule
from kit.run import Run
from kit.sweep.command import SHARED
from kit.sweep.engines import check_place, slurm_options
from kit.system.paths import EMBEDDED

_ELSEWHERE = {
    "gpus": "a sweep gives every run one GPU: leave --gpus out (--jobs says how many runs at once)",
    "run": "a sweep names its runs by row, scale and seed: leave --run out",
    "resume": "a sweep always goes on: leave --resume out, and remove the folder of a run that shall start over",
    "seed": "a sweep takes its seeds together: use `--seeds 7,` (with the comma) for the single seed 7",
    "recipe": "a sweep takes its recipes together: use --rows",
}
_SCALE = Rule("factor on every layer's channels", float, low=0, open_low=True)
_JOBS = Rule("runs at once", int, low=1)
_SEED = RULES["seed"]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: a row with one seed, at the sweep's scale.

    Attributes:
        experiment: the row.
        recipe: the row's recipe at this scale, with the seed.
        name: the run's name.
        scale: the epochs that replace the paper's 200, and the factor on the channels.
    """

    experiment: Experiment
    recipe: Recipe
    name: str
    scale: tuple[int, float]

    @property
    def run(self) -> Run:
        """The run folder, whether or not it exists."""
        return Run(self.name)

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run of this very recipe."""
        return self.run.config_path.is_file() and recipe_of(self.run) == self.recipe

    @property
    def finished(self) -> bool:
        """Whether that run has ended."""
        return self.begun and self.run.finished

    @property
    def conflict(self) -> str | None:
        """Why it cannot run: another recipe's run has its folder."""
        if self.begun or not self.run.config_path.is_file():
            return None
        differences = differences_in_recipe(self.run, self.recipe, aside=())
        return f"{self.run.folder} holds a run of another recipe ({differences}): move it away first"

    @property
    def state(self) -> str:
        """What there is of it, in words."""
        if not self.begun:
            return "another recipe's run" if self.conflict else "to do"
        return "done" if self.finished else f"goes on after {len(self.run.history)} of {self.recipe.epochs} epochs"

    def mark(self) -> None:
        """Write row and scale into the config.json of the finished run, which the paper's tables read.

        Raises:
            KitError: the file is damaged, or cannot be written.
        """
        mark(self.run, self.experiment.row, *self.scale)

    def differences(self) -> str:
        """What the recipe changes of the paper's final configuration, but for the seed."""
        paper = PAPER.as_dict() | {"seed": self.recipe.seed}
        return ", ".join(f"{k} {v}" for k, v in self.recipe.as_dict().items() if v != paper[k]) or "as the paper"

    def parameters(self) -> dict[str, Any]:
        """What the train notebook needs for it: the row, and what the sweep changes of it."""
        row = RECIPES[self.experiment.row].as_dict()
        changed = {k: v for k, v in self.recipe.as_dict().items() if v != row[k]}
        return {"recipe": self.experiment.row, "run": self.name} | changed


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep and how they run.

    Attributes:
        title: what it is about.
        trials: row after row within every seed, so that a sweep cut short has compared all rows.
        settings: data, precision, compilation and time limit, which all share.
        jobs: runs at once; None is one per GPU.
        place: where they run, from `check_place`.
        slurm: options of sbatch, by name.
        scale: what was shrunk or changed, in words; empty at full scale.
    """

    title: str
    trials: tuple[Trial, ...]
    settings: Settings
    jobs: int | None
    place: str
    slurm: dict[str, str]
    scale: str

    @property
    def unfinished(self) -> list[Trial]:
        """The runs still to do."""
        return [trial for trial in self.trials if not trial.finished]

    @property
    def conflicts(self) -> dict[str, str]:
        """The reasons why runs cannot be done, by name."""
        return {trial.name: reason for trial in self.trials if (reason := trial.conflict)}

    @property
    def experiments(self) -> list[Experiment]:
        """The rows, each once, in order."""
        return list(dict.fromkeys(trial.experiment for trial in self.trials))


def _check_place(options: Namespace) -> None:
    """Refuse options of other places: what is about this machine in a sweep for Kaggle, and the other way round."""
    if options.competition is not None and not options.push:
        raise KitError("--competition says whose data a pushed sweep gets: add --push, or leave it out")
    if options.push and options.keep:
        raise KitError("--keep copies what has ended here: leave it out with --push, and give it once all is pulled")
    if options.push and options.jobs is not None:
        raise KitError("--jobs is about this machine: leave it out with --push, which makes every run a kernel")
    if options.push and options.on is not None:
        raise KitError("--on and --push are two places for the runs: leave one of them out")


def planned(options: Namespace) -> Sweep:
    """The sweep that a command line asks for, checked before anything starts.

    Raises:
        KitError: a table, row, seed, scale or number is refused, a parameter is not one that the runs of a sweep can
            share, two rows are one recipe, a network is over the budget, or a run was trained on other images.
    """
    _check_place(options)
    title, experiments = _experiments(options.table, options.rows)
    given = parameters.given(options)
    if strange := next((name for name in given if name not in SHARED), None):
        usual = f"{strange} is not for a sweep, whose rows say it (all runs share: {', '.join(SHARED)})"
        raise KitError(_ELSEWHERE.get(strange, usual))
    settings = parameters.check("train", given)
    epochs = settings.recipe.epochs if "epochs" in given else None
    scale = 1.0 if options.arch_scale is None else _SCALE.check("arch-scale", options.arch_scale)
    trials = tuple(
        _trial(experiment, seed, epochs, scale, settings, given.get("split"))
        for seed in parse_seeds(options.seeds) for experiment in experiments
    )  # fmt: skip
    for trial in trials[: len(experiments)]:
        _check_trial(trial)
    _check_distinct(trials[: len(experiments)])
    _check_data([trial for trial in trials if trial.begun], settings.data)
    jobs = None if options.jobs is None else _JOBS.check("jobs", options.jobs)
    words = _scale_in_words(experiments, epochs, scale)
    return Sweep(title, trials, settings, jobs, check_place(options.on), slurm_options(options), words)


def parse_seeds(text: str | None) -> list[int]:
    """The seeds that a word of the command line means: `3` is 1, 2, 3; `1,2,5` and `7,` are lists; None is 1.

    Raises:
        KitError: no whole numbers, a number below 1, or a seed twice.
    """
    words = [word.strip() for word in (text or "1").removesuffix(",").split(",")]
    try:
        seeds = [int(word) for word in words]
    except ValueError:
        seeds = []
    if "," not in (text or ""):
        seeds = list(range(1, min(seeds, default=0) + 1))
    if not seeds or len(set(seeds)) < len(seeds):
        raise KitError(f"seeds has to be a number from 1, or different seeds such as 1,2,5, not {text!r}")
    return [_SEED.check("a seed", seed) for seed in seeds]


def _experiments(table: str | None, rows: str | None) -> tuple[str, Sequence[Experiment]]:
    """The title and the rows of a sweep."""
    if table is not None and rows is not None:
        raise KitError("a sweep has one list of rows: give --table or --rows, not both")
    if table is not None:
        return table_named(table).title, table_named(table).experiments
    if rows is None:
        raise KitError("a sweep needs its rows: give --table, or --rows (`python -m kit recipes` lists them)")
    names = [name.strip() for name in rows.split(",")]
    for name in names:
        recipe_named(name)
    if len(set(names)) < len(names):
        raise KitError(f"--rows has to name every row once, not {rows!r}")
    return f"rows {', '.join(names)}", [_experiment(name) for name in names]


def _experiment(row: str) -> Experiment:
    """The row as the first table with it has it; by its own name where no table has it."""
    known = (experiment for table in TABLES.values() for experiment in table.experiments if experiment.row == row)
    return replace(next(known, Experiment(row, row)), label=row)


def _trial(
    experiment: Experiment, seed: int, epochs: int | None, scale: float, settings: Settings, split: str | None
) -> Trial:
    """A run whose name says what makes its figures others than those of the row's own run."""
    row = experiment.row
    recipe = at_scale(row, epochs, scale).replace(seed=seed, split=split)
    words = [
        f"{epochs}epoch{'s' * (epochs != 1)}" if recipe.epochs != RECIPES[row].epochs else "",
        f"x{scale:g}" if scale != 1 else "",
        recipe.split if recipe.split != RECIPES[row].split else "",
        settings.data if settings.data in EMBEDDED else "",
        settings.amp if settings.amp != "auto" else "",
    ]
    length = epochs or (PAPER.epochs if is_about_epochs(row) else recipe.epochs)
    return Trial(experiment, recipe, "-".join([row, *filter(None, words), f"seed{seed}"]), (length, scale))


def _check_distinct(trials: Sequence[Trial]) -> None:
    """Refuse rows that are one recipe, since a table of them would compare a recipe with itself."""
    for first, second in combinations(trials, 2):
        if first.recipe == second.recipe:
            rows = first.experiment.row, second.experiment.row
            if RECIPES[rows[0]] == RECIPES[rows[1]]:
                raise KitError(f"{' and '.join(rows)} are one recipe: leave one of them out with --rows")
            raise KitError(
                f"{' and '.join(rows)} become one recipe at this scale: give more --epochs (multiples of 4 keep every "
                "row apart), another --arch-scale, or leave one of them out with --rows"
            )


def _check_trial(trial: Trial) -> None:
    try:
        check_budget(draft(trial.recipe.architecture))
    except KitError as error:
        raise KitError(f"{trial.experiment.row}: {error}") from None


def _check_data(begun: Sequence[Trial], data: str) -> None:
    """Refuse to go on with runs of other images: their recipes do not tell them apart."""
    classes = list(classes_of(data)) if begun else []
    for trial in begun:
        if trial.run.config.get("classes") != classes:
            raise KitError(f"{trial.run.folder} was trained on other images than data {data!r}: move it away first")


def _scale_in_words(experiments: Sequence[Experiment], epochs: int | None, scale: float) -> str:
    lengths = {PAPER.epochs if is_about_epochs(each.row) else each.recipe.epochs for each in experiments}
    changed = []
    if epochs is not None and lengths != {epochs}:
        changed.append(f"{epochs} epoch{'s' * (epochs > 1)} in place of {', '.join(map(str, sorted(lengths)))}")
    if scale != 1:
        changed.append(f"channels x {scale:g}")
    shrunk = scale <= 1 and (epochs is None or epochs <= min(lengths))
    return f"{'shrunk' if shrunk else 'changed'}: {', '.join(changed)}" if changed else ""
