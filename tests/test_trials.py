"""What a command line makes of rows, seeds and scales: which runs, under which names, and what is refused."""

import re
import subprocess

import planned_trials
import pytest
from image_sources import write_image_folder

from kit.__main__ import main
from kit.ablation.experiments import TABLES, at_scale
from kit.data.loading import CLASSES
from kit.errors import KitError
from kit.parameters import check
from kit.recipe import RECIPES
from kit.sweep.request import MOST_SEEDS, parse_seeds

workspace, on_a_cpu = planned_trials.workspace, planned_trials.on_a_cpu
plan, write_finished = planned_trials.plan, planned_trials.write_finished
LEAVES = tuple(f"leaf-{number}" for number in range(10))


def names(*words):
    return [trial.name for trial in plan(*words).trials]


def test_names_say_row_scale_and_seed():
    assert names("--rows", "paper,sgd") == ["paper-seed1", "sgd-seed1"]
    assert names("--rows", "table1-1111", "--epochs", "2", "--arch-scale", "0.125", "--seeds", "5,") == [
        "table1-1111-2epochs-x0.125-seed5"
    ]
    assert names("--rows", "adam,epochs-300", "--epochs", "1") == ["adam-1epoch-seed1", "epochs-300-1epoch-seed1"]
    assert names("--rows", "epochs-300", "--epochs", "20") == ["epochs-300-20epochs-seed1"]
    assert names("--rows", "adam", "--epochs", "200", "--arch-scale", "1") == ["adam-seed1"]
    assert names("--rows", "adam", "--split", "holdout") == ["adam-holdout-seed1"]
    assert names("--rows", "adam,digits", "--data", "digits") == ["adam-digits-seed1", "digits-digits-seed1"]
    assert names("--rows", "adam", "--data", "digits", "--amp", "fp32") == ["adam-digits-fp32-seed1"]
    assert names("--rows", "adam", "--amp", "auto") == names("--rows", "adam") == ["adam-seed1"]


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, [1]), ("3", [1, 2, 3]), ("1,2,5", [1, 2, 5]), ("7,", [7]), ("0,1029", [0, 1029])]
)
def test_seeds_are_a_count_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


def test_a_table_is_every_row_with_every_seed_and_all_rows_before_the_next_seed():
    planned = plan("--table", "1", "--seeds", "3")
    assert len({trial.name for trial in planned.trials}) == len(planned.trials) == 15
    assert [trial.experiment.row for trial in planned.trials[:5]] == list(TABLES["1"].rows)
    assert [trial.recipe.seed for trial in planned.trials] == [1] * 5 + [2] * 5 + [3] * 5


@pytest.mark.parametrize("table", TABLES)
def test_the_notebook_makes_of_its_parameters_the_recipe_that_was_planned(table):
    for words in (("--epochs", "4", "--arch-scale", "0.25", "--split", "holdout"), ()):
        for trial in plan("--table", table, "--seeds", "2,", *words).trials:
            settings = check("train", trial.parameters())
            assert settings.recipe == trial.recipe
            assert settings.run == trial.name
            if not words:
                assert trial.recipe == RECIPES[trial.experiment.row].replace(seed=2)


def test_multiples_of_four_epochs_keep_every_row_of_a_table_apart_and_its_share_exact():
    for table in TABLES:
        assert len(plan("--table", table, "--epochs", "4").trials) == len(TABLES[table].rows)
    lengths = [trial.recipe.epochs for trial in plan("--table", "epochs", "--epochs", "12").trials]
    assert lengths == [6, 12, 15, 18]  # of 100, 200, 250 and 300


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (["epochs-300", "--epochs", "20", "--arch-scale", "0.3333"], (20, 0.3333)),
        (["epochs-300"], (200, 1.0)),
        (["quick"], (RECIPES["quick"].epochs, 1.0)),
        (["digits", "--epochs", "1"], (1, 1.0)),
    ],
    ids=str,
)
def test_a_finished_run_says_its_row_and_the_scale_that_made_its_recipe(words, scale):
    (trial,) = plan("--rows", *words).trials
    assert trial.scale == scale
    assert at_scale(words[0], *scale).replace(seed=1) == trial.recipe
    write_finished(trial)
    trial.mark()
    assert trial.run.config["row"] == words[0]
    assert trial.run.config["scale"] == {"epochs": scale[0], "channels": scale[1]}
    assert trial.finished


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (["paper", "--arch-scale", "0.5"], "shrunk: channels x 0.5"),
        (["quick", "--arch-scale", "1.25"], "changed: channels x 1.25"),
        (["digits", "--arch-scale", "1.5", "--epochs", "1"], "changed: 1 epoch in place of 12, channels x 1.5"),
        (["paper", "--epochs", "300"], "changed: 300 epochs in place of 200"),
        (["paper", "--epochs", "200"], ""),
    ],
    ids=str,
)
def test_only_what_became_smaller_is_called_shrunk(words, scale):
    assert plan("--rows", *words).request.scale == scale


