"""The command line: which command has which option, and what answers without torch."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

from kit.__main__ import SWEEP_OPTIONS, main
from kit.model.architecture import ARCHITECTURES, FORMS
from kit.recipe import RECIPES, RULES
from kit.rules import REGULARIZATION, RUNNING, SUBMITTING, TRAINING


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--help"], 0, "sweep"),
        (["run", "--help"], 0, "--epochs"),
        (["sweep", "--help"], 0, "--table"),
        (["recipes"], 0, "leaderboard"),
        (["recipes", "quick"], 0, "label_smoothing"),
        (["recipes", "quikc"], 2, "did you mean quick?"),
        (["run", "--epochs", "-1"], 2, "epochs has to be a whole number from 1, not -1"),
        (["run", "--arch", "papr"], 2, "'papr' is not known"),
        (["run", "--augment", "crop+shift"], 2, "not crop and shift"),
        (["run", "--tta", "flipp"], 2, "tta has to be"),
        (["run", "--header", "=1,x"], 2, "header has to be"),
        (["run", "--table", "1"], 2, "python -m kit sweep --table 1"),
        (["sweep", "--table", "1", "--epochs", "none"], 2, "epochs has to be"),
        (["sweep", "--table", "9"], 2, "table '9' is not known"),
        (["sweep", "--table", "epochs", "--epochs", "1"], 2, "become one recipe at this scale"),
        (["sweep", "--rows", "sgd", "--on", "nowhere"], 2, "--on has to be local, ray, slurm"),
        (["push", "--amp", "fp8"], 2, "amp has to be one of"),
    ],
)
def test_help_recipes_and_refusals_answer_without_torch(words, code, sentence):
    answer = subprocess.run([sys.executable, "-X", "importtime", "-m", "kit", *words], cwd=ROOT, capture_output=True,
                            text=True, timeout=60)  # fmt: skip
    assert answer.returncode == code, answer.stderr[-500:]
    assert sentence in answer.stdout + answer.stderr
    imported = set(re.findall(r"\| +([\w.]+)$", answer.stderr, re.M))
    assert "kit.parameters" in imported
    assert not {"torch", "numpy", "pandas", "matplotlib", "papermill"} & imported


def test_a_job_of_a_sweep_loads_no_torch_before_its_kernel():
    code = "import sys, kit.sweep.jobs; print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.stdout == "set()\n", answer.stderr


@pytest.mark.parametrize("option", SWEEP_OPTIONS)
def test_an_option_of_a_sweep_given_to_run_names_the_whole_command(option, capsys):
    assert main(["run", "--data", "my images", f"{option}=1"]) == 2
    assert f"write `python -m kit sweep --data 'my images' {option}=1`" in capsys.readouterr().err


def test_run_lists_no_recipes_and_says_who_does(capsys):
    assert main(["run", "--list"]) == 2
    assert "write `python -m kit recipes`" in capsys.readouterr().err


def test_recipes_are_listed_with_every_architecture_and_form(capsys):
    assert main(["recipes"]) == 0
    told = capsys.readouterr().out
    for name in (*RECIPES, *ARCHITECTURES):
        assert re.search(rf"^ *{re.escape(name)} ", told, re.M), name
    for name, form in FORMS.items():
        assert form.meaning in told and (name == "basic" or f"+{name} " in told)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_with_every_value(name, capsys):
    assert main(["recipes", name]) == 0
    told = capsys.readouterr().out
    for setting, value in RECIPES[name].as_dict().items():
        star = r"\*" if value != getattr(RECIPES["paper"], setting) else " "
        assert re.search(rf"^{star} {setting} +{re.escape(str(value) or '(empty)')} .*", told, re.M), setting


def test_the_help_of_run_groups_its_options_under_headings(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    parts = re.split(r"^([a-z ]+):$", capsys.readouterr().out, flags=re.M)
    headings = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert {TRAINING, REGULARIZATION, RUNNING, SUBMITTING} <= set(headings)
    assert "--cutout" in headings[REGULARIZATION] and "--gpus" in headings[RUNNING] and "--tta" in headings[SUBMITTING]
    for name, rule in RULES.items():
        assert f"--{name} " in headings[rule.heading], name
