"""The run folder: what a training leaves, and what is said of damaged ones."""

import json
import re
from contextlib import nullcontext

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import within_limits
from made_up_runs import SMALL, make_run
from safetensors.torch import load_file

from kit.ablation.tables import readme_tables
from kit.data.loading import load, split
from kit.errors import KitError
from kit.model.parameterbudget import count_parameters
from kit.recipe import PAPER, Recipe
from kit.run import Run, all_runs, load_runs
from kit.system import files
from kit.workflow import write_index, write_report


def test_a_training_leaves_the_whole_folder(digits_run, digits_recipe):
    names = {path.name for path in digits_run.folder.iterdir()}
    weights = {"model.safetensors", "best.safetensors"}
    assert names == weights | {"config.json", "history.csv", "metrics.json", "checkpoint.pt"}
    config = digits_run.config
    assert digits_run.recipe == digits_recipe
    assert config["parameters"] == count_parameters(digits_run.model()) == 78_042
    assert config["versions"]["torch"] == torch.__version__
    assert {"device", "threads", "commit", "command", "data", "amp", "classes"} <= set(config)


def test_other_images_with_the_same_classes_and_labels_are_refused(digits, digits_run):
    noisy = load("noisy-digits")
    assert len(noisy.train_labels) == len(digits.train_labels) and noisy.classes == digits.classes
    digits_run.check_images(digits)
    with pytest.raises(KitError, match=r"was trained on other images of the same classes .* not on these .*noise"):
        digits_run.check_images(noisy)


def test_history_and_metrics_agree(digits_run):
    history, figures = digits_run.history, digits_run.metrics
    assert history["epoch"].tolist() == [1, 2]
    assert figures["last_accuracy"] == pytest.approx(history["validation_accuracy"].iloc[-1])
    assert figures["best_accuracy"] == pytest.approx(history["validation_accuracy"].max())
    assert history["lr"].is_monotonic_decreasing
    assert (history[["train_loss", "validation_loss", "grad_norm", "seconds", "images_per_second"]] > 0).all().all()


def test_the_saved_weights_have_plain_names_and_the_reported_accuracy(digits_run, digits):
    weights = load_file(digits_run.weights_path())
    assert not [name for name in weights if name.startswith(("module.", "_orig_mod."))]
    from kit.predict import predict

    for kind in ("last", "best"):
        hits = predict(digits_run.model(kind), digits.test_images).argmax(1) == digits.test_labels
        assert 100 * hits.double().mean().item() == pytest.approx(digits_run.metrics[f"{kind}_accuracy"])


def test_the_best_weights_say_how_they_were_chosen(digits_run):
    from safetensors import safe_open

    with safe_open(digits_run.weights_path("best"), "pt") as file:
        assert "chosen on the validation images" in file.metadata()["weights_of"]
        assert int(file.metadata()["epoch"]) == digits_run.metrics["best_epoch"]


