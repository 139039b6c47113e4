"""Records: a run says which row it repeats at which scale, or it is the row's own recipe; its name does not matter."""

import json

import pytest
from made_up_runs import DIGITS, make_run, make_table

from kit.ablation.experiments import TABLES, at_scale, is_about_epochs
from kit.ablation.records import all_repetitions, data_of, finished_runs, mark, recipe_of, repetitions
from kit.errors import KitError
from kit.recipe import PAPER, RECIPES

ROWS = sorted({row for table in TABLES.values() for row in table.rows})


def rows_of(found):
    """The names of the runs in each row of a repetition."""
    return {row: [run.name for run in runs] for row, runs in found.runs.items()}


@pytest.mark.parametrize("row", ROWS)
def test_a_run_that_no_sweep_started_repeats_the_row_whose_recipe_it_has(tmp_path, row):
    others = [other for other in ROWS if other != row][:1]
    for name in (row, *others):
        make_run(tmp_path, name, RECIPES[name].replace(seed=7))
    runs = finished_runs(tmp_path)
    for name in (name for name, table in TABLES.items() if {row, *others} <= set(table.rows)):
        (repetition,) = repetitions(name, runs)
        assert repetition.scale.full and rows_of(repetition) == {each: [each] for each in (row, *others)}
    assert {run.name for each in all_repetitions(runs) for run in each.runs.get(row, ())} <= {row}


def test_the_rows_about_their_epochs_are_those_of_that_table_but_the_final_one():
    assert {row for row in RECIPES if is_about_epochs(row)} == {"epochs-100", "epochs-250", "epochs-300"}


@pytest.mark.parametrize("changed", [{"batch_size": 256}, {"arch": "64,128,256/4,4,3"}, {"epochs": 2}], ids=str)
def test_a_changed_setting_belongs_nowhere(tmp_path, changed):
    make_run(tmp_path, "paper", PAPER.replace(**changed))
    make_run(tmp_path, "sgd", RECIPES["sgd"].replace(**changed))
    assert all_repetitions(finished_runs(tmp_path)) == []


def test_an_architecture_spelt_out_is_the_one_that_has_a_name(tmp_path):
    make_run(tmp_path, "spelt-out", PAPER.replace(arch="64,128,256/4,5,3"), 96)
    (repetition,) = repetitions("1", finished_runs(tmp_path))
    assert repetition.scale.full and rows_of(repetition) == {"paper": ["spelt-out"]}


def test_a_run_stands_where_its_record_says_whatever_its_name(tmp_path):
    mark(make_run(tmp_path, "table1-1111", at_scale("table1-2222", 2, 0.25), 50), "table1-2222", 2, 0.25)
    mark(make_run(tmp_path, "anything", at_scale("paper", 2, 0.25), 51), "paper", 2, 0.25)
    (repetition,) = repetitions("1", finished_runs(tmp_path))
    assert rows_of(repetition) == {"table1-2222": ["table1-1111"], "paper": ["anything"]}
    assert (repetition.scale.epochs, repetition.scale.arch_scale) == (2, 0.25)


@pytest.mark.parametrize(
    "label", [("sgd", 4, 0.25), ("sgd", 2, 0.5), ("sgd", 2, 0), ("sgd", 0, 0.25), ("gone", 2, 0.25), ("adam", 2, 0.25)]
)
def test_a_record_whose_row_or_scale_does_not_make_its_recipe_belongs_nowhere(tmp_path, label):
    """As after a change of the row in RECIPES."""
    make_table(tmp_path, "optimizers", {"paper": [60.0]}, arch_scale=0.25)
    mark(make_run(tmp_path, "sgd", at_scale("sgd", 2, 0.25)), *label)
    assert all_repetitions(finished_runs(tmp_path)) == []


def test_a_mark_is_written_once_and_keeps_the_time_of_the_start(tmp_path):
    run = make_run(tmp_path, "sgd", at_scale("sgd", 2, 0.25))
    began, before = run.config_path.stat().st_mtime_ns, run.config
    mark(run, "sgd", 2, 0.25)
    assert run.config == before | {"row": "sgd", "scale": {"epochs": 2, "channels": 0.25}}
    written = run.config_path.stat()
    assert written.st_mtime_ns == began
    mark(run, "sgd", 2, 0.25)
    assert run.config_path.stat().st_ino == written.st_ino, "the same mark was written twice"
    run.config_path.write_text("{")
    with pytest.raises(KitError, match="not JSON"):
        mark(run, "sgd", 2, 0.25)


