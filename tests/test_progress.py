"""Progress of long work: rarely where nobody watches, a bar where somebody does, nothing when silenced."""

import time

import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kit.bench import throughput
from kit.competition import waiting
from kit.run import Run
from kit.system import progress
from kit.train.epochprogress import LateTotals
from kit.train.learner import Learner
from kit.train.log import RunLog
from kit.workflow import streaming
from kit.workflow.notebook import OwnKernelManager
from kit.workflow.streaming import Stream


class Clock:
    """Time that passes only when told."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(progress, "_last_line", None)

    def work(self, seconds, steps=1000, note=""):
        """Do the steps in so many seconds."""
        with progress.Progress("work", steps, "steps") as work:
            for _ in range(steps):
                self.now += seconds / steps
                work.advance(1, note)


def test_the_first_line_comes_after_ten_seconds_and_the_next_after_twenty_five(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    clock.work(9)
    assert capsys.readouterr().out == ""
    clock.work(100, steps=100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "... work: 10 of 100 steps, 0:01:30 left"
    assert [line.split(" of ")[0].split()[-1] for line in lines] == ["10", "35", "60", "85"]


def test_no_thirty_seconds_pass_in_silence_between_one_work_and_the_next(monkeypatch, capsys):
    """An epoch, its evaluation, the next epoch: ten seconds of grace for each would be too much."""
    clock = Clock(monkeypatch)
    progress.say("row")
    silences = []
    for _ in range(40):
        with progress.Progress("work", 24, "steps") as work:
            for _ in range(24):
                clock.now += 1
                work.advance()
                silences.append(clock.now - progress._last_line)
    assert max(silences) <= 30
    capsys.readouterr()
    clock.work(0.5)
    assert capsys.readouterr().out == "", "a short work needs no line"


def test_rows_put_off_the_next_line_and_notes_are_made_only_to_be_shown(monkeypatch, capsys):
    clock, made = Clock(monkeypatch), []
    for _ in range(10):
        clock.work(12, note=lambda: made.append(1) or "note")
        progress.say("row")
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("row") == 10 and len(lines) == 11 and len(made) == 1


def test_nested_work_shows_the_outermost_alone(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with progress.Progress("outer", 2, "parts") as outer:
        clock.work(41)
        outer.advance()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("... outer: 0 of 2 parts") for line in lines)


def test_quiet_silences_progress_and_no_rows(monkeypatch, capsys):
    monkeypatch.setenv(progress.QUIET, "1")
    clock = Clock(monkeypatch)
    clock.work(100)
    progress.say("row")
    assert capsys.readouterr().out == "row\n"


def test_a_terminal_gets_one_bar_that_leaves_nothing_behind(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    Clock(monkeypatch).work(5, note="note")
    out, err = capsys.readouterr()
    assert out == "" and "work" in err and "note" in err and err.endswith("\r")
    assert "/1000 [" in err and "s, ?" not in err, "the time is counted from the start of the work"
    assert "0/1000" not in err.split("\r")[1], "drawn first with what is done by then"


class Watching(NotebookClient):
    """Runs a notebook in a kernel, and notes what its cells display."""

    def process_message(self, msg, *place):
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.displayed.append((msg["msg_type"], msg["content"]["data"]["text/plain"]))
        return super().process_message(msg, *place)


TWO_WORKS = """
import os
from kit.system import progress

os.environ["JPY_SESSION_NAME"] = "open.ipynb"
progress.BAR_SECONDS = 0
for title in ("one", "two"):
    with progress.Progress(title, 4, "steps") as work:
        work.advance(1, "note")
        progress.say("row")
"""


def test_an_open_notebook_gets_one_line_a_cell_that_is_gone_when_it_ends():
    """In a real kernel: tqdm's widgets would leave a red bar for each work, its text an empty line."""
    notebook = new_notebook(cells=[new_code_cell(TWO_WORKS), new_code_cell("with work:\n    work.advance()")])
    client = Watching(notebook, kernel_manager_class=OwnKernelManager)
    client.displayed = []
    client.execute()
    kinds, texts = zip(*client.displayed, strict=True)
    first, second = ["one: 1 of 4 steps", "two: 1 of 4 steps", ""], ["two: 2 of 4 steps", ""]
    assert [text.split(",")[0] for text in texts] == first + second and texts[0].endswith("left, note")
    assert [number for number, kind in enumerate(kinds) if kind == "display_data"] == [0, 3], "the rest are updates"
    line, *rows = notebook.cells[0].outputs
    assert line.data["text/html"] == "" and "".join(output.text for output in rows) == "row\nrow\n"


