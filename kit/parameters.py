"""The words that notebooks and command line share: each notebook's parameters, checked before any work.

Papermill only warns of a misspelt parameter and turns `-p amp false` into text, so the notebooks hand the variables
that their parameters cell made to `check_cell`, which refuses both. Every value is read by its parameter's own rule, on
every way in: papermill (-p, -r, -f, -y, -b), the command line, torchrun, a sweep's jobs and pushed kernels.
"""

import argparse
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from kit.errors import KitError
from kit.recipe import FAMILY, RECIPES, RULES, Recipe, default_recipe, recipe_named
from kit.rules import HEADER, NOT_GIVEN, RUNNING, SUBMITTING, Rule, parse_header, read, rules_of, setting
from kit.system.precision import COMPILE, PRECISIONS
from kit.tta import chosen_views

KAGGLE_HOURS = 11.5  # a session ends at 12
TRACKERS = {  # by the name of its module, what pip installs
    "tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow-skinny",
}  # fmt: skip
TRACKER = "KIT_TRACK"  # the variable that names one


@dataclass
class Settings:
    """The checked parameters of one notebook; those of the recipe are in `recipe`."""

    recipe: Recipe = field(default_factory=Recipe)
    recipe_name: str = "paper"
    candidates: dict[str, Recipe] = field(default_factory=dict)  # by name, those that a budget may choose from
    data: str = setting("auto", "where the images come from: auto, digits, noisy-digits, a folder, or resize:FOLDER")
    run: str = setting(
        "", "name of the run folder under runs/; empty is the recipe's name in train, and the latest run elsewhere"
    )
    minutes: float = setting(
        0.0, "train about so long: chooses the epochs, and the recipe if none is named; 0 sets no budget", low=0
    )
    pflop: float = setting(0.0, "the same by arithmetic, in 10^15 floating-point operations; 0 sets no budget", low=0)
    amp: str = setting("auto", "precision of the matrix products", choices=PRECISIONS, heading=RUNNING)
    compile: str = setting(
        "auto", "faster kernels by torch.compile: on makes them first, which takes minutes; off starts at once, with "
        "torch's own kernels; auto is on for long runs on a GPU", choices=COMPILE, heading=RUNNING,
    )  # fmt: skip
    gpus: int = setting(1, "GPUs that share every batch; if they hang, set NCCL_P2P_DISABLE=1", low=1, high=64,
                       heading=RUNNING)  # fmt: skip
    resume: bool = setting(True, "go on from the run's checkpoint; False starts over", heading=RUNNING)
    max_hours: float = setting(0.0, "stop cleanly after so many hours; 0 is 11.5 on Kaggle and no limit elsewhere",
                               low=0, heading=RUNNING)  # fmt: skip
    track: str = setting("", "tracker that is sent the course of the training", choices=tuple(TRACKERS),
                         empty="that of the variable KIT_TRACK, or none", heading=RUNNING)  # fmt: skip
    weights: str = setting("last", "the epoch whose weights predict", choices=("last", "best"), heading=SUBMITTING)
    other: str = setting("", "a second run to compare with; empty compares nothing", heading=SUBMITTING)
    test_file: str = setting("auto", "the competition's test file; auto looks where the images are", heading=SUBMITTING)
    tta: str = setting(
        "auto", "test-time views to average: auto (flip if training mirrors), none, flip, flip+shift (10), adaptive "
        "(2, or 18 where these leave doubt), or a number", numeric=True,
        none="predictions of the images alone", heading=SUBMITTING,
    )  # fmt: skip
    header: str = setting(",".join(HEADER), "the header of the CSV", heading=SUBMITTING)
    upload: bool = setting(False, "send the CSV to Kaggle", heading=SUBMITTING)
    message: str = setting("", "the submission's description on Kaggle", heading=SUBMITTING)

    @property
    def columns(self) -> tuple[str, str]:
        """The names of the CSV's two columns."""
        return parse_header(self.header)

    @property
    def hours(self) -> float | None:
        """The limit on a session's training in hours, None for none."""
        return self.max_hours or (KAGGLE_HOURS if os.environ.get("KAGGLE_KERNEL_RUN_TYPE") else None)


@dataclass(frozen=True)
class BenchSettings:
    """What the benchmark takes."""

    arch: str = setting("paper", RULES["arch"].meaning)
    batch_size: int = setting(128, "images per training step", low=1)
    amp: str = setting("auto", "precision of the kit's way", choices=PRECISIONS)
    compile: str = setting("auto", "torch.compile in the kit's way; auto is on for GPUs", choices=COMPILE)
    data: str = setting(
        "random", "random bytes, or where the images come from: auto, digits, noisy-digits, or a folder"
    )
    rounds: int = setting(5, "rounds of both ways in turn", low=1)
    seconds: float = setting(5.0, "about the time that one round of the kit's training takes", low=0)
    profile: str = setting("", "file for a profile of one training step; empty makes none")


