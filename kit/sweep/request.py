"""What a command line asks of a sweep, checked as far as it can be checked without torch, data and run folders."""

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from kit import parameters
from kit.ablation import TABLES, Experiment, at_scale, is_about_epochs, table_named
from kit.errors import KitError
from kit.parameters import Settings
from kit.recipe import PAPER, RECIPES, RULES, Recipe, recipe_named
from kit.rules import Rule

LOCAL, RAY, SLURM = "local", "ray", "slurm"
SHARED = ("data", "amp", "compile", "max_hours", "epochs", "split")  # parameters that all runs of a sweep share
TIME = "4:00:00"  # a task that has not ended by then saves, and goes on in its next turn
_ANY, _NONE = "any", "none"
_SLURM_OPTIONS = ("partition", "account", "time", "gpu", "cpus", "set")
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
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Request:
    """A sweep as the command line asks for it.

    Attributes:
        title: what it is about.
        experiments: the rows.
        seeds: every row is trained with each.
        epochs: replace the paper's 200; None keeps every row's own number.
        arch_scale: factor on every layer's channels.
        split: how all runs divide the images; None keeps every row's own way.
        settings: data, precision, compilation and time limit, which all runs share.
        jobs: runs at once; None is one per GPU.
        place: where they run: local, ray, slurm, or the address of a Ray cluster.
        slurm: options of sbatch, by name.
        keep: whether records of finished runs are copied to notebooks/results.
        push: whether the runs are sent to Kaggle instead.
        competition: whose data a pushed run gets; None is the usual one.
        dry_run: whether it is listed alone.
    """

    title: str
    experiments: tuple[Experiment, ...]
    seeds: tuple[int, ...]
    epochs: int | None
    arch_scale: float
    split: str | None
    settings: Settings
    jobs: int | None
    place: str
    slurm: dict[str, str]
    keep: bool
    push: bool
    competition: str | None
    dry_run: bool

    def recipe(self, experiment: Experiment, seed: int) -> Recipe:
        """The recipe of a row with a seed, at this sweep's scale."""
        return at_scale(experiment.row, self.epochs, self.arch_scale).replace(seed=seed, split=self.split)

    @property
    def scale(self) -> str:
        """What is shrunk or changed, in words; empty at full scale."""
        lengths = {PAPER.epochs if is_about_epochs(each.row) else each.recipe.epochs for each in self.experiments}
        changed = []
        if self.epochs is not None and lengths != {self.epochs}:
            before = ", ".join(map(str, sorted(lengths)))
            changed.append(f"{self.epochs} epoch{'s' * (self.epochs > 1)} in place of {before}")
        if self.arch_scale != 1:
            changed.append(f"channels x {self.arch_scale:g}")
        shrunk = self.arch_scale <= 1 and (self.epochs is None or self.epochs <= min(lengths))
        return f"{'shrunk' if shrunk else 'changed'}: {', '.join(changed)}" if changed else ""

    @property
    def heading(self) -> str:
        """What the sweep is about, and what is shrunk."""
        return f"{self.title}; {self.scale}" if self.scale else self.title


def read_request(options: Namespace) -> Request:
    """The sweep that a command line asks for.

    Raises:
        KitError: a table, row, seed, scale, place or number is refused, a parameter is not one that the runs of a sweep
            can share, or two rows are one recipe.
    """
    _check_together(options)
    title, experiments = _experiments(options.table, options.rows)
    given = parameters.given(options)
    if strange := next((name for name in given if name not in SHARED), None):
        usual = f"{strange} is not for a sweep, whose rows say it (all runs share: {', '.join(SHARED)})"
        raise KitError(_ELSEWHERE.get(strange, usual))
    settings = parameters.check("train", given)
    request = Request(
        title=title,
        experiments=tuple(experiments),
        seeds=tuple(parse_seeds(options.seeds)),
        epochs=settings.recipe.epochs if "epochs" in given else None,
        arch_scale=1.0 if options.arch_scale is None else _SCALE.check("arch-scale", options.arch_scale),
        split=given.get("split"),
        settings=settings,
        jobs=None if options.jobs is None else _JOBS.check("jobs", options.jobs),
        place=check_place(options.on),
        slurm=slurm_options(options),
        keep=options.keep,
        push=options.push,
        competition=options.competition,
        dry_run=options.dry_run,
    )
    _check_distinct(request)
    return request


