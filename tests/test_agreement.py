"""agreement: three ways of training beside each other, against figures worked out by hand."""

import numpy as np
import pytest
from made_up_runs import make_agreement, make_run

from kit.ablation.agreement import agreement, agreement_runs, comparisons_of
from kit.ablation.records import finished_runs
from kit.ablation.tables import agreement_tables
from kit.recipe import PAPER

ACCURACIES = {"engine": [60.0, 61.0, 62.0], "float32": [60.1, 61.3, 62.2], "paper-way": [59.0, 61.0]}


def test_every_way_has_its_mean_and_the_engines_difference_from_it(tmp_path):
    make_agreement(tmp_path, ACCURACIES)
    (runs,) = comparisons_of(agreement_runs(tmp_path)).values()
    frame = agreement(runs)
    assert frame.index.tolist() == ["the engine", "the engine in float32, not compiled", "the paper's own way"]
    assert frame["last epoch (%)"].tolist() == pytest.approx([61, 61.2, 60])
    assert frame["sd"].tolist() == pytest.approx([1, np.sqrt((1.1**2 + 0.1**2 + 1) / 2), np.sqrt(2)])
    assert frame["n"].tolist() == [3, 3, 2]
    assert np.isnan(frame["engine minus this"].iloc[0])
    assert frame["engine minus this"].tolist()[1:] == pytest.approx([-0.2, 0.5])  # of seeds 1 and 2: 1 and 0
    half = 4.302653 * 0.1 / np.sqrt(3)  # -0.1, -0.3 and -0.2, whose deviation is 0.1
    assert frame.iloc[1][["low", "high"]].tolist() == pytest.approx([-0.2 - half, -0.2 + half], abs=1e-6)


def test_the_table_says_what_ran_and_rounds_as_the_others_do(tmp_path):
    make_agreement(tmp_path, ACCURACIES)
    heading, words, table = agreement_tables(tmp_path).split("\n\n")
    assert heading.startswith("### ")
    assert (
        words
        == "The paper's recipe but for epochs 2 instead of 200, arch 'tiny' instead of 'paper'; image folder data."
    )
    assert (
        "| the engine in float32, not compiled | 61.20 | 1.05 | 3 | -0.20 | -0.45 to 0.05 | paired by seed, n = 3 |"
        in table
    )
    assert len(table.split("\n")) == 5


def test_other_recipes_and_images_are_tables_of_their_own(tmp_path):
    make_agreement(tmp_path / "a", ACCURACIES)
    make_agreement(tmp_path / "b", ACCURACIES, data="image folder data, decoded at an earlier start")
    make_agreement(tmp_path / "c", ACCURACIES, data="handwritten digits")
    make_agreement(tmp_path / "d", ACCURACIES, recipe=PAPER.replace(epochs=2))
    runs = [run for part in "abcd" for run in agreement_runs(tmp_path / part)]
    assert [len(found) for found in comparisons_of(runs).values()] == [16, 8, 8]


def test_without_the_engine_and_of_one_seed_nothing_is_compared(tmp_path):
    make_agreement(tmp_path / "a", {"float32": [60.0, 61.0]})
    assert agreement(agreement_runs(tmp_path / "a"))["engine minus this"].isna().all()
    make_agreement(tmp_path / "b", {"engine": [60.0], "paper-way": [61.0]})
    row = agreement(agreement_runs(tmp_path / "b")).loc["the paper's own way"]
    assert row["engine minus this"] == -1 and row[["sd", "low", "high"]].isna().all() and row["test"] == "none"


def test_unfinished_runs_other_names_and_no_folder_are_passed_over(tmp_path):
    make_agreement(tmp_path, {"engine": [60.0, 61.0]})
    make_run(tmp_path, "other-seed1", PAPER.replace(epochs=2))
    (tmp_path / "engine-seed2" / "metrics.json").unlink()
    assert [run.name for run in agreement_runs(tmp_path)] == ["engine-seed1"]
    assert agreement_runs(tmp_path / "none") == [] and agreement_tables(tmp_path / "none").startswith("Not run yet")


def test_records_of_the_papers_loop_are_no_runs_of_the_kit(tmp_path):
    make_agreement(tmp_path, ACCURACIES)
    assert {run.name.rpartition("-")[0] for run in finished_runs(tmp_path)} == {"engine", "float32"}
