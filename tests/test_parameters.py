"""The words that notebooks and command line share."""

import ast
import re
from pathlib import Path

import pytest

from kit.augment.augmentations import AUGMENTATIONS
from kit.errors import KitError
from kit.parameters import NOTEBOOKS, OTHER_RULES, Settings, as_arguments, check, check_cell, from_arguments
from kit.recipe import RECIPES, RULES
from kit.tta import TTA_VIEWS

NOTEBOOK_FOLDER = Path(__file__).resolve().parent.parent / "notebooks"


def declared(notebook):
    """Names of the parameters cell and their help, read from the notebook's source."""
    source = (NOTEBOOK_FOLDER / f"{notebook}.py").read_text()
    match = re.search(r'# %% tags=\["parameters"\]\n(.*?)(?=\n# %%|\Z)', source, re.S)
    lines = match[1].strip().splitlines() if match else []
    return {line.split(":")[0]: line for line in lines}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_declares_exactly_its_parameters(notebook):
    lines = declared(notebook)
    assert tuple(lines) == NOTEBOOKS[notebook]
    defaults = vars(Settings())
    for name, line in lines.items():
        assert re.fullmatch(r"\w+: (int|float|str|bool) = [^=#]+  # [^=]+", line), line
        default = ast.literal_eval(line.split("=")[1].split("#")[0].strip())
        assert default == (None if name in RULES or name == "recipe" else defaults[name]), line
        annotation = line.split(":")[1].split("=")[0].strip()
        assert annotation == (RULES | OTHER_RULES)[name].type.__name__, line


def test_a_row_keeps_its_own_values_where_none_is_given():
    settings = check("train", {"recipe": "quick", "epochs": None, "lr": None})
    assert settings.recipe == RECIPES["quick"]
    assert settings.run == "quick"
    assert check("train", {"recipe": "quick", "epochs": 3}).recipe == RECIPES["quick"].replace(epochs=3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": 5}, "epoch is no parameter of the train notebook; did you mean epochs?"),
        ({"amp": "false"}, "amp has to be one of auto, bf16, fp16, fp32, not 'false'"),
        ({"amp": False}, "amp has to be one of"),
        ({"resume": "false"}, "resume has to be True or False, not 'false'"),
        ({"arch": "papr"}, "'papr'"),
        ({"epochs": -1}, "epochs has to be a whole number from 1, not -1"),
        ({"lr": float("nan")}, "lr has to be a number above 0, not nan"),
        ({"recipe": "papr"}, "did you mean paper?"),
        ({"tta": "flip"}, "tta is no parameter of the train notebook"),
        ({"gpus": 0}, "gpus has to be a whole number from 1"),
        ({"max_hours": -2}, "max_hours has to be a number from 0"),
    ],
)
def test_a_misspelt_or_mistyped_value_is_refused_in_one_sentence(given, words):
    with pytest.raises(KitError) as refusal:
        check("train", given)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_a_notebook_imports_or_papermill_adds_is_nobody_s_parameter():
    variables = {"Path": Path, "re": re, "_i1": "code", "In": ["code"], "Out": {}, "get_ipython": print, "epochs": 2}
    variables |= {"PAPERMILL_INPUT_PATH": "train.ipynb"}
    assert check_cell("train", variables, {"In", "Out"}).recipe.epochs == 2


@pytest.mark.parametrize("value", [5, "5", None, [5], {"a": 5}])
def test_a_name_that_is_no_parameter_is_refused_whatever_its_value(value):
    before = {"sys"}
    variables = {"sys": re, "run": "one", "zzz": value}
    with pytest.raises(KitError, match="zzz is no parameter of the train notebook"):
        check_cell("train", variables, before)
    assert check_cell("train", variables, before).run == "one", "the corrected cell runs again in the same kernel"


def test_names_of_the_notebooks_own_cells_are_passed_over_where_it_runs_again():
    before = {"sys"}
    variables = {"sys": re, "run": "one", "tta": "none"}
    check_cell("submit", variables, before)
    variables |= {"views": "flip", "k": 3, "headers": [], "tta": "flip"}
    assert check_cell("submit", variables, before).tta == "flip", "from the parameters cell on"
    before = set(variables)  # from the first cell on
    assert check_cell("submit", variables, before).tta == "flip"
    with pytest.raises(KitError, match="mesage is no parameter of the submit notebook; did you mean message"):
        check_cell("submit", variables | {"mesage": "second"}, set(variables))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tta": "nonsense"}, "tta has to be none, flip, flip"),
        ({"tta": 0}, "a number of views from 1 to"),
        ({"header": "ID"}, "header has to be two different words"),
    ],
)
def test_what_a_submission_needs_is_checked_before_any_work(given, words):
    with pytest.raises(KitError, match=words):
        check("submit", given)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_shown_with_mixed_images(name):
    given = {"recipe": name, "mixup_alpha": 0.5, "skip_easy": 0}
    assert check("explore", given).recipe == check("train", given).recipe


def test_a_parameter_that_was_overwritten_by_something_else_is_refused():
    with pytest.raises(KitError, match="run has to be text"):
        check("train", {"run": object()})


def test_settings_survive_the_way_through_a_command_line():
    given = {"recipe": "t4", "epochs": 70, "arch": "64,128/1,2", "amp": "fp32", "resume": False, "lr": 0.3}
    settings = check("train", given)
    assert from_arguments("train", as_arguments(settings, "train")) == settings


def test_kaggle_sessions_stop_in_time(monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert check("train", {}).hours is None
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert check("train", {}).hours == 11.5
    assert check("train", {"max_hours": 2}).hours == 2


def test_each_data_set_has_its_own_default_recipe():
    for notebook in ("explore", "train"):
        assert check(notebook, {"data": "digits"}).recipe == RECIPES["digits"]
        assert check(notebook, {"data": "digits", "recipe": "paper"}).recipe == RECIPES["paper"]
        assert check(notebook, {"data": "a folder"}).recipe == RECIPES["paper"]
    assert check("train", {"data": "digits"}).run == "digits"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_comments_of_a_parameters_cell_name_exactly_the_choices(notebook):
    for name, line in declared(notebook).items():
        rule = (RULES | OTHER_RULES)[name]
        if not rule.choices or name == "recipe":
            continue
        named = re.sub(r" *\([^)]*\)", "", line.partition("  # ")[2]).rpartition(":")[2].strip()
        assert set(re.split(r",? or |, ", named)) == {*rule.choices}, line


@pytest.mark.parametrize("notebook", ["explore", "train"])
def test_the_comment_of_augment_names_exactly_its_words(notebook):
    words = declared(notebook)["augment"].partition("  # ")[2].partition(", joined by")[0]
    assert set(re.findall(r"\w+", words)) - {"or"} == {"none", *AUGMENTATIONS}


def test_the_comment_of_tta_names_its_views():
    words = set(re.findall(r"[\w+]+", declared("submit")["tta"].partition("  # ")[2]))
    assert {"auto", "number", *TTA_VIEWS} <= words
