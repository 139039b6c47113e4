"""Figures of the ablation: what the lines show is what the records hold, and every row can be told from the others."""

import numpy as np
import pytest
from made_up_runs import make_run, make_table
from matplotlib.colors import to_hex

from kit import plots
from kit.ablation.experiments import TABLES
from kit.ablation.records import finished_runs, repetitions
from kit.plots.style import COLORS
from kit.recipe import PAPER


def panel(folder, name):
    found = repetitions(name, finished_runs(folder))
    (axes,) = plots.table_curves(found).axes
    return axes


def mean_lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_a_row_is_the_mean_of_its_seeds_which_are_thin_lines(tmp_path):
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0, 61.0, 63.0], "paper": [64.0]}, epochs=4)
    axes = panel(tmp_path, "2")
    means = mean_lines(axes)
    assert list(means) == ["(1) + Cutout, n = 1", "crop + flip + AutoAugment (1), n = 3"]  # as the lines end
    curves = [run.history["validation_accuracy"] for run in finished_runs(tmp_path) if run.recipe.cutout == 0]
    mean = means["crop + flip + AutoAugment (1), n = 3"]
    np.testing.assert_allclose(mean.get_ydata(), np.mean(curves, axis=0))
    thin = [line for line in axes.lines if line not in means.values()]
    assert len(thin) == 3 and {line.get_color() for line in thin} == {mean.get_color()}
    np.testing.assert_allclose(sorted(line.get_ydata()[-1] for line in thin), [60, 61, 63])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "validation accuracy (%)")


def test_runs_of_one_epoch_are_points_a_line_a_row(tmp_path):
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0, 61.0, 63.0], "paper": [64.0]}, epochs=1)
    axes = panel(tmp_path, "2")
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "(1) + Cutout, n = 1",
        "crop + flip + AutoAugment (1), n = 3",
    ]
    drawn = {(tuple(line.get_xdata()), *set(line.get_ydata())) for line in axes.lines}
    assert {((64.0,), 0), ((60.0, 61.0, 63.0), 1)} <= {(tuple(sorted(x)), y) for x, y in drawn}
    assert any(np.allclose(line.get_xdata(), np.mean([60, 61, 63])) for line in axes.lines)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_colour_of_the_palette_and_the_final_one_is_black(tmp_path, name):
    make_table(tmp_path, name, {row: [60.0 + i] for i, row in enumerate(TABLES[name].rows)}, epochs=4)
    means = mean_lines(panel(tmp_path, name))
    colors = {label: to_hex(line.get_color()).upper() for label, line in means.items()}
    assert len(set(colors.values())) == len(TABLES[name].rows)
    assert set(colors.values()) <= {color.upper() for color in COLORS[:7]}  # without yellow, too pale for a line
    final = next(each.label for each in TABLES[name].experiments if each.row == "paper")
    assert colors[f"{final}, n = 1"] == "#000000"


def test_rows_of_other_lengths_end_at_their_own_epoch(tmp_path):
    make_table(tmp_path, "epochs", {row: [60.0, 61.0] for row in TABLES["epochs"].rows}, epochs=4)
    ends = {label.split(",")[0]: line.get_xdata()[-1] for label, line in mean_lines(panel(tmp_path, "epochs")).items()}
    assert ends == {"100 epochs": 2, "200 epochs": 4, "250 epochs": 5, "300 epochs": 6}


def test_a_run_without_history_has_no_line(tmp_path):
    make_table(tmp_path, "2", {"table2-autoaugment": [60.0, 61.0], "paper": [64.0]}, epochs=4)
    for run in finished_runs(tmp_path):
        if run.recipe.seed == 1:
            (run.folder / "history.csv").unlink()
    assert list(mean_lines(panel(tmp_path, "2"))) == ["crop + flip + AutoAugment (1), n = 1"]


def test_gaps_are_drawn_with_every_run_and_their_deviation(tmp_path):
    for gap, row in enumerate(TABLES["epochs"].rows, start=1):
        for seed, extra in ((1, 0.0), (2, 1.0)):
            recipe = next(each for each in TABLES["epochs"].experiments if each.row == row).recipe.replace(seed=seed)
            make_run(tmp_path, f"{row}-{seed}", recipe, 90, gap=gap + extra)
    (axes,) = plots.accuracy_gaps(repetitions("epochs", finished_runs(tmp_path))).axes
    assert axes.get_title(loc="left").startswith("Full scale: 200 epochs")
    points = next(line for line in axes.lines if line.get_label() == "a run").get_xydata()
    assert sorted(map(tuple, points)) == [
        (100, 1), (100, 2), (200, 2), (200, 3), (250, 3), (250, 4), (300, 4), (300, 5)
    ]  # fmt: skip
    (bars,) = axes.containers
    line, _, (spread,) = bars
    np.testing.assert_allclose(line.get_xydata(), [(100, 1.5), (200, 2.5), (250, 3.5), (300, 4.5)])
    low, high = spread.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((1.5 - np.sqrt(0.5), 1.5 + np.sqrt(0.5)))


def test_more_runs_than_colours_differ_by_their_dashes(tmp_path):
    for seed in range(12):
        make_run(tmp_path, f"run-{seed}", PAPER.replace(epochs=3, seed=seed), 60 + seed)
    (axes,) = plots.compare_runs({"CIFAR-10": {run.name: run.history for run in finished_runs(tmp_path)}}).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 12