def test_a_notebook_shows_an_error_of_the_kit_as_its_sentence_alone():
    code = "from kit.errors import KitError\nraise KitError('lr has to be above 0, not -1.0')"
    notebook = new_notebook(cells=[new_code_cell(code)])
    NotebookClient(notebook, kernel_manager_class=OwnKernelManager, allow_errors=True).execute()
    assert notebook.cells[0].outputs[0].traceback == ["KitError: lr has to be above 0, not -1.0"]


RUNS = ["one: 1 of 3 epochs", "two: no epoch yet"]


def test_a_board_prints_a_line_for_every_work_every_twenty_five_seconds(monkeypatch, capsys):
    clock, asked = Clock(monkeypatch), []
    with progress.Board() as board:
        for _ in range(75):
            clock.now += 1
            board.show(lambda: asked.append(1) or RUNS)
    assert capsys.readouterr().out.splitlines() == [f"... {run}" for run in RUNS] * 3 and len(asked) == 3
    monkeypatch.setenv(progress.QUIET, "1")
    with progress.Board() as board:
        clock.now += 100
        board.show(lambda: RUNS)
    assert capsys.readouterr().out == ""


def test_a_board_stands_in_one_place_of_a_terminal_below_what_is_said(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    clock = Clock(monkeypatch)
    with progress.Board() as board:
        for _ in range(2):
            clock.now += 1
            board.show(lambda: RUNS)
        progress.say("one: 95 %")
        assert capsys.readouterr() == ("one: 95 %\n", f"{RUNS[0]}\n{RUNS[1]}\n\x1b[2A\x1b[J" * 2)
        clock.now += 1
        board.show(lambda: ["x" * 500])
    assert len(capsys.readouterr().err.split("\n")[0]) < 500


def test_a_call_to_kaggle_that_waits_tells_of_it_unless_silenced(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "SAY_EVERY", 0.0)
    waiting.patiently(lambda: time.sleep(0.3))
    assert capsys.readouterr().err.startswith("waiting for Kaggle: 0 s\n")
    monkeypatch.setenv(progress.QUIET, "1")
    waiting.patiently(lambda: time.sleep(0.3))
    assert capsys.readouterr().err == ""


def test_over_hands_on_every_item_and_closes_when_left_early():
    assert list(progress.over([1, 2, 3], "work", "items")) == [1, 2, 3]
    for _ in progress.over([1, 2, 3], "work", "items"):
        break
    assert progress._open == []


def test_totals_on_a_cpu_are_mean_loss_and_accuracy(digits_recipe):
    learner = Learner(digits_recipe, 10, [1], torch.device("cpu"))
    assert LateTotals(learner).words() == ""
    learner.totals += torch.tensor([8.0, 1, 4, 0, 0])
    assert LateTotals(learner).words() == "loss 2.0000, 25.00 %, "


def test_the_time_left_of_a_resumed_run_goes_by_what_this_session_did(monkeypatch, tmp_path):
    clock = Clock(monkeypatch)
    log = RunLog(Run(tmp_path), [2.0] * 4, begun=0.5)  # an earlier session did half of the first epoch
    clock.now += 10
    assert log.seconds_left(0.75) == 10 / 0.5 * 6.5


def test_kit_run_streams_the_rows_of_train_and_only_the_progress_of_others(capsys):
    train, other = Stream(everything=True), Stream(everything=False)
    train.write("   1/2  row\n   2/2")
    train.write("  row\n\n")
    other.write("a table\n... predicting: 3 of 9 batches\n")
    expected = "\n     1/2  row\n     2/2  row\n\n  ... predicting: 3 of 9 batches\n"
    assert capsys.readouterr().out == expected
    assert train.begun and other.begun


def test_a_notebook_that_prints_nothing_for_long_is_told_of_with_its_section(capsys, monkeypatch):
    monkeypatch.setattr(streaming, "SILENT_SECONDS", 0.2)
    with Stream(everything=False) as stream:
        for number, cell in enumerate([new_markdown_cell("## Small changes\n\nOf images."), new_code_cell("1")]):
            stream.enter_cell(cell=cell, cell_index=number)
        until = time.monotonic() + 10
        while not stream.begun and time.monotonic() < until:
            time.sleep(0.01)
    assert capsys.readouterr().out.startswith('\n  ... at "Small changes", 0:00:00 so far\n')
    with Stream(everything=False) as stream:
        for _ in range(50):
            stream.write("... row\n")
            time.sleep(0.01)
    assert "so far" not in capsys.readouterr().out


def test_a_benchmark_tells_where_it_is_on_standard_error_unless_silenced(monkeypatch, capsys):
    throughput._tell("round 1")
    monkeypatch.setenv(progress.QUIET, "1")
    throughput._tell("round 2")
    assert capsys.readouterr() == ("", "round 1\n")
