"""comparisons: the frames of the ablation against figures worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from made_up_runs import make_run, make_table, make_tries
from scipy import stats

from kit.ablation.comparisons import (
    accuracies,
    by_recipe,
    differences,
    gaps,
    histories,
    other_runs,
    reference_row,
    single_runs,
)
from kit.ablation.experiments import TABLES
from kit.ablation.records import all_repetitions, finished_runs, mark, repetitions
from kit.recipe import PAPER, RECIPES

BASE = RECIPES["digits"]
TABLE_2 = {"table2-autoaugment": [60.0, 61.0, 63.0], "paper": [61.0, 62.5, 63.5]}


def repeated(folder, name):
    (repetition,) = repetitions(name, finished_runs(folder))
    return repetition


def test_our_figures_stand_beside_the_papers(tmp_path):
    make_table(tmp_path, "2", TABLE_2, minutes=2.5, parameters=1234)
    frame = accuracies(repeated(tmp_path, "2"))
    assert frame["paper (%)"].tolist() == [95.42, 95.94, 94.9]
    row = frame.loc["crop + flip + AutoAugment (1)"]
    assert (row["last epoch (%)"], row["n"]) == (pytest.approx(184 / 3), 3)
    assert row["sd"] == pytest.approx(np.sqrt(7 / 3))  # squared deviations 16/9, 1/9 and 25/9, over n - 1
    half = 4.302653 * np.sqrt(7 / 3) / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((184 / 3 - half, 184 / 3 + half), abs=1e-5)
    assert row["best epoch (%)"] == pytest.approx(184 / 3 + 0.5)
    assert (row["parameters"], row["minutes"], row["split"]) == (1234, 2.5, "paper")
    assert row["images/s"] == pytest.approx(2 * 50_000 / 150)
    assert row["device"] == "a CPU, 2 threads, float32"


def test_a_run_without_history_has_all_figures_but_its_speed(tmp_path):
    make_table(tmp_path, "2", TABLE_2)
    for run in finished_runs(tmp_path):
        (run.folder / "history.csv").unlink()
    frame = accuracies(repeated(tmp_path, "2"))
    assert frame["images/s"].isna().all() and frame["n"].tolist() == [3, 3, 0]
    assert frame.iloc[0]["last epoch (%)"] == pytest.approx(184 / 3)


def test_a_row_that_did_not_run_keeps_the_papers_figure(tmp_path):
    make_table(tmp_path, "2", TABLE_2)
    row = accuracies(repeated(tmp_path, "2")).loc["(1) + colour jitter + rotation"]
    assert (row["paper (%)"], row["n"], row["device"]) == (94.9, 0, "")
    assert row[["last epoch (%)", "sd", "low", "high", "minutes", "images/s", "parameters"]].isna().all()


def test_one_run_has_neither_deviation_nor_interval(tmp_path):
    make_table(tmp_path, "1", {"table1-1111": [60.0], "paper": [61.0]})
    row = accuracies(repeated(tmp_path, "1")).iloc[0]
    assert (row["last epoch (%)"], row["n"], row["paper's parameters"]) == (60, 1, 4_903_242)
    assert row[["sd", "low", "high"]].isna().all()


def test_an_interval_stays_within_what_an_accuracy_can_be(tmp_path):
    make_table(tmp_path, "1", {"table1-1111": [10.0, 14.0], "paper": [88.0, 96.0]})
    frame = accuracies(repeated(tmp_path, "1"))
    half = 12.7062 * 2  # t of 97.5 % with 1 degree of freedom times sqrt(8) / sqrt(2); sqrt(32) / sqrt(2) is twice that
    assert frame.iloc[0][["low", "high"]].tolist() == pytest.approx([0, 12 + half], abs=1e-3)
    assert frame.iloc[-1][["low", "high"]].tolist() == pytest.approx([92 - 2 * half, 100], abs=1e-3)


def test_columns_that_the_paper_leaves_empty_are_not_there(tmp_path):
    make_table(tmp_path, "optimizers", {"sgd": [60.0], "paper": [61.0]})
    assert not {"paper (%)", "paper's parameters"} & set(accuracies(repeated(tmp_path, "optimizers")))


def test_rows_are_compared_with_the_final_configuration_and_corrected_over_the_table(tmp_path):
    values = {
        "sgd": [60.0, 61.0, 63.0],
        "adam": [50.0, 52.0, 51.0],
        "paper": [61.0, 62.5, 63.5],
        "lookahead-adam": [55.0],
    }
    make_table(tmp_path, "optimizers", values)
    repetition = repeated(tmp_path, "optimizers")
    frame = differences(repetition)
    assert reference_row(repetition).row == "paper"
    assert frame.index.tolist() == ["SGD", "Adam", "Lookahead(Adam)"]
    p = [stats.ttest_rel(values[row], values["paper"]).pvalue for row in ("sgd", "adam")]
    assert p[1] < p[0] and p[1] < 0.025
    np.testing.assert_allclose(frame["p"], [*p, np.nan])
    np.testing.assert_allclose(frame["p (Holm)"], [p[0], 2 * p[1], np.nan])
    assert frame["difference"].tolist() == pytest.approx([-1, -34 / 3, -22 / 3])
    assert frame["verdict"].tolist() == ["within noise", "worse", "n = 1: cannot tell"]


def test_other_seeds_than_the_references_are_compared_as_welch_does(tmp_path):
    values = {"sgd": [60.0, 61.0], "adam": [60.0, 61.5, 63.0], "paper": [61.0, 62.5, 63.5]}
    make_table(tmp_path, "optimizers", values)
    for run in finished_runs(tmp_path):
        if run.name.startswith("sgd"):
            mark(make_run(tmp_path, run.name, run.recipe.replace(seed=run.recipe.seed + 10),
                          run.metrics["last_accuracy"]), "sgd", 2, 0.125)  # fmt: skip
    frame = differences(repeated(tmp_path, "optimizers"))
    assert frame["test"].tolist() == ["Welch", "paired by seed, n = 3"]
    assert frame.loc["SGD", "p"] == pytest.approx(
        stats.ttest_ind(values["sgd"], values["paper"], equal_var=False).pvalue
    )


@pytest.mark.parametrize("better", ["adam", "lookahead-adam"])
def test_without_the_final_configuration_the_first_row_that_ran_is_the_reference_whatever_is_best(tmp_path, better):
    rows = {"adam": [60.5, 61.5], "lookahead-adam": [59.0, 60.0]}
    make_table(tmp_path, "optimizers", rows | {better: [70.0, 71.0]})
    assert reference_row(repeated(tmp_path, "optimizers")).label == "Adam"


def test_gaps_are_training_without_augmentation_minus_validation(tmp_path):
    for gap, row in enumerate(TABLES["epochs"].rows[:3], start=1):
        make_table(tmp_path, "epochs", {row: [60.0, 64.0]}, epochs=4, gap=gap)
    frame = gaps(repeated(tmp_path, "epochs"))
    assert frame["epochs"].tolist()[:3] == [2, 4, 5]
    assert frame["gap"].tolist()[:3] == pytest.approx([1, 2, 3])
    assert frame["sd"].tolist()[:3] == pytest.approx([0, 0, 0])
    assert (frame.iloc[1]["training, plain (%)"], frame.iloc[1]["validation (%)"]) == (64, 62)
    assert frame.iloc[3]["n"] == 0 and np.isnan(frame.iloc[3]["gap"]) and pd.isna(frame.iloc[3]["verdict"])


def test_gaps_are_compared_seed_by_seed_with_that_of_the_200_epochs(tmp_path):
    apart = {"epochs-100": [4.0, 4.1, 4.3], "paper": [5.0, 5.2, 5.1], "epochs-250": [5.1, 5.0, 5.3],
             "epochs-300": [9.0, 9.3, 9.2]}  # fmt: skip
    for row, values in apart.items():
        for seed, gap in enumerate(values, start=1):
            recipe = RECIPES[row].replace(seed=seed)
            make_run(tmp_path, f"{row}-{seed}", recipe, 60 + seed**2, gap=gap)
    frame = gaps(repeated(tmp_path, "epochs"))
    assert frame["verdict"].tolist() == ["smaller", "reference", "within noise", "larger"]
    assert frame["difference"].dropna().tolist() == pytest.approx([-2.9 / 3, 0.1 / 3, 12.2 / 3])
    low, high = frame.loc["300 epochs", ["low", "high"]]  # of 4.0, 4.1 and 4.1, whose deviation is sqrt(1/300)
    half = 4.302653 * np.sqrt(1 / 300) / np.sqrt(3)
    assert (low, high) == pytest.approx((12.2 / 3 - half, 12.2 / 3 + half), abs=1e-6)


@pytest.fixture
def trials(tmp_path):
    return make_tries(tmp_path)


def test_a_kept_record_and_its_original_of_another_name_are_one_run(tmp_path):
    for name in ("a", "b-seed1"):
        make_run(tmp_path, name, BASE.replace(seed=1), 84)
    frame = by_recipe(finished_runs(tmp_path))
    assert frame["n"].to_dict() == {"b": 1} and np.isnan(frame.loc["b", "sd"])


def test_an_old_recipe_says_what_it_has_other_than_todays_of_its_name(trials):
    frame = by_recipe(other_runs(finished_runs(trials), []))
    other = f"epochs {BASE.epochs + 1} instead of {BASE.epochs}"
    assert frame["other than today's recipe of that name"].tolist() == ["", other]
    (trials / "digits" / "metrics.json").unlink()
    assert "other than today's recipe of that name" not in by_recipe(other_runs(finished_runs(trials), []))


def test_a_run_called_tried_for_no_recipe_is_another_run(tmp_path):
    run = make_run(tmp_path, "nobody-tried-this", BASE)
    assert [other.name for other in other_runs(finished_runs(tmp_path), [])] == [run.name]


def test_histories_of_one_name_are_numbered_and_empty_ones_left_out(tmp_path):
    for part, epochs in (("x", 2), ("y", 3), ("z", 4)):
        make_run(tmp_path / part, "same", BASE.replace(epochs=epochs))
    (tmp_path / "y" / "same" / "history.csv").unlink()
    found = histories(finished_runs(tmp_path / "x", tmp_path / "y", tmp_path / "z"))
    assert {name: len(history) for name, history in found.items()} == {"same": 2, "same (2)": 4}


def test_other_runs_stand_in_no_table_and_were_not_tried(trials):
    make_table(trials, "2", TABLE_2)
    make_run(trials, "again", finished_runs(trials)[-1].recipe)  # a second run of what stands in a table
    runs = finished_runs(trials)
    others = other_runs(runs, all_repetitions(runs))
    assert sorted(run.name for run in others) == ["digits", "digits-seed1", "digits-seed2", "digits-seed3"]


def test_single_runs_come_best_first_with_their_settings(trials):
    make_run(trials, "sgd", PAPER.replace(lookahead_k=0, epochs=3), 90)
    frame = single_runs(finished_runs(trials))
    assert len(frame) == 11 and frame["images"].is_monotonic_increasing and frame["images"].nunique() == 2
    assert all(part.is_monotonic_decreasing for _, part in frame.groupby("images")["last epoch (%)"])
    row = frame.loc["sgd"]
    assert (row["epochs"], row["lookahead_k"], row["arch"], row["seed"]) == (3, 0, "paper", 1029)
    assert single_runs([]).empty


def test_the_seeds_of_a_recipe_are_taken_together_and_another_recipe_of_the_name_is_not(trials):
    frame = by_recipe(other_runs(finished_runs(trials), []))
    assert frame.index.tolist() == ["digits", "digits"]
    assert frame["n"].tolist() == [3, 1]
    pd.testing.assert_series_equal(
        frame["last epoch (%)"], pd.Series([84.0 + 4 / 15, 80], frame.index), check_names=False
    )
