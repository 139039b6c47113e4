"""What a sweep consists of: the rows that were asked for, times the seeds, and what there is of each run already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.ablation import Experiment, differences_in_recipe, is_about_epochs, mark, recipe_of
from kit.data import classes_of
from kit.errors import KitError
from kit.model import check_budget, draft
from kit.recipe import PAPER, RECIPES, Recipe
from kit.run import Run
from kit.sweep.request import Request
from kit.system.paths import EMBEDDED


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
    """All runs of a sweep.

    Attributes:
        request: what was asked for: how the runs work, and where.
        trials: row after row within every seed, so that a sweep cut short has compared all rows.
    """

    request: Request
    trials: tuple[Trial, ...]

    @property
    def unfinished(self) -> list[Trial]:
        """The runs still to do."""
        return [trial for trial in self.trials if not trial.finished]

    @property
    def conflicts(self) -> dict[str, str]:
        """The reasons why runs cannot be done, by name."""
        return {trial.name: reason for trial in self.trials if (reason := trial.conflict)}


def planned(request: Request) -> Sweep:
    """The sweep that was asked for, checked before anything starts.

    Raises:
        KitError: a network is over the budget, or a run was trained on other images.
    """
    trials = tuple(_trial(request, experiment, seed) for seed in request.seeds for experiment in request.experiments)
    for trial in trials[: len(request.experiments)]:
        _check_trial(trial)
    _check_data([trial for trial in trials if trial.begun], request.settings.data)
    return Sweep(request, trials)


def _trial(request: Request, experiment: Experiment, seed: int) -> Trial:
    """A run whose name says what makes its figures others than those of the row's own run."""
    row, settings, epochs, scale = experiment.row, request.settings, request.epochs, request.arch_scale
    recipe = request.recipe(experiment, seed)
    words = [
        f"{epochs}epoch{'s' * (epochs != 1)}" if recipe.epochs != RECIPES[row].epochs else "",
        f"x{scale:g}" if scale != 1 else "",
        recipe.split if recipe.split != RECIPES[row].split else "",
        settings.data if settings.data in EMBEDDED else "",
        settings.amp if settings.amp != "auto" else "",
    ]
    length = epochs or (PAPER.epochs if is_about_epochs(row) else recipe.epochs)
    return Trial(experiment, recipe, "-".join([row, *filter(None, words), f"seed{seed}"]), (length, scale))


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
