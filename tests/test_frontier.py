"""Accuracy against arithmetic: which runs are drawn, and which of them are the best so far."""

import warnings

from made_up_runs import make_run

from kit import plots
from kit.ablation.comparisons import by_recipe
from kit.recipe import PAPER
from kit.system import files

NAMES = "abcd"


def runs_of(folder, *figures):
    """Runs with the given (PFLOP, accuracy); None is a run of a version that did not count."""
    runs = []
    for name, (pflop, accuracy) in zip(NAMES, figures, strict=False):
        run = make_run(folder, name, PAPER.replace(arch="tiny", epochs=1), accuracy)
        metrics = {key: value for key, value in run.metrics.items() if key != "pflop"}
        files.write_json(run.folder / "metrics.json", metrics | ({"pflop": pflop} if pflop else {}))
        runs.append(run)
    return runs


def test_runs_and_the_best_of_them_are_drawn_at_their_arithmetic(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.frontier(runs_of(tmp_path, (0.5, 92.0), (0.2, 93.0), (1.0, 94.0), (0.1, 50.0)))
    axes = figure.axes[0]
    points, best = axes.lines[:2]
    assert sorted(points.get_xydata().tolist()) == [[0.2, 93.0], [0.5, 92.0], [1.0, 94.0]]
    assert best.get_xydata().tolist() == [[0.2, 93.0], [1.0, 94.0]]
    assert axes.get_title(loc="left") == "1 run below 86 %: not shown"
    assert {text.get_text() for text in axes.texts} == set("123456789")


def test_runs_whose_arithmetic_was_not_counted_are_left_out(tmp_path):
    runs = runs_of(tmp_path, (None, 93.0))
    (words,) = plots.frontier(runs).axes[0].texts
    assert words.get_text().replace("\n", " ") == "no run of at least 86 % whose arithmetic was counted yet"
    assert by_recipe(runs)["PFLOP"].isna().all() and by_recipe(runs_of(tmp_path, (0.5, 92.0)))["PFLOP"].iloc[0] == 0.5