def test_a_dry_run_lists_what_there_is_and_starts_nothing(workspace, monkeypatch, capsys):
    words = ["--rows", "paper,sgd,adam,lr-0.01", "--data", "digits", "--epochs", "2"]
    done, other, begun, _ = plan(*words).trials
    write_finished(done)
    write_finished(other, recipe=other.recipe.replace(lr=0.5).as_dict())
    (write_finished(begun) / "metrics.json").unlink()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert main(["sweep", *words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rows paper, sgd, adam, lr-0.01; shrunk: 2 epochs in place of 200"
    assert [re.split(r"  +", line)[1:] for line in lines[1:5]] == [
        ["done", "epochs 2"],
        ["another recipe's run", "epochs 2, lookahead_k 0"],
        ["goes on after 1 of 2 epochs", "epochs 2, optimizer adam, lr 0.001, lookahead_k 0"],
        ["to do", "epochs 2, lr 0.01"],
    ]
    assert lines[5] == "4 runs, 3 of them to do"


# --- refusals


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--table", "9"], "table '9' is not known (allowed: 1, 2, optimizers"),
        (["--rows", "papr"], "recipe 'papr' is not known; did you mean paper?"),
        (["--rows", "paper,paper"], "--rows has to name every row once, not 'paper,paper'"),
        (["--table", "1", "--rows", "paper"], "give --table or --rows, not both"),
        (["--table", "1", "--seeds", "0"], "seeds has to be a number from 1, or different seeds such as 1,2,5"),
        (["--table", "1", "--seeds", "-1"], "seeds has to be a number from 1"),
        (["--table", "1", "--seeds", "one"], "seeds has to be a number from 1"),
        (["--table", "1", "--seeds", "1,1"], "different seeds"),
        (["--table", "1", "--seeds", f"{MOST_SEEDS + 1}"], f"at most {MOST_SEEDS} seeds, not 1001"),
        (["--table", "1", "--seeds", "9" * 30], f"at most {MOST_SEEDS} seeds"),
        (["--table", "1", "--seeds", "1,-1"], "seed has to be a whole number from 0"),
        (["--table", "1", "--jobs", "0"], "jobs has to be a whole number from 1, not 0"),
        (["--table", "1", "--jobs", "two"], "jobs has to be a whole number from 1, not 'two'"),
        (["--table", "1", "--arch-scale", "nan"], "arch-scale has to be a number above 0, not nan"),
        (["--table", "1", "--arch-scale", "0"], "arch-scale has to be a number above 0, not 0"),
        (["--table", "1", "--arch-scale", "2"], "5,000,000"),
        (["--table", "1", "--epochs", "0"], "epochs has to be a whole number from 1, not 0"),
        (["--table", "1", "--epochs", "2.5"], "epochs has to be a whole number from 1, not 2.5"),
        (["--table", "1", "--lr", "0.1"], "lr is not for a sweep"),
        (["--table", "1", "--seed", "3"], "use `--seeds 7,` (with the comma) for the single seed 7"),
        (["--table", "1", "--gpus", "2"], "a sweep gives every run one GPU: leave --gpus out"),
        (["--table", "1", "--run", "mine"], "leave --run out"),
        (["--table", "1", "--resume", "False"], "a sweep always goes on: leave --resume out"),
        (["--table", "1", "--recipe", "sgd"], "use --rows"),
        (["--table", "1", "--competition", "x"], "--competition says whose data a pushed sweep gets: add --push"),
        (["--table", "1", "--push", "--keep"], "leave it out with --push"),
        (["--table", "1", "--push", "--jobs", "2"], "leave it out with --push"),
        (["--table", "epochs", "--epochs", "1"], "epochs-100 and paper become one recipe at this scale"),
        (["--table", "epochs", "--epochs", "2"], "paper and epochs-250 become one recipe at this scale"),
        (["--table", "epochs", "--epochs", "3"], "epochs-250 and epochs-300 become one recipe at this scale"),
        (["--rows", "paper,table2-cutout"], "paper and table2-cutout are one recipe: leave one of them out"),
        (["--table", "1", "--max_hours", "-1"], "max_hours"),
        (["--table", "1", "--data", "/nowhere"], "/nowhere does not exist"),
        (["--table", "1", "--data", "digits", "--amp", "fp16"], "amp fp16 needs a GPU"),
        (["--seeds", "3"], "a sweep needs its rows: give --table, or --rows"),
        (["--dry-run"], "a sweep needs its rows"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_sentence_and_starts_nothing(
    workspace, on_a_cpu, monkeypatch, capsys, words, sentence
):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert main(["sweep", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and len(told.splitlines()) == 1
    assert sentence in told
    assert not (workspace / "runs").exists()


@pytest.fixture
def leaves(tmp_path):
    """An image folder of ten classes that are not CIFAR-10's."""
    write_image_folder(tmp_path / "leaves", 1, LEAVES)
    return tmp_path / "leaves"


def test_a_run_of_other_images_is_not_taken_for_this_sweeps(workspace, leaves):
    write_finished(plan("--rows", "paper").trials[0], classes=list(CLASSES))
    assert plan("--rows", "paper", "--data", "auto").unfinished == []
    with pytest.raises(KitError, match=r"paper-seed1 was trained on other images than data '.*leaves'"):
        plan("--rows", "paper", "--data", str(leaves))


def test_a_sweep_on_any_ten_classes_goes_on(workspace, leaves):
    words = ["--rows", "paper,sgd", "--data", str(leaves)]
    done, _ = plan(*words).trials
    write_finished(done, classes=list(LEAVES))
    assert [trial.name for trial in plan(*words).unfinished] == ["sgd-seed1"]
    with pytest.raises(KitError, match="paper-seed1 was trained on other images than data 'auto'"):
        plan("--rows", "paper")
