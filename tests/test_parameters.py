"""The words that notebooks and command line share."""

import ast
import re
from pathlib import Path

import pytest

from kit.errors import KitError
from kit.parameters import NOTEBOOKS, OTHER_RULES, Settings, as_arguments, check, from_arguments, literal
from kit.recipe import RECIPES, RULES

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
        assert default == (None if name in RULES else "paper" if name == "recipe" else defaults[name]), line
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


def test_what_a_notebook_imports_is_nobody_s_parameter():
    variables = {"Path": Path, "re": re, "_i1": "code", "In": ["code"], "Out": {}, "get_ipython": print, "epochs": 2}
    assert check("train", variables).recipe.epochs == 2


def test_names_of_the_notebooks_own_cells_are_passed_over_where_it_runs_again():
    first = {"run": "one", "tta": "none"}
    again = first | {"settings": check("submit", first), "views": "flip", "k": 3, "tta": "flip"}
    assert check("submit", again).tta == "flip"
    with pytest.raises(KitError, match="mesage is no parameter of the submit notebook; did you mean message"):
        check("submit", again | {"mesage": "second"})


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


def test_the_command_line_reads_words_as_papermill_does():
    from papermill.cli import _resolve_type

    for word in ("True", "False", "None", "12", "-3", "1e-3", "0.5", "false", "64,128/1,1", "nan", "007"):
        ours, theirs = literal(word), _resolve_type(word)
        assert type(ours) is type(theirs)
        assert ours == theirs or ours != ours


def test_settings_survive_the_way_through_a_command_line():
    given = {"recipe": "t4", "epochs": 7, "arch": "64,128/1,2", "amp": "fp32", "resume": False, "lr": 0.3}
    settings = check("train", given)
    assert from_arguments("train", as_arguments(settings, "train")) == settings


def test_kaggle_sessions_stop_in_time(monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert check("train", {}).hours is None
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert check("train", {}).hours == 11.5
    assert check("train", {"max_hours": 2}).hours == 2
