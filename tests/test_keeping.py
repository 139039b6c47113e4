"""Records that are kept: whole or not at all, of the same experiment only, and without folders of this machine."""

import json
import os
import re
import shutil
from pathlib import Path

import planned_trials
import pytest

from kit.data.loading import CLASSES
from kit.errors import KitError
from kit.run import Run
from kit.sweep import keeping

workspace = planned_trials.workspace
plan, write_finished = planned_trials.plan, planned_trials.write_finished


def test_kept_records_are_whole_and_name_no_folder_of_this_machine(workspace):
    (trial,) = plan("--rows", "sgd", "--data", "digits").trials
    folder = write_finished(trial, data="image folder /home/ada/my data/cifar, decoded at an earlier start",
                            command="train.py --data=/home/ada/cifar --run sgd-seed1")  # fmt: skip
    for _ in range(2):  # a record that is there already is replaced
        kept = keeping.keep_record(Run(trial.name))
        assert sorted(path.name for path in kept.iterdir()) == ["config.json", "history.csv", "metrics.json"]
        assert list(kept.parent.iterdir()) == [kept]
    assert kept == workspace / "results" / "sgd-digits-seed1"
    config = json.loads((kept / "config.json").read_text())
    assert not re.search(r"(?<!\w)/", config["data"] + config["command"])
    assert config["command"] == "train.py --data=cifar --run sgd-seed1"
    assert config["recipe"] == trial.recipe.as_dict()
    assert (kept / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()


def test_a_record_of_another_recipe_or_of_other_images_is_not_replaced(workspace):
    (trial,) = plan("--rows", "sgd", "--data", "digits").trials
    folder = write_finished(trial)
    kept = keeping.keep_record(trial.run)
    assert "images" in trial.run.config
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    for changed, sentence in (
        ({"recipe": trial.recipe.replace(lr=0.5).as_dict()}, "is the record of another recipe: move it away"),
        ({"classes": list(CLASSES)}, "is the record of other images or of another way"),
        ({"images": 999}, "is the record of other images"),
        ({"way": "the paper's own"}, "is the record of other images or of another way of training: move it away"),
        ({"recipe": trial.recipe.as_dict() | {"a_setting_that_has_gone": 1}}, "is the record of another recipe"),
    ):
        shutil.rmtree(folder)
        write_finished(trial, **changed)
        with pytest.raises(KitError, match=sentence):
            keeping.keep_record(trial.run)
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


@pytest.mark.parametrize("failing", ["history.csv", "exchange"])
def test_a_record_that_cannot_be_replaced_stays_as_it_was(workspace, monkeypatch, failing):
    (trial,) = plan("--rows", "sgd", "--data", "digits").trials
    folder = write_finished(trial, accuracy=40.0)
    kept = keeping.keep_record(trial.run)
    shutil.rmtree(folder)
    write_finished(trial, accuracy=60.0)
    if failing == "history.csv":
        (folder / failing).unlink()
    else:
        replace = os.replace

        def refuse(source, target):
            if Path(source).name == "new":
                raise OSError(28, "No space left on device")
            replace(source, target)

        monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(KitError, match=r"cannot keep .*sgd-digits-seed1 as "):
        keeping.keep_record(trial.run)
    assert Run(kept).metrics["last_accuracy"] == 40.0
    assert list(kept.parent.iterdir()) == [kept]