def test_two_factors_that_make_one_network_are_two_scales(tmp_path):
    for arch_scale in (0.12, 0.125):  # of the paper's channels both make 8, 16, 32
        make_table(tmp_path, "1", {row: [60.0] for row in TABLES["1"].rows}, arch_scale=arch_scale)
    assert [found.scale.arch_scale for found in repetitions("1", finished_runs(tmp_path))] == [0.125, 0.12]


def test_scales_images_and_splits_are_kept_apart(tmp_path):
    given = {"table2-autoaugment": [60.0, 61.0], "paper": [61.0, 62.0]}
    make_table(tmp_path / "a", "2", given)
    make_table(tmp_path / "b", "2", given, epochs=4)
    make_table(tmp_path / "c", "2", given, arch_scale=0.25)
    make_table(tmp_path / "d", "2", given, classes=DIGITS, images=1438, validation=359)
    for row in given:
        held_out = at_scale(row, 2, 0.125).replace(split="holdout")
        mark(make_run(tmp_path / "e", f"{row}-holdout", held_out, 60, images=42_000), row, 2, 0.125)
    runs = [run for part in "abcde" for run in finished_runs(tmp_path / part)]
    found = [str(repetition.scale) for repetition in repetitions("2", runs)]
    assert len(found) == 5
    assert "Shrunk: 2 epochs in place of 200, channels x 0.125; CIFAR-10, trained on 50,000 images, validated on " \
           "10,000 (paper split)" in found  # fmt: skip
    assert sum("handwritten digits, trained on 1,438 images, validated on 359" in words for words in found) == 1
    assert sum("42,000 images, validated on 10,000 (holdout split)" in words for words in found) == 1


def test_digits_with_noise_are_other_images(tmp_path):
    runs = [make_run(tmp_path, name, PAPER, 60, classes=DIGITS) for name in ("plain", "noisy")]
    source = "scikit-learn's handwritten digits, enlarged to 32x32, with noise"
    runs[1].config_path.write_text(json.dumps(runs[1].config | {"data": source}))
    assert [data_of(run).kind for run in runs] == ["handwritten digits", "handwritten digits with noise"]


def test_dropped_last_batches_are_no_other_images(tmp_path):
    """54 batches of 768 are 41,472 of 42,000 images, 164 of 256 are 41,984: by the history they would be two kinds."""
    runs = [make_run(tmp_path, f"batch-{size}", PAPER.replace(epochs=2, batch_size=size, split="holdout"))
            for size in (768, 256)]  # fmt: skip
    for run, seen in zip(runs, (41_472, 41_984), strict=True):
        run.save_history(run.history.assign(seconds=10.0, images_per_second=seen / 10).to_dict("records"))
        (run.folder / "metrics.json").write_text(json.dumps(run.metrics | {"training_images": 42_000}))
    assert {data_of(run).trained for run in runs} == {42_000}


@pytest.mark.parametrize(
    ("changes", "given"),
    [({}, {"images": 5_000}), ({}, {"validation": 1_000}), ({"split": "holdout"}, {}), ({}, {"classes": DIGITS})],
)
def test_full_scale_needs_all_the_papers_images(tmp_path, changes, given):
    make_run(tmp_path, "a", PAPER.replace(**changes), **given)
    make_run(tmp_path, "b", RECIPES["sgd"].replace(**changes), **given)
    (shrunk,) = repetitions("optimizers", finished_runs(tmp_path))
    assert not shrunk.scale.full


def test_full_scale_is_called_so_and_comes_first(tmp_path):
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0, 61.0], "paper": [61.0, 62.0]})
    make_run(tmp_path, "paper", PAPER, 96)
    make_run(tmp_path, "digits", PAPER, 99, classes=DIGITS)
    full, shrunk = repetitions("2", finished_runs(tmp_path))
    assert str(full.scale).startswith("Full scale: 200 epochs, all channels; CIFAR-10")
    assert {row: len(runs) for row, runs in full.runs.items()} == {"paper": 1}
    assert str(shrunk.scale).startswith("Shrunk")