OTHER_RULES: dict[str, Rule] = rules_of(Settings) | {"recipe": Rule("a row of RECIPES", str, choices=tuple(RECIPES))}
EVERY_RULE = RULES | OTHER_RULES
MARKDOWN_HEAD = """# Parameters

The same word means the same thing in every notebook (`papermill -p name value`) and command (`--name value`).
Written by `python -m kit.parameters > .github/PARAMETERS.md`."""
MARKDOWN_COLUMNS = ("| parameter | meaning | values | default | notebooks |", "|---|---|---|---|---|")
AUGMENTING = ("augment", "cutout", "jitter", "rotation", "mixup_alpha", "cutmix_alpha", "regmixup_alpha", "erase",
              "skip_easy", "split", "seed")  # fmt: skip
NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "explore": ("data", "recipe", *AUGMENTING),
    "train": ("data", "run", "recipe", "minutes", "pflop", *RULES, "amp", "compile", "gpus", "resume", "max_hours",
              "track"),
    "misclassification": ("data", "run", "weights", "other", "amp"),
    "submit": ("data", "run", "weights", "test_file", "tta", "header", "upload", "message", "amp"),
    "ablation": (),
}  # fmt: skip
STEPS = ("explore", "train", "misclassification", "submit")  # from images to a CSV


