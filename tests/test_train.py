"""The real training entry on embedded digits."""

import os
from dataclasses import replace

import pytest
import torch

from kit.data.loading import Dataset, load
from kit.errors import KitError
from kit.model.parameterbudget import count_parameters, draft
from kit.model.resnet import build
from kit.recipe import RECIPES, Recipe
from kit.run import Run
from kit.system import files
from kit.train.__main__ import main
from kit.train.loop import train

TINY = RECIPES["digits"].replace(epochs=1)


def weights(run):
    return run.weights_path().read_bytes()


@pytest.mark.slow
def test_training_learns_the_digits(tmp_path, digits):
    run = train(RECIPES["digits"].replace(epochs=8), digits, Run(tmp_path / "run"))
    assert run.metrics["last_accuracy"] > 95
    assert run.metrics["train_accuracy"] > 95


@pytest.mark.slow
def test_a_seed_names_a_training(tmp_path, digits, digits_recipe, digits_run):
    again = train(digits_recipe, digits, Run(tmp_path / "again"))
    assert weights(again) == weights(digits_run)
    other = train(digits_recipe.replace(seed=1), digits, Run(tmp_path / "other"))
    assert weights(other) != weights(digits_run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "adam", "lr": 0.01, "lookahead_k": 0},
        {"optimizer": "adamw", "lr": 0.01, "ema": 0.9},
        {"optimizer": "nesterov", "schedule": "step", "dropout": 0.2, "filter": "3,5,3", "skip_kernel": 3, "pool": 4},
        {"mixup_alpha": 0.5, "cutmix_alpha": 1.0, "cutout": 8, "augment": "crop+flip+trivialaugment"},
        {"jitter": 0.2, "rotation": 15, "augment": "reflect+randaugment", "schedule": "constant"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_every_part_of_a_recipe_trains(tmp_path, digits, changed):
    run = train(TINY.replace(**changed), digits, Run(tmp_path / "run"))
    assert run.finished
    assert run.history["train_loss"].notna().all()


@pytest.mark.slow
def test_holdout_keeps_the_test_images_for_the_end(tmp_path, digits):
    run = train(TINY.replace(split="holdout"), digits, Run(tmp_path / "run"))
    assert run.metrics["split"] == "holdout"
    assert run.metrics["validation_images"] == pytest.approx(0.16 * len(digits.train_images), abs=10)
    assert 0 <= run.metrics["test_accuracy"] <= 100
    assert "used once" in run.summary()


def test_a_finished_run_is_left_alone(digits_run, digits, digits_recipe):
    before = {p.name: p.stat().st_mtime_ns for p in digits_run.folder.iterdir()}
    assert train(digits_recipe, digits, digits_run).finished
    assert {p.name: p.stat().st_mtime_ns for p in digits_run.folder.iterdir()} == before


def test_another_recipe_does_not_overwrite_a_run(digits_run, digits, digits_recipe):
    before = weights(digits_run)
    with pytest.raises(KitError, match=r"another recipe \(lr 0\.1, not 0\.2\): choose another name"):
        train(digits_recipe.replace(lr=0.2), digits, digits_run)
    assert weights(digits_run) == before


def test_a_run_of_other_images_is_neither_taken_for_theirs_nor_overwritten(digits_run, digits, digits_recipe):
    before = weights(digits_run)
    others = replace(digits, classes=tuple("abcdefghij"))
    with pytest.raises(KitError, match=r"trained on 1,438 images of .*, not on these 1,438 of a, b, c, \.\.\.: give"):
        train(digits_recipe, others, digits_run)
    fewer = replace(digits, train_images=digits.train_images[:999], train_labels=digits.train_labels[:999])
    with pytest.raises(KitError, match="not on these 999 of"):
        train(digits_recipe, fewer, digits_run)
    assert weights(digits_run) == before


@pytest.mark.slow
def test_a_checkpoint_from_before_images_were_selected_goes_on(tmp_path, digits):
    run = train(TINY, digits, Run(tmp_path / "run"), max_hours=1e-9)
    checkpoint = run.load_checkpoint()
    del checkpoint["selection"]
    run.save_checkpoint(checkpoint)
    assert train(TINY, digits, run).finished


@pytest.mark.slow
def test_a_run_from_before_a_setting_existed_is_the_same_recipes(tmp_path, digits):
    run = train(TINY, digits, Run(tmp_path / "run"))
    config = run.config
    del config["recipe"]["cutmix_alpha"]
    files.write_json(run.config_path, config)
    assert train(TINY, digits, run).finished
    with pytest.raises(KitError, match=r"cutmix_alpha 0\.0, not 0\.5"):
        train(TINY.replace(cutmix_alpha=0.5), digits, run)


@pytest.mark.slow
def test_starting_over_is_asked_for(tmp_path, digits):
    run = train(TINY, digits, Run(tmp_path / "run"))
    again = train(TINY.replace(lr=0.05), digits, run, resume=False)
    assert again.recipe.lr == 0.05 and again.finished


def test_too_many_parameters_stop_before_any_work(tmp_path, digits):
    run = Run(tmp_path / "big")
    with pytest.raises(KitError, match="5,000,000"):
        train(TINY.replace(arch="64,128,256/4,6,3"), digits, run)
    assert not run.folder.exists()


def test_parameters_are_counted_without_memory_for_them(tmp_path, digits):
    huge = TINY.replace(arch="64,128,25600000/4,5,3")  # some petabytes
    with pytest.raises(KitError, match="trainable parameters and the competition allows 5,000,000"):
        train(huge, digits, Run(tmp_path / "huge"))
    for arch in ("64,128,99999999999/4,5,3", f"64,128,{10**22}/4,5,3"):
        with pytest.raises(KitError, match="is too large"):
            draft(TINY.replace(arch=arch).architecture)
    assert count_parameters(draft(TINY.architecture)) == count_parameters(build(TINY.architecture))


def test_a_word_that_compile_does_not_know_is_refused(tmp_path, digits):
    with pytest.raises(KitError, match="compile has to be one of auto, on, off, not 'yes'"):
        train(TINY, digits, Run(tmp_path / "run"), compile="yes")


def test_a_diverging_loss_ends_the_run_with_a_cure(tmp_path, digits):
    with pytest.raises(KitError, match="lower lr"):
        train(TINY.replace(lr=1e12, optimizer="sgd", lookahead_k=0, weight_decay=10), digits, Run(tmp_path / "run"))


def test_a_batch_larger_than_the_data_is_refused(tmp_path, digits):
    with pytest.raises(KitError, match="batch_size has to be at most"):
        train(TINY.replace(batch_size=5000), digits, Run(tmp_path / "run"))


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_files(tmp_path, digits, monkeypatch):
    run = train(TINY, digits, Run(tmp_path / "run"))
    before = {p.name: p.read_bytes() for p in run.folder.iterdir()}

    def full(*_args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KitError, match="No space left"):
        run.save_checkpoint({"steps": 1})
    with pytest.raises(KitError, match="No space left"):
        run.save_weights("last", {"x": torch.zeros(1)})
    assert {p.name: p.read_bytes() for p in run.folder.iterdir()} == before


@pytest.mark.slow
def test_the_command_line_entry_trains_and_refuses(tmp_path, monkeypatch, capsys):
    name = str(tmp_path / "cli")
    assert main(["--data=digits", "--recipe=digits", "--epochs=1", f"--run={name}", "--amp=fp32"]) == 0
    assert files.read_json(tmp_path / "cli" / "config.json")["amp"] == "float32"
    assert Run(name).summary() in capsys.readouterr().out
    assert main(["--data=digits", "--recipe=digits", "--epochs=1", f"--run={name}", "--amp=fp32"]) == 0
    assert Run(name).summary() in capsys.readouterr().out
    (tmp_path / "cli" / "metrics.json").unlink(), (tmp_path / "cli" / "checkpoint.pt").unlink()
    assert main(["--data=digits", "--recipe=digits", "--epochs=1", f"--run={name}", "--amp=fp32"]) == 0
    assert "cli has no checkpoint yet: starting over" in capsys.readouterr().out
    assert main(["--data=digits", "--recipe=digits", "--epochs=0"]) == 2
    assert "error: epochs has to be a whole number from 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--epoch=3"])
    assert main(["--data=digits", "--gpus=2"]) == 2
    assert "torchrun --nproc_per_node=2 -m -- kit.train" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.real
def test_real_images_are_learnt(tmp_path):
    everything = load("auto")
    some = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))[:5120]
    part = Dataset(everything.train_images[some], everything.train_labels[some], everything.test_images[::5],
                   everything.test_labels[::5], everything.classes, everything.source)  # fmt: skip
    recipe = Recipe(arch="tiny", epochs=3, batch_size=64, lookahead_k=0, augment="flip", cutout=0, lr=0.1)
    run = train(recipe, part, Run(tmp_path / "real"))
    assert run.metrics["train_accuracy"] > 30  # 10 % is chance