def test_the_checkpoint_loads_without_running_code(digits_run):
    state = torch.load(digits_run.checkpoint_path, weights_only=True)
    assert state["learner"]["steps"] == 2 * (1438 // 64)


def test_the_summary_names_accuracy_split_and_parameters(digits_run):
    text = digits_run.summary()
    assert f"final accuracy {digits_run.metrics['last_accuracy']:.2f} %" in text
    assert "359 validation images (paper split, last epoch)" in text
    assert "number of parameters 78,042" in text


def test_a_missing_run_lists_those_there_are(digits_run):
    with pytest.raises(KitError, match=r"no run in .*absent.*\(digits\)"):
        Run.load(digits_run.folder.parent / "absent")
    assert [run.name for run in all_runs(digits_run.folder.parent)] == ["digits"]


def test_runs_are_loaded_together_by_names_with_commas(tmp_path, digits_run):
    made_with(tmp_path / "held", "holdout", 1)
    assert [run.folder for run in load_runs(f"{digits_run.folder}, {tmp_path / 'held'}")] == [
        digits_run.folder,
        tmp_path / "held",
    ]
    with pytest.raises(KitError, match="split holdout of seed 1 keeps for validation"):
        load_runs(f"{tmp_path / 'held'},{digits_run.folder}")
    with pytest.raises(KitError, match="there is no run in"):
        load_runs(f"{digits_run.folder},absent")
    made_with(tmp_path / "a, b", "paper", 1)
    assert load_runs(str(tmp_path / "a, b"))[0].folder == tmp_path / "a, b"
    for names in ("one,", ",one", "one,,two", "one,one"):
        with pytest.raises(KitError, match="different names joined by commas"):
            load_runs(names)


def made_with(folder, split, seed):
    run = Run(folder)
    files.write_json(run.config_path, {"recipe": Recipe(split=split, seed=seed).as_dict()})
    return run


@pytest.mark.parametrize(
    ("ours", "theirs", "refused"),
    [
        (("paper", 1), ("paper", 2), False),
        (("holdout", 1), ("paper", 2), False),  # neither trains on the official test images
        (("holdout", 1), ("holdout", 1), False),
        (("holdout", 2), ("holdout", 1), True),
        (("paper", 1), ("holdout", 1), True),
    ],
)
def test_a_run_is_not_judged_by_images_it_trained_on(tmp_path, digits, ours, theirs, refused):
    seen, held = split(digits, *ours).train_images, split(digits, *theirs).validation_images
    shared = {image.numpy().tobytes() for image in seen} & {image.numpy().tobytes() for image in held}
    assert (len(shared) > 100) == refused
    run, other = made_with(tmp_path / "ours", *ours), made_with(tmp_path / "theirs", *theirs)
    with (
        pytest.raises(KitError, match="ours trained on images that split holdout of seed 1 keeps")
        if refused
        else nullcontext()
    ):
        run.check_unseen_validation(other.recipe)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a b", "x;y"])
def test_names_that_are_no_folders_are_refused(name):
    with pytest.raises(KitError, match="run has to be a name"):
        Run(name)


def test_damaged_files_are_one_sentence(digits_run, tmp_path):
    run = Run(tmp_path / "damaged")
    run.folder.mkdir()
    run.config_path.write_text(json.dumps(digits_run.config))
    with pytest.raises(KitError, match="has not finished an epoch"):
        run.model()
    with pytest.raises(KitError, match="weights has to be one of last, best"):
        run.model("worst")
    (run.folder / "model.safetensors").write_bytes(digits_run.weights_path().read_bytes()[:1000])
    with pytest.raises(KitError, match="does not fit"):
        run.model()
    run.checkpoint_path.write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(KitError, match="delete it to start the run over"):
        run.load_checkpoint()
    assert not run.finished and run.metrics == {} and isinstance(run.history, pd.DataFrame)
    assert "unfinished: 0 of 2 epochs" in run.summary()


def test_weights_of_another_architecture_do_not_load(digits_run, tmp_path):
    run = Run(tmp_path / "other")
    run.folder.mkdir()
    config = digits_run.config
    config["recipe"]["arch"] = "small"
    run.config_path.write_text(json.dumps(config))
    (run.folder / "model.safetensors").write_bytes(digits_run.weights_path().read_bytes())
    with pytest.raises(KitError, match="does not fit the run's architecture"):
        run.model()


def test_a_name_that_no_file_system_takes_is_one_sentence(tmp_path):
    for name in ("x" * 300, "é" * 120):
        with pytest.raises(KitError, match="at most 200 bytes") as refused:
            Run(name)
        assert len(str(refused.value)) < 200
    assert Run("x" * 200).name == "x" * 200
    with pytest.raises(KitError, match="the name is too long; choose a shorter one"):
        files.write_text(tmp_path / ("x" * 300), "")


def test_a_run_that_goes_on_before_its_first_epoch_ended_has_an_empty_history(tmp_path):
    run = make_run(tmp_path, "one", SMALL)
    run.metrics_path.unlink()
    run.save_history([])
    assert run.history.empty and run.summary().startswith("unfinished: 0 of 2 epochs")


@pytest.mark.parametrize(
    ("accuracy", "norm", "words"),
    [
        (10.0, 1e-13, r"10.00 % is no better than guessing among 10 classes, and the gradient has vanished \(1e-13\)"),
        (10.0, 1.0, "10.00 % is no better than guessing among 10 classes: the training collapsed, or was too short"),
        (7.0, 1.0, "no better than guessing"),
        (11.0, 1e-13, ""),  # more than three standard errors above a guess: little, but learnt
        (95.0, 0.0, ""),  # nothing left to learn
    ],
)
def test_a_training_that_is_no_better_than_guessing_is_told(tmp_path, accuracy, norm, words):
    run = make_run(tmp_path, "some", PAPER.replace(epochs=2), accuracy)
    run.save_history(run.history.assign(grad_norm=[1.0, norm]).to_dict("records"))
    assert bool(re.search(words, run.trouble)) if words else run.trouble == ""
    assert (f"warning: {run.trouble}" in run.summary()) == bool(words) == ("warning" in run.summary())


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [10.0, 95.0])
def test_pages_and_tables_flag_such_a_training(tmp_path, accuracy):
    run, flagged = make_run(tmp_path, "some", PAPER.replace(epochs=2), accuracy), accuracy == 10
    assert ("1 of 1 no better than guessing" in readme_tables(tmp_path)) == flagged
    assert ("Warning: " in write_report(run).read_text()) == flagged
    assert ("(guessing)" in write_index(tmp_path).read_text()) == flagged


def test_guessing_goes_by_the_number_of_classes_and_images(tmp_path):
    few = make_run(tmp_path, "few", PAPER.replace(epochs=2), 45.0, classes=("a", "b", "c"), validation=30)
    many = make_run(tmp_path, "many", PAPER.replace(epochs=2), 45.0, classes=("a", "b", "c"), validation=3000)
    assert "among 3 classes" in few.trouble and not many.trouble


@within_limits
@given(st.text(max_size=400) | st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
@settings(max_examples=200, deadline=5000)
def test_any_text_is_a_folder_of_its_own_below_runs_or_a_sentence(name):
    runs = Run("paper").folder.parent
    try:
        run = Run(name)
    except KitError as error:
        assert len(str(error)) < 1000 and "\n" not in str(error)
    else:
        assert "/" in name or run.folder.parent == runs
        assert "/" in name or len(run.name.encode()) <= 200