def check(notebook: str, values: Mapping[str, Any]) -> Settings:
    """The settings of a notebook.

    Args:
        notebook: a name of NOTEBOOKS.
        values: its parameters by name, as values or as text; None, and the words None and null, mean "not given".

    Raises:
        KitError: a name is not a parameter of the notebook, or a value is refused; the sentence lists what is allowed.
    """
    allowed = NOTEBOOKS[notebook]
    if unknown := next((name for name in values if name not in allowed), None):
        near = get_close_matches(unknown, allowed, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise KitError(f"{unknown} is no parameter of the {notebook} notebook{hint} (allowed: {', '.join(allowed)})")
    given = typed(values)
    budget = _budget(given)
    named = given.pop("recipe", None)
    names = [named or default_recipe(given.get("data", "auto"))]
    if budget and not named and "digits" not in names:
        names = list(FAMILY)
    own = {k: v for k, v in given.items() if k in RULES}
    recipes = {name: recipe_named(name).replace(**own) for name in names}
    recipe = recipes[names[0]]
    others = {k: v for k, v in given.items() if k not in RULES}
    settings = Settings(recipe, names[0], recipes if budget else {}, **others)
    parse_header(settings.header)  # both are texts with rules of their own
    chosen_views(settings.tta, recipe.augment)
    if "recipe" in allowed and not settings.run:
        settings.run = "-".join([named] * bool(named) + [budget]) if budget else names[0]
    return settings


def _budget(given: Mapping[str, Any]) -> str:
    """The budget as a part of a run's name, such as minutes-30; empty without one.

    Raises:
        KitError: there are two budgets, or a number of epochs beside one.
    """
    words = [f"{name}-{given[name]:g}" for name in ("minutes", "pflop") if given.get(name)]
    if len(words) + ("epochs" in given) * bool(words) > 1:
        raise KitError("minutes, pflop and epochs each set the length of the training: give one of them")
    return "".join(words)


def check_all(notebooks: Sequence[str], values: Mapping[str, Any]) -> dict[str, Settings]:
    """The settings of several notebooks that share parameters: each takes those that it has.

    Raises:
        KitError: a value is refused.
    """
    return {name: check(name, {k: v for k, v in values.items() if k in NOTEBOOKS[name]}) for name in notebooks}


def check_cell(notebook: str, variables: MutableMapping[str, Any], before: set[str]) -> Settings:
    """The settings of a notebook from the variables that its parameters cell and papermill set.

    Args:
        notebook: a name of NOTEBOOKS.
        variables: the notebook's `globals()`. A name that is no parameter is removed, so that a corrected cell can run
            again in the same kernel.
        before: the names that were there before the parameters cell ran. It is emptied once every name was a
            parameter: a cell that then runs again stands among the names of later cells, which are not compared.

    Raises:
        KitError: as in `check`, or this machine's GPU cannot compute, or not in the precision `amp`.
    """
    allowed = NOTEBOOKS[notebook]
    new = {k: v for k, v in variables.items() if before and k not in before and _could_be_a_parameter(k, v)}
    if unknown := [name for name in new if name not in allowed]:
        for name in unknown:
            del variables[name]
        check(notebook, dict.fromkeys(unknown))
    values = {name: variables[name] for name in allowed if name in variables}
    if before:
        values |= dict.fromkeys(_set_to_none(variables.get("In")) & set(allowed), NOT_GIVEN[0])
    settings = check(notebook, values)
    if "amp" in allowed:
        _check_machine(settings.amp)
    if "track" in allowed:
        tracker_named(settings.track)
    before.clear()
    return settings


def tracker_named(track: str) -> str:
    """The tracker that `track`, or the variable KIT_TRACK if `track` is empty, asks for; empty for none.

    Raises:
        KitError: there is no such tracker, or its package is not installed.
    """
    name, tracker = ("track", track) if track else (TRACKER, os.environ.get(TRACKER, ""))
    OTHER_RULES["track"].check(name, tracker)
    if tracker and find_spec(tracker) is None:
        install = f"pip install {TRACKERS[tracker]}"
        raise KitError(f"{name} {tracker} needs a package that is not installed: type `{install}` first")
    return tracker


def _check_machine(amp: str) -> None:
    """Refuse a GPU that torch cannot use, or a precision that it lacks, before any work."""
    from kit.system.precision import default_device, precision  # imports torch

    precision(default_device(), amp)


def _could_be_a_parameter(name: str, value: Any) -> bool:
    """Whether papermill may have set the name: it passes plain data, and paths of its own if asked to."""
    plain = isinstance(value, str | int | float | list | dict) or value is None
    return plain and not name.startswith(("_", "PAPERMILL_"))


def _set_to_none(inputs: Sequence[str] | None) -> set[str]:
    """The names that papermill's cell sets to None, which the parameters cell does not tell from its defaults.

    Args:
        inputs: the sources of the cells that ran, IPython's `In`.
    """
    source = next((text for text in reversed(inputs or ()) if text.startswith("# Parameters\n")), "")
    return {line.removesuffix(" = None") for line in source.splitlines() if line.endswith(" = None")}


def from_arguments(notebook: str, arguments: Sequence[str]) -> Settings:
    """The same from a command line of `--name value` pairs.

    Raises:
        KitError: as in `check`.
        SystemExit: an option is unknown or lacks its value.
    """
    parser = argparse.ArgumentParser(prog=f"python -m kit.{notebook}", allow_abbrev=False)
    add_options(parser, notebook)
    return check(notebook, vars(parser.parse_args(arguments)))


def add_options(parser: argparse.ArgumentParser, *notebooks: str, names: Sequence[str] = ()) -> None:
    """Add an option for every parameter of the notebooks, and for those named, each under its heading."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name in dict.fromkeys([*(name for notebook in notebooks for name in NOTEBOOKS[notebook]), *names]):
        rule = EVERY_RULE[name]
        meaning = f"{rule.meaning}; {rule.allowed()} (default: {_default_in_words(name)})"
        if rule.heading not in groups:
            groups[rule.heading] = parser.add_argument_group(rule.heading)
        groups[rule.heading].add_argument(f"--{name}", metavar="VALUE", help=meaning.replace("%", "%%"))


def _default_in_words(name: str) -> str:
    """What a parameter is if nobody gives it."""
    if name in RULES:
        return "the recipe's"
    if name == "recipe":
        return "digits for digits, else paper"
    return repr({f.name: f.default for f in fields(Settings)}[name])


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters that a command line with `add_options` gave, by name, each in its own type.

    Raises:
        KitError: a value is refused.
    """
    return typed({name: value for name, value in vars(options).items() if name in EVERY_RULE})


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given, each in its own type.

    Raises:
        KitError: a value is refused.
    """
    read_values = {name: read(name, EVERY_RULE[name], value) for name, value in values.items()}
    return {name: value for name, value in read_values.items() if value is not None}


def as_arguments(settings: Settings, notebook: str) -> list[str]:
    """The command line that gives `settings` again; a budget has to be settled (kit.train.fit_to_budget)."""
    values = vars(settings) | settings.recipe.as_dict() | {"recipe": settings.recipe_name}
    return [f"--{name}={values[name]}" for name in NOTEBOOKS[notebook]]


def as_markdown() -> str:
    """The tables of .github/PARAMETERS.md: every notebook parameter with its meaning, values, default and notebooks."""
    parts = [MARKDOWN_HEAD]
    for heading in dict.fromkeys(rule.heading for rule in EVERY_RULE.values()):
        rows = []
        for name, rule in EVERY_RULE.items():
            notebooks = ", ".join(notebook for notebook, names in NOTEBOOKS.items() if name in names)
            if rule.heading == heading and notebooks:
                cells = (f"`{name}`", rule.meaning, rule.allowed(), _default_in_words(name), notebooks)
                rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if rows:
            parts.append("\n".join([f"## {heading.capitalize()}", "", *MARKDOWN_COLUMNS, *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