def test_a_row_alone_at_a_shrunk_scale_compares_with_nothing(tmp_path):
    make_table(tmp_path, "1", {"paper": [60.0, 61.0]}, epochs=4)
    assert all_repetitions(finished_runs(tmp_path)) == []


def test_rows_about_their_epochs_meet_at_the_length_that_replaces_the_200(tmp_path):
    make_table(tmp_path, "epochs", {row: [60.0, 61.0] for row in TABLES["epochs"].rows}, epochs=4)
    (repetition,) = repetitions("epochs", finished_runs(tmp_path))
    assert repetition.scale.epochs == 4
    assert [runs[0].recipe.epochs for runs in repetition.runs.values()] == [2, 4, 5, 6]


def test_a_length_that_another_table_ran_makes_no_table_of_two_rows(tmp_path):
    """2 epochs of Table 2's final row could be the 100 where these 4 epochs are the 200, but those are 100 already."""
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0], "paper": [61.0]}, epochs=2)
    make_table(tmp_path, "epochs", {row: [60.0] for row in TABLES["epochs"].rows}, epochs=8)
    assert [repetition.scale.epochs for repetition in repetitions("epochs", finished_runs(tmp_path))] == [8]


def test_of_a_seed_twice_and_of_a_name_twice_the_later_counts(tmp_path):
    recipe = at_scale("sgd", 2, 0.125)
    for part, accuracy in (("kept", 50), ("here", 51)):
        mark(make_run(tmp_path / part, "same-name", recipe.replace(seed=1), accuracy), "sgd", 2, 0.125)
    mark(make_run(tmp_path / "kept", "same-recipe", recipe.replace(seed=1), 52), "sgd", 2, 0.125)
    make_table(tmp_path / "kept", "optimizers", {"paper": [60.0]})
    runs = finished_runs(tmp_path / "kept", tmp_path / "here")
    assert sorted(run.metrics["last_accuracy"] for run in runs) == [51, 52, 60]
    (repetition,) = repetitions("optimizers", runs)
    assert len(repetition.runs["sgd"]) == 1


def test_of_one_name_other_images_and_other_recipes_hide_nothing(tmp_path):
    make_run(tmp_path / "kept", "demo", PAPER.replace(epochs=2), 60)
    make_run(tmp_path / "kept", "quick", PAPER.replace(epochs=3), 61)
    make_run(tmp_path / "here", "demo", PAPER.replace(epochs=2), 99, classes=DIGITS, images=1438)
    make_run(tmp_path / "here", "quick", PAPER.replace(epochs=4), 62)
    runs = finished_runs(tmp_path / "kept", tmp_path / "here")
    assert sorted(run.metrics["last_accuracy"] for run in runs) == [60, 61, 62, 99]


def test_unfinished_runs_are_passed_over(tmp_path):
    run = make_run(tmp_path, "cut", PAPER.replace(epochs=2))
    (run.folder / "metrics.json").unlink()
    assert finished_runs(tmp_path) == [] and finished_runs(tmp_path / "none") == []


def change_recipe(run, **changes):
    config = json.loads(run.config_path.read_text())
    config["recipe"] = {k: v for k, v in (config["recipe"] | changes).items() if v is not None}
    run.config_path.write_text(json.dumps(config))


def test_a_record_without_a_newer_setting_has_todays_default(tmp_path):
    run = make_run(tmp_path, "old", at_scale("paper", 2, 0.125))
    change_recipe(run, ema=None, filter=None)
    assert recipe_of(run) == at_scale("paper", 2, 0.125)


def test_a_record_with_a_setting_that_has_gone_belongs_nowhere(tmp_path):
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0], "paper": [61.0]})
    run = make_run(tmp_path, "older", at_scale("table2-jitter-rotation", 2, 0.125))
    mark(run, "table2-jitter-rotation", 2, 0.125)
    change_recipe(run, whitening_of_old=3)
    (repetition,) = repetitions("2", finished_runs(tmp_path))
    assert recipe_of(run) is None and run.name not in {member.name for member in repetition.members}
