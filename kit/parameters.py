"""The words that notebooks and command line share: each notebook's parameters, checked before any work.

Papermill only warns of a misspelt parameter and turns `-p amp false` into text, so the notebooks hand their own
variables to `check`, which refuses both.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from kit.errors import KitError
from kit.predict import views_of
from kit.recipe import RECIPES, RULES, Recipe, recipe_named
from kit.rules import Rule, rules_of, setting
from kit.submission import parse_header
from kit.system.precision import COMPILE, PRECISIONS

KAGGLE_HOURS = 11.5  # a session ends at 12
LIKE_A_PARAMETER = 0.8  # share of letters in common, as difflib counts


@dataclass
class Settings:
    """The checked parameters of one notebook; those of the recipe are in `recipe`."""

    recipe: Recipe = field(default_factory=Recipe)
    recipe_name: str = "paper"
    data: str = setting("auto", "where the images come from: auto, digits, or a folder")
    run: str = setting("", "name of the run folder under runs/")
    amp: str = setting("auto", "precision of the matrix products", choices=PRECISIONS)
    compile: str = setting("auto", "torch.compile; auto where it pays", choices=COMPILE)
    gpus: int = setting(1, "GPUs that share every batch", low=1, high=64)
    resume: bool = setting(True, "go on from the run's checkpoint; False starts over")
    max_hours: float = setting(0.0, "stop cleanly after so many hours; 0 is 11.5 on Kaggle and never elsewhere", low=0)
    weights: str = setting("last", "the epoch whose weights predict", choices=("last", "best"))
    other: str = setting("", "a second run to compare with; empty compares nothing")
    test_file: str = setting("auto", "the competition's test file; auto looks where the images are")
    tta: str = setting("auto", "test-time augmentation: auto, none, flip, flip+shift, adaptive, or a number of views")
    header: str = setting("ID,Labels", "the header of the CSV")
    upload: bool = setting(False, "send the CSV to Kaggle")
    message: str = setting("", "the submission's description on Kaggle")

    @property
    def hours(self) -> float | None:
        """The limit on a session's training in hours, None for none."""
        return self.max_hours or (KAGGLE_HOURS if os.environ.get("KAGGLE_KERNEL_RUN_TYPE") else None)


@dataclass(frozen=True)
class BenchSettings:
    """What the benchmark takes."""

    arch: str = setting("paper", RULES["arch"].meaning)
    batch_size: int = setting(128, "images a training step", low=1)
    amp: str = setting("auto", "precision of the kit's way", choices=PRECISIONS)
    compile: str = setting("auto", "torch.compile in the kit's way; auto on GPUs", choices=COMPILE)
    data: str = setting("random", "random bytes, or where the images come from: auto, digits, or a folder")
    rounds: int = setting(5, "rounds of both ways in turn", low=1)
    seconds: float = setting(5.0, "about the time that a round of the kit's training takes", low=0)
    profile: str = setting("", "file for a profile of one training step; empty makes none")


OTHER_RULES: dict[str, Rule] = rules_of(Settings) | {"recipe": Rule("a row of RECIPES", str, choices=tuple(RECIPES))}
AUGMENTING = ("augment", "cutout", "jitter", "rotation", "mixup_alpha", "cutmix_alpha", "skip_easy", "split", "seed")
NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "explore": ("data", "recipe", *AUGMENTING),
    "train": ("data", "run", "recipe", *RULES, "amp", "compile", "gpus", "resume", "max_hours"),
    "misclassification": ("data", "run", "weights", "other", "amp"),
    "submit": ("data", "run", "weights", "test_file", "tta", "header", "upload", "message", "amp"),
    "ablation": (),
}


def check(notebook: str, variables: Mapping[str, Any]) -> Settings:
    """The settings of `notebook` from the variables that its parameters cell and papermill defined.

    Args:
        notebook: a name of NOTEBOOKS.
        variables: the notebook's `globals()`. Names with a leading underscore and values that are not plain text,
            numbers, truth values or None are nobody's parameters and are passed over, where no parameter has the name.
            So are the names that the notebook's own cells gave, where it runs again in the same kernel: all but those
            that look like a misspelt parameter.

    Raises:
        KitError: a name is not a parameter of the notebook, or a value is refused; the sentence lists what is allowed.
    """
    allowed, plain = NOTEBOOKS[notebook], str | int | float | bool | None
    public = {k: v for k, v in variables.items() if not k.startswith("_")}
    given = {k: v for k, v in public.items() if k in allowed or isinstance(v, plain)}
    again = isinstance(variables.get("settings"), Settings)
    for name in [name for name in given if name not in allowed]:
        near = get_close_matches(name, allowed, 1, LIKE_A_PARAMETER if again else 0.6)
        if near or not again:
            hint = f"; did you mean {near[0]}?" if near else ""
            raise KitError(f"{name} is no parameter of the {notebook} notebook{hint} (allowed: {', '.join(allowed)})")
        del given[name]
    given = {k: v for k, v in given.items() if v is not None}
    name = given.pop("recipe", "paper")
    recipe = recipe_named(name).replace(**{k: v for k, v in given.items() if k in RULES})
    others = {k: OTHER_RULES[k].check(k, v) for k, v in given.items() if k not in RULES}
    settings = Settings(recipe, name, **others)
    parse_header(settings.header)  # both are text with rules of their own
    views_of(recipe.views(settings.tta))
    if "recipe" in allowed and not settings.run:
        settings.run = name
    return settings


def from_arguments(notebook: str, arguments: Sequence[str]) -> Settings:
    """The same from a command line of `--name value` pairs.

    Raises:
        KitError: as in `check`.
        SystemExit: an option is unknown or lacks its value.
    """
    parser = argparse.ArgumentParser(prog=f"python -m kit.{notebook}", allow_abbrev=False)
    add_options(parser, notebook)
    return check(notebook, vars(parser.parse_args(arguments)))


def add_options(parser: argparse.ArgumentParser, *notebooks: str) -> None:
    """Add an option for every parameter of the notebooks."""
    rules = RULES | OTHER_RULES
    defaults = {f.name: f.default for f in fields(Settings)}
    for name in dict.fromkeys(name for notebook in notebooks for name in NOTEBOOKS[notebook]):
        default = "the recipe's" if name in RULES else "paper" if name == "recipe" else repr(defaults[name])
        meaning = f"{rules[name].meaning}; {rules[name].allowed()} (default: {default})"
        parser.add_argument(f"--{name}", type=literal, metavar="VALUE", help=meaning.replace("%", "%%"))


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters that were given on a command line with `add_options`, by name."""
    names = {name for notebook in NOTEBOOKS.values() for name in notebook}
    return {name: value for name, value in vars(options).items() if name in names and value is not None}


def literal(text: str) -> Any:
    """Read a word of the command line as papermill does: True, False, None, a whole number, a number, or text."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_arguments(settings: Settings, notebook: str) -> list[str]:
    """The command line that gives `settings` again."""
    values = vars(settings) | settings.recipe.as_dict() | {"recipe": settings.recipe_name}
    return [f"--{name}={values[name]}" for name in NOTEBOOKS[notebook]]