def _check_together(options: Namespace) -> None:
    """Refuse options of other places: what is about this machine in a sweep for Kaggle, and the other way round."""
    if options.competition is not None and not options.push:
        raise KitError("--competition says whose data a pushed sweep gets: add --push, or leave it out")
    if options.push and options.keep:
        raise KitError("--keep copies what has ended here: leave it out with --push, and give it once all is pulled")
    if options.push and options.jobs is not None:
        raise KitError("--jobs is about this machine: leave it out with --push, which makes every run a kernel")
    if options.push and options.on is not None:
        raise KitError("--on and --push are two places for the runs: leave one of them out")


def parse_seeds(text: str | None) -> list[int]:
    """The seeds that a word of the command line means: `3` is 1, 2, 3; `1,2,5` and `7,` are lists; None is 1.

    Raises:
        KitError: no whole numbers, a number below 1 or above MOST_SEEDS, or a seed twice.
    """
    words = [word.strip() for word in (text or "1").removesuffix(",").split(",")]
    try:
        seeds = [int(word) for word in words]
    except ValueError:
        seeds = []
    if "," not in (text or ""):
        number = min(seeds, default=0)
        if number > MOST_SEEDS:
            raise KitError(f"a sweep takes at most {MOST_SEEDS} seeds, not {number}: for one seed write `{number},`")
        seeds = list(range(1, number + 1))
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


def _check_distinct(request: Request) -> None:
    """Refuse rows that are one recipe, since a table of them would compare a recipe with itself."""
    recipes = [(experiment, request.recipe(experiment, 0)) for experiment in request.experiments]
    for (first, ours), (second, theirs) in combinations(recipes, 2):
        if ours != theirs:
            continue
        if RECIPES[first.row] == RECIPES[second.row]:
            raise KitError(f"{first.row} and {second.row} are one recipe: leave one of them out with --rows")
        raise KitError(
            f"{first.row} and {second.row} become one recipe at this scale: give more --epochs (multiples of 4 keep "
            "every row apart), another --arch-scale, or leave one of them out with --rows"
        )


def check_place(on: str | None) -> str:
    """The place that `--on` names: local, ray, slurm, or the address of a Ray cluster.

    Raises:
        KitError: it is none of these.
    """
    place = (on or LOCAL).strip()
    if place in (LOCAL, RAY, SLURM) or re.fullmatch(r"ray://\S+|[\w.-]+:\d+", place):
        return place
    raise KitError(f"--on has to be local, ray, slurm, or Ray's address (ray://HEAD:10001 or HEAD:PORT), not {place!r}")


def slurm_options(options: Namespace) -> dict[str, str]:
    """What sbatch gets, by name, from the `--slurm-...` options.

    Raises:
        KitError: an option is given without `--on slurm`, or has a value that it does not allow.
    """
    given = {name: value for name in _SLURM_OPTIONS if (value := getattr(options, f"slurm_{name}")) is not None}
    if given and check_place(options.on) != SLURM:
        raise KitError(f"--slurm-{next(iter(given))} is for --on slurm: add it, or leave the option out")
    cpus, gpu = given.get("cpus", "4"), given.get("gpu", _ANY)
    if not re.fullmatch(r"[1-9]\d*", cpus):
        raise KitError(f"--slurm-cpus has to be a whole number from 1, not {cpus!r}")
    if not re.fullmatch(r"[\w.-]+", gpu):
        raise KitError(f"--slurm-gpu has to be any, none, or a kind of GPU such as a100, not {gpu!r}")
    chosen: dict[str, str] = {name: given[name] for name in ("partition", "account") if name in given}
    chosen |= {"time": given.get("time", TIME), "cpus-per-task": cpus}
    if gpu != _NONE:
        chosen["gres"] = "gpu:1" if gpu == _ANY else f"gpu:{gpu}:1"
    for words in given.get("set", ()):
        name, equals, value = words.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z-]*", name):
            raise KitError(f"--slurm-set has to be an option of sbatch such as qos=high, not {words!r}")
        chosen[name] = value
    return chosen
