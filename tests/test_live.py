"""The curves of a training that goes on: drawn seldom, in one place, with the whole course in the end."""

import shutil

import pytest
from made_up_runs import SMALL, make_run

from kit.ablation.records import kept_course
from kit.plots import live
from kit.plots.live import LiveCurves, course
from kit.run import Run
from kit.train.callbacks import Callbacks


class Shown:
    """IPython's display: what was drawn at first, and what took its place."""

    def __init__(self, monkeypatch, run):
        self.figures, self.now = [], 0.0
        monkeypatch.setattr(live, "display", lambda figure, display_id: self.figures.append(figure) or self)
        monkeypatch.setattr(live.progress, "in_kernel", lambda: True)
        monkeypatch.setattr(live, "kept_course", lambda run: None)
        monkeypatch.setattr(live.time, "monotonic", lambda: self.now)
        self.run, self.rows = run, run.history.to_dict("records")
        self.metrics = run.metrics_path.read_text()

    def update(self, figure):
        self.figures.append(figure)

    def train(self, first, last, seconds):
        """Epochs `first` to `last`, each of so many seconds."""
        self.run.save_history(self.rows[: first - 1])
        with Callbacks([LiveCurves()], self.run) as following:
            for epoch in range(first, last + 1):
                self.now += seconds
                self.run.save_history(self.rows[:epoch])
                following.epoch()

    @property
    def epochs(self):
        """How many epochs each drawing shows."""
        return [len(figure.axes[1].lines[0].get_xdata()) if len(figure.axes) == 3 else 0 for figure in self.figures]


@pytest.fixture
def shown(monkeypatch, tmp_path):
    return Shown(monkeypatch, make_run(tmp_path, "one", SMALL.replace(epochs=12)))


def test_slow_epochs_are_drawn_one_by_one_and_quick_ones_every_few_seconds(shown):
    shown.train(1, 3, seconds=60)
    assert shown.epochs == [0, 1, 2, 3]
    shown.figures.clear()
    shown.train(1, 12, seconds=0.5)
    assert shown.epochs == [0, 6, 12], "the last epoch is always drawn"


def test_drawings_that_take_long_are_few(shown, monkeypatch):
    spent = iter(range(0, 100, 4))  # CPU seconds; each drawing takes four
    monkeypatch.setattr(live.time, "thread_time", lambda: next(spent))
    shown.train(1, 12, seconds=60)
    assert shown.epochs == [0, 1, 2, 7, 12], "ten seconds, and half a percent of the time that passes"


def test_a_resumed_run_shows_the_whole_course_and_a_finished_one_too(shown):
    shown.train(5, 6, seconds=60)
    assert shown.epochs == [4, 5, 6]
    shown.figures.clear()
    shown.train(7, 6, seconds=60)
    assert shown.epochs == [6]


def test_a_terminal_draws_nothing(shown, monkeypatch):
    monkeypatch.setattr(live.progress, "in_kernel", lambda: False)
    shown.train(1, 2, seconds=60)
    assert not shown.figures


def test_a_display_that_fails_costs_one_line(shown, monkeypatch, capsys):
    monkeypatch.setattr(live, "display", lambda *_, **__: 1 / 0)
    shown.train(1, 3, seconds=60)
    assert capsys.readouterr().out.count("warning: the figure of the curves is off from now on") == 1


def test_kept_records_of_the_recipe_are_drawn_behind(tmp_path):
    for seed, accuracy in ((1, 60), (2, 70)):
        make_run(tmp_path / "kept", f"small-seed{seed}", SMALL.replace(seed=seed), accuracy)
    make_run(tmp_path / "kept", "other", SMALL.replace(lr=0.5), 99)
    make_run(tmp_path / "kept", "of-fewer-images", SMALL.replace(seed=3), 99, images=100)
    run = make_run(tmp_path, "now", SMALL.replace(seed=9), 50)
    run.metrics_path.unlink()
    kept, runs = kept_course(run, tmp_path / "kept")
    assert (runs, kept["validation_accuracy"].iloc[-1]) == (2, 65)
    figure = course(run.history, 2, kept, runs)
    assert [len(axes.lines) for axes in figure.axes] == [4, 4, 2]
    assert "the mean of 2 kept runs" in figure.get_suptitle()
    shutil.rmtree(tmp_path / "kept")
    assert kept_course(run, tmp_path / "kept") is None


def test_a_course_without_an_epoch_is_a_sentence(tmp_path):
    assert len(course(Run(tmp_path).history).axes) == 1
