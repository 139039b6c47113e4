"""Sweeps: what is planned, what is refused, how runs share a machine, and that kills and failures cost nothing else."""

import fcntl
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch
from conftest import ROOT
from PIL import Image

from kit import jobs, keeping, sweep, trials
from kit.__main__ import build_parser, main
from kit.data import CLASSES, load
from kit.errors import KitError
from kit.experiments import TABLES, at_scale, scales_of
from kit.interrupt import StopRequest
from kit.parameters import check
from kit.recipe import RECIPES
from kit.run import Run

TINY = ("--data", "digits", "--arch-scale", "0.125")


def plan(*words):
    return trials.planned(build_parser().parse_args(["run", *words]))


def names(*words):
    return [trial.name for trial in plan(*words).trials]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An own folder for runs/, build/ and the results that are kept."""
    for module in ("kit.run", "kit.remote.kernel"):
        monkeypatch.setattr(f"{module}.workspace", lambda: tmp_path)
    monkeypatch.setattr(keeping, "RESULTS", tmp_path / "results")
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.setattr("kit.sources.places.workspace", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def write_finished(trial, accuracy=50.0, **config):
    """The files of a finished run of a trial, as far as a sweep looks at them."""
    folder = trial.run.folder
    folder.mkdir(parents=True)
    classes = [str(digit) for digit in range(10)]
    words = {"recipe": trial.recipe.as_dict(), "data": "digits", "classes": classes, "command": "a notebook"} | config
    (folder / "config.json").write_text(json.dumps(words))
    (folder / "history.csv").write_text("epoch,validation_accuracy\n1,50.0\n")
    figures = {"last_accuracy": accuracy, "best_accuracy": accuracy + 1, "wall_seconds": 120.0, "parameters": 1000}
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder


# --- planning


def test_names_say_row_scale_and_seed():
    assert names("--rows", "paper,sgd") == ["paper-seed1", "sgd-seed1"]
    assert names("--rows", "table1-1111", "--epochs", "2", "--arch-scale", "0.125", "--seeds", "5,") == [
        "table1-1111-2epochs-x0.125-seed5"
    ]
    assert names("--rows", "epochs-300", "--epochs", "20") == ["epochs-300-20epochs-seed1"]
    assert names("--rows", "adam", "--epochs", "200", "--arch-scale", "1") == ["adam-seed1"]
    assert names("--rows", "adam", "--split", "holdout") == ["adam-holdout-seed1"]
    assert names("--rows", "adam,digits", "--data", "digits") == ["adam-digits-seed1", "digits-digits-seed1"]
    assert names("--rows", "adam", "--data", "digits", "--amp", "fp32") == ["adam-digits-fp32-seed1"]
    assert names("--rows", "adam", "--amp", "auto") == names("--rows", "adam") == ["adam-seed1"]


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, [1]), ("3", [1, 2, 3]), ("1,2,5", [1, 2, 5]), ("7,", [7]), ("0,1029", [0, 1029])]
)
def test_seeds_are_a_count_or_a_list(text, seeds):
    assert trials.parse_seeds(text) == seeds


def test_a_table_is_every_row_with_every_seed_and_all_rows_before_the_next_seed():
    planned = plan("--table", "1", "--seeds", "3")
    assert len({trial.name for trial in planned.trials}) == len(planned.trials) == 15
    assert [trial.experiment.row for trial in planned.trials[:5]] == list(TABLES["1"].rows)
    assert [trial.recipe.seed for trial in planned.trials] == [1] * 5 + [2] * 5 + [3] * 5


@pytest.mark.parametrize("table", TABLES)
def test_the_notebook_makes_of_its_parameters_the_recipe_that_was_planned(table):
    for words in (("--epochs", "4", "--arch-scale", "0.25", "--split", "holdout"), ()):
        for trial in plan("--table", table, "--seeds", "2,", *words).trials:
            settings = check("train", trial.parameters())
            assert settings.recipe == trial.recipe
            assert settings.run == trial.name
            if not words:
                assert trial.recipe == RECIPES[trial.experiment.row].replace(seed=2)


def test_multiples_of_four_epochs_keep_every_row_of_a_table_apart_and_its_share_exact():
    for table in TABLES:
        assert len(plan("--table", table, "--epochs", "4").trials) == len(TABLES[table].rows)
    lengths = [trial.recipe.epochs for trial in plan("--table", "epochs", "--epochs", "12").trials]
    assert lengths == [6, 12, 15, 18]  # of 100, 200, 250 and 300


@pytest.mark.parametrize("scale", [0.015625, 0.33, 0.75, 1.5])
def test_a_scale_that_is_taken_is_one_at_which_records_are_found(scale):
    row = "paper" if scale < 1 else "quick"
    (trial,) = plan("--rows", row, "--arch-scale", str(scale)).trials
    assert scale in [found for _, found in scales_of(trial.recipe, row)]


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (["paper", "--arch-scale", "0.5"], "shrunk: channels x 0.5"),
        (["quick", "--arch-scale", "1.5"], "changed: channels x 1.5"),
        (["quick", "--arch-scale", "1.5", "--epochs", "1"], "changed: 1 epoch in place of 8, channels x 1.5"),
        (["paper", "--epochs", "300"], "changed: 300 epochs in place of 200"),
        (["paper", "--epochs", "200"], ""),
    ],
    ids=str,
)
def test_only_what_became_smaller_is_called_shrunk(words, scale):
    assert plan("--rows", *words).scale == scale


def test_a_dry_run_lists_what_there_is_and_starts_nothing(workspace, monkeypatch, capsys):
    words = ["--rows", "paper,sgd,adam,lr-0.01", "--data", "digits", "--epochs", "2"]
    done, other, begun, _ = plan(*words).trials
    write_finished(done)
    write_finished(other, recipe=other.recipe.replace(lr=0.5).as_dict())
    (write_finished(begun) / "metrics.json").unlink()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert main(["run", *words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rows paper, sgd, adam, lr-0.01; shrunk: 2 epochs in place of 200"
    assert [re.split(r"  +", line)[1:] for line in lines[1:5]] == [
        ["done", "epochs 2"],
        ["another recipe's run", "epochs 2, lookahead_k 0"],
        ["goes on after 1 of 2 epochs", "epochs 2, optimizer adam, lr 0.001, lookahead_k 0"],
        ["to do", "epochs 2, lr 0.01"],
    ]
    assert lines[5] == "4 runs, 3 of them to do"


# --- refusals


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--table", "9"], "table '9' is not known (allowed: 1, 2, optimizers"),
        (["--rows", "papr"], "recipe 'papr' is not known; did you mean paper?"),
        (["--rows", "paper,paper"], "--rows has to name every row once, not 'paper,paper'"),
        (["--table", "1", "--rows", "paper"], "give --table or --rows, not both"),
        (["--table", "1", "--seeds", "0"], "seeds has to be a number from 1, or different seeds such as 1,2,5"),
        (["--table", "1", "--seeds", "-1"], "seeds has to be a number from 1"),
        (["--table", "1", "--seeds", "one"], "seeds has to be a number from 1"),
        (["--table", "1", "--seeds", "1,1"], "different seeds"),
        (["--table", "1", "--seeds", "1,-1"], "seed has to be a whole number from 0"),
        (["--table", "1", "--jobs", "0"], "jobs has to be a whole number from 1, not 0"),
        (["--table", "1", "--jobs", "two"], "jobs has to be a whole number from 1, not 'two'"),
        (["--table", "1", "--arch-scale", "nan"], "arch-scale has to be a number above 0, not nan"),
        (["--table", "1", "--arch-scale", "0"], "arch-scale has to be a number above 0, not 0"),
        (["--table", "1", "--arch-scale", "2"], "5,000,000"),
        (["--table", "1", "--epochs", "0"], "epochs has to be a whole number from 1, not 0"),
        (["--table", "1", "--epochs", "2.5"], "epochs has to be a whole number from 1, not 2.5"),
        (["--table", "1", "--lr", "0.1"], "lr is not for a sweep"),
        (["--table", "1", "--seed", "3"], "use --seeds, where 7, is the seed 7 alone"),
        (["--table", "1", "--gpus", "2"], "a sweep gives every run one GPU: leave --gpus out"),
        (["--table", "1", "--run", "mine"], "leave --run out"),
        (["--table", "1", "--resume", "False"], "a sweep always goes on: leave --resume out"),
        (["--table", "1", "--recipe", "sgd"], "use --rows"),
        (["--table", "1", "--competition", "x"], "--competition says whose data a pushed sweep gets: add --push"),
        (["--table", "1", "--push", "--keep"], "leave it out with --push"),
        (["--table", "1", "--push", "--jobs", "2"], "leave it out with --push"),
        (["--table", "epochs", "--epochs", "1"], "epochs-100 and paper become one recipe at this scale"),
        (["--table", "epochs", "--epochs", "2"], "paper and epochs-250 become one recipe at this scale"),
        (["--table", "epochs", "--epochs", "3"], "epochs-250 and epochs-300 become one recipe at this scale"),
        (["--rows", "paper,table2-cutout"], "paper and table2-cutout are one recipe: leave one of them out"),
        (["--table", "1", "--arch-scale", "0.3333"], "a multiple of 1/64 or 1/100 up to 2"),
        (["--table", "1", "--arch-scale", "0.3333"], "not 0.3333; the nearest is 0.33"),
        (["--table", "1", "--arch-scale", "2.5"], "not 2.5; the nearest is 2.0"),
        (["--table", "1", "--max_hours", "-1"], "max_hours"),
        (["--table", "1", "--data", "/nowhere"], "/nowhere does not exist"),
        (["--table", "1", "--data", "digits", "--amp", "fp16"], "amp fp16 needs a GPU"),
        (["--seeds", "3"], "--seeds belongs to a sweep: add --table or --rows"),
        (["--dry-run"], "--dry-run belongs to a sweep"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_sentence_and_starts_nothing(
    workspace, on_a_cpu, monkeypatch, capsys, words, sentence
):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert main(["run", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and len(told.splitlines()) == 1
    assert sentence in told
    assert not (workspace / "runs").exists()


@pytest.fixture
def leaves(tmp_path):
    """An image folder of ten classes that are not CIFAR-10's, an image each."""
    for part in ("train", "test"):
        for number in range(10):
            folder = tmp_path / "leaves" / part / f"leaf-{number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / "1.png")
    return tmp_path / "leaves"


def test_a_run_of_other_images_is_not_taken_for_this_sweeps(workspace, leaves):
    write_finished(plan("--rows", "paper").trials[0], classes=list(CLASSES))
    assert plan("--rows", "paper", "--data", "auto").unfinished == []
    with pytest.raises(KitError, match=r"paper-seed1 was trained on other images than data '.*leaves'"):
        plan("--rows", "paper", "--data", str(leaves))


def test_a_sweep_on_any_ten_classes_goes_on(workspace, leaves):
    words = ["--rows", "paper,sgd", "--data", str(leaves)]
    done, _ = plan(*words).trials
    write_finished(done, classes=list(load(leaves).classes))
    assert [trial.name for trial in plan(*words).unfinished] == ["sgd-seed1"]
    with pytest.raises(KitError, match="paper-seed1 was trained on other images than data 'auto'"):
        plan("--rows", "paper")


# --- places at work


@pytest.mark.parametrize(
    ("visible", "count", "expected"),
    [(None, 3, ["0", "1", "2"]), ("2,5", 2, ["2", "5"]), ("GPU-8a,GPU-9b", 2, ["GPU-8a", "GPU-9b"]), ("", 0, []),
     (None, 0, []), ("0,1,7", 2, ["0", "1"])],
)  # fmt: skip
def test_gpus_are_those_that_the_environment_shows(monkeypatch, visible, count, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert sweep.devices() == expected


def test_jobs_take_gpus_in_turn_or_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in jobs.slots(5, ["2", "5"], 8)] == ["2", "5", "2", "5", "2"]
    assert jobs.slots(3, [], 8) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert jobs.slots(4, [], 2) == [{"OMP_NUM_THREADS": "1"}] * 4
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert jobs.slots(1, [], 8) == [{"OMP_NUM_THREADS": "5"}]


class Record:
    """Keeps what run_jobs tells, and starts small programs in the place of trainings."""

    def __init__(self, monkeypatch, programs):
        self.programs, self.places, self.ends, self.most = programs, {}, {}, 0
        self._running = set()
        monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.01)
        monkeypatch.setattr(jobs, "_start", self._start)

    def _start(self, job, place):
        job.folder.mkdir(exist_ok=True)
        with (job.folder / jobs.LOG).open("a") as log:
            return subprocess.Popen([sys.executable, "-c", self.programs[job.name]], stdout=log, stderr=log)

    def began(self, job, place):
        self.places[job.name] = place["CUDA_VISIBLE_DEVICES"]
        self._running.add(job.name)
        self.most = max(self.most, len(self._running))
        assert len({self.places[name] for name in self._running}) == len(self._running), "two runs on one GPU"

    def ended(self, job, failure):
        self._running.remove(job.name)
        self.ends[job.name] = failure

    def run(self, folder, gpus, stop):
        todo = [jobs.Job(folder / name, {}) for name in self.programs]
        jobs.run_jobs(todo, jobs.slots(len(gpus), gpus, 1), stop, self.began, self.ended)


def test_one_runs_failure_is_told_and_the_others_run(tmp_path, monkeypatch):
    programs = {
        "good": "import time; time.sleep(0.3)",
        "bad": "print('row 1'); print('error: the loss is not a number'); raise SystemExit(2)",
        "killed": "import os; os.kill(os.getpid(), 9)",
        "last": "pass",
    }
    record = Record(monkeypatch, programs)
    record.run(tmp_path, ["2", "5"], StopRequest())
    assert record.most == 2 and set(record.places.values()) == {"2", "5"}
    assert list(record.places) == list(programs)
    assert record.ends["good"] is record.ends["last"] is None
    assert record.ends["bad"] == "the loss is not a number"
    assert record.ends["killed"].startswith("SIGKILL ended it (see ")


def test_out_of_time_the_running_are_asked_to_save_and_no_other_starts(tmp_path, monkeypatch):
    saves = "import signal, time\nsignal.signal(15, lambda *_: exit(0))\nprint('up', flush=True)\ntime.sleep(60)"
    record = Record(monkeypatch, {"first": saves, "second": saves})
    stop = StopRequest(max_hours=2 / 3600)
    began = time.monotonic()
    record.run(tmp_path, ["0"], stop)
    assert time.monotonic() - began < 30
    assert record.ends == {"first": None} and stop.reason.startswith("max_hours")


def test_a_second_interrupt_kills_at_once(tmp_path, monkeypatch, heeded_interrupts):
    stays = """if True:
        import os, signal, time
        def ask_again(*_):
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(60)
        signal.signal(signal.SIGTERM, ask_again)
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    """
    record, started = Record(monkeypatch, {"first": stays, "second": stays}), []
    start = record._start
    monkeypatch.setattr(jobs, "_start", lambda *words: started.append(start(*words)) or started[-1])
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        record.run(tmp_path, ["0"], stop)
    assert [process.wait() for process in started] == [-signal.SIGKILL]
    assert time.monotonic() - began < 50 and record.ends == {}


def test_nobody_else_trains_in_a_folder_while_its_log_is_open_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_CLAIM_SECONDS", 0)
    path = tmp_path / jobs.LOG
    with path.open("a") as log:
        jobs._claim(tmp_path, log)
        holder = subprocess.Popen(["sleep", "60"], stdout=log)  # as a kernel that outlives its killed parent
    with path.open("a") as log:
        with pytest.raises(KitError, match="another process is training in"):
            jobs._claim(tmp_path, log)
        holder.kill()
        holder.wait()
        jobs._claim(tmp_path, log)
    with path.open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- failures of a sweep


@pytest.fixture
def programs(workspace, on_a_cpu, monkeypatch):
    """Small programs, by the row of the run, in the place of trainings; they run in the run's folder."""

    def start(job, place):
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / jobs.LOG).open("a") as log:
            command = [sys.executable, "-c", found[job.parameters["recipe"]]]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=job.folder)

    found = {}
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "_start", start)
    return found


FAILS = "print('error: the loss is not a number'); raise SystemExit(2)"


def finishes(trial, *, then=""):
    """A program that leaves a finished run of the trial."""
    folder = write_finished(trial)
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    shutil.rmtree(folder)
    return f"for name, text in {texts!r}.items():\n    open(name, 'w').write(text)\n{then}"


def test_a_deadline_hides_no_failure(workspace, programs, monkeypatch, capsys):
    class Deadline(StopRequest):
        reason = property(lambda self: "max_hours 1" if (workspace / "out of time").exists() else None)

    saves = f"import signal, time; signal.signal(15, lambda *_: exit(0)); open({str(workspace / 'out of time')!r}, 'w')"
    programs |= {"paper": FAILS, "sgd": f"{saves}; time.sleep(60)"}
    monkeypatch.setattr(sweep, "StopRequest", Deadline)
    assert main(["run", "--rows", "paper,sgd", "--data", "digits"]) == 2
    told = capsys.readouterr()
    assert "1 of 2 runs failed" in told.err
    lines = told.out.splitlines()
    assert lines[-2].startswith("failed: paper-") and lines[-2].endswith("-seed1: the loss is not a number")
    assert lines[-1].startswith("stopped by max_hours 1: 0 of 2 runs finished")
    assert any("mean %" in line for line in lines)


def test_a_notebook_that_fails_after_its_training_is_a_failure(programs, capsys):
    words = ["--rows", "paper,sgd", "--data", "digits"]
    paper, sgd = plan(*words).trials
    programs |= {"paper": finishes(paper, then=FAILS), "sgd": finishes(sgd)}
    assert main(["run", *words]) == 2
    out = capsys.readouterr().out
    assert f"{paper.name}: 50.00 %, then failed: the loss is not a number" in out
    assert f"failed: {paper.name}: the loss is not a number" in out
    assert f"{sgd.name}: 50.00 %," in out


@pytest.mark.parametrize("recorded", [{"lr": 0.5}, {"a_setting_that_has_gone": 1}], ids=str)
def test_a_folder_of_another_recipe_is_a_failure_that_starts_no_process(programs, capsys, recorded):
    words = ["--rows", "paper,sgd", "--data", "digits"]
    paper, sgd = plan(*words).trials
    write_finished(paper, recipe=paper.recipe.as_dict() | recorded)
    programs |= {"sgd": finishes(sgd)}
    assert main(["run", *words]) == 2
    out = capsys.readouterr().out
    assert re.search(rf"^failed: {paper.name}: .* holds a run of another recipe \({next(iter(recorded))} ", out, re.M)
    assert f"{paper.name}: started" not in out and sgd.finished
    assert main(["run", *words, "--push", "--dry-run"]) == 2
    assert "holds a run of another recipe" in capsys.readouterr().err


def test_a_record_that_cannot_be_kept_is_told_and_stops_nothing(workspace, programs, capsys):
    words = ["--rows", "paper,sgd", "--data", "digits"]
    paper, sgd = plan(*words).trials
    programs |= {"paper": finishes(paper), "sgd": finishes(sgd)}
    (workspace / "results").write_text("a file in the place of the folder")
    assert main(["run", *words, "--keep"]) == 2
    out = capsys.readouterr().out
    assert paper.finished and sgd.finished
    assert all(re.search(rf"^failed: {trial.name}: cannot ", out, re.M) for trial in (paper, sgd))


# --- what is left of a sweep


def test_the_table_holds_mean_deviation_and_the_papers_figure(workspace):
    planned = plan("--table", "1", "--seeds", "3", "--epochs", "2", "--data", "digits")
    accuracies = {1: 50.0, 2: 54.0, 3: 52.5}
    for trial in planned.trials:
        if trial.experiment.row == "table1-2222":
            write_finished(trial, accuracies[trial.recipe.seed])
        if trial.experiment.row == "paper" and trial.recipe.seed == 1:
            write_finished(trial)
    frame = sweep.table(planned)
    assert list(frame.index) == list(TABLES["1"].rows)
    assert frame["n"].tolist() == [0, 3, 0, 0, 1]
    row = frame.loc["table1-2222"]
    assert row["mean %"] == pytest.approx(sum(accuracies.values()) / 3)
    assert row["sd"] == pytest.approx(statistics.stdev(accuracies.values()))
    assert row["best epoch %"] == pytest.approx(row["mean %"] + 1)
    assert (row["paper %"], row["parameters"], row["minutes"]) == (95.7, 1000, 2.0)
    text = sweep.table_in_words(planned)
    assert "shrunk: 2 epochs in place of 200" in text and "52.17" in text and "53.17" in text
    assert "the validation images of the paper split, beside the best epoch" in text
    assert "of the holdout split" in sweep.table_in_words(plan("--rows", "paper", "--split", "holdout"))


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
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    for changed, sentence in (
        ({"recipe": trial.recipe.replace(lr=0.5).as_dict()}, "is the record of another recipe: move it away"),
        ({"classes": list(CLASSES)}, "is the record of other images or of another way"),
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


def test_a_dry_push_writes_a_kernel_for_every_unfinished_run_and_sends_nothing(workspace, monkeypatch, capsys):
    words = ["--rows", "paper,sgd,adam", "--seeds", "1,2", "--epochs", "3", "--arch-scale", "0.25", "--data", "digits"]
    planned = plan(*words)
    write_finished(planned.trials[0])
    begun = write_finished(planned.trials[1])
    (begun / "metrics.json").unlink()
    (begun / "checkpoint.pt").write_bytes(b"a checkpoint")
    monkeypatch.setattr("kit.remote.client.connect", None)
    assert main(["run", *words, "--push", "--dry-run"]) == 0
    assert "5 runs written" in capsys.readouterr().out
    kernels = {folder.name: folder for folder in (workspace / "build" / "kernels").iterdir()}
    assert len(kernels) == 5
    folder = kernels["kit-adam-3epochs-x0-25-digits-seed2"]
    notebook = nbformat.read(folder / f"{folder.name}.ipynb", 4)
    (cell,) = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", ())]
    values = {}
    exec(cell.source, values)
    settings = check("train", {name: value for name, value in values.items() if name != "__builtins__"})
    assert settings.recipe == at_scale("adam", 3, 0.25).replace(seed=2)
    assert (settings.run, settings.data) == ("adam-3epochs-x0.25-digits-seed2", "digits")
    sources = json.loads((kernels["kit-sgd-3epochs-x0-25-digits-seed1"] / "kernel-metadata.json").read_text())
    assert sources["dataset_sources"] == ["your-user-name/kit-run-sgd-3epochs-x0-25-digits-seed1"]


def test_a_push_that_cannot_work_is_refused_before_anything_is_written(workspace):
    for words, sentence in (
        (["--data", "data"], "a kernel does not see data 'data' of this machine"),
        (["--seeds", "1,123456789", "--epochs", "100", "--arch-scale", "0.125"], "5 to 50 letters"),
    ):
        with pytest.raises(KitError, match=sentence):
            sweep.run(build_parser().parse_args(["run", "--table", "2", "--push", "--dry-run", *words]))
    assert not (workspace / "build").exists()


# --- real sweeps, in a copy of the project


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the kit whose train notebook trains and draws nothing: drawing takes most of the time of a tiny run."""
    root = tmp_path_factory.mktemp("sweeps")
    shutil.copytree(ROOT / "kit", root / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(ROOT / "notebooks" / "train.ipynb", 4)
    for cell in notebook.cells:
        cell.source = "\n".join(line for line in cell.source.splitlines() if "plots" not in line)
    assert sum("launch(settings" in cell.source for cell in notebook.cells) == 1
    (root / "notebooks").mkdir()
    nbformat.write(notebook, root / "notebooks" / "train.ipynb")
    return root


def start_sweep(root: Path, *words: str) -> subprocess.Popen:
    """Start a sweep as the leader of a process group; what it prints goes to output.txt."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with (root / "output.txt").open("w") as output:
        return subprocess.Popen([sys.executable, "-m", "kit", "run", *TINY, *words], cwd=root, env=environment,
                                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip


def wait_until(happened, process, seconds=240):
    limit = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, "the sweep ended before"
        assert time.monotonic() < limit, "the sweep does not get on"
        time.sleep(0.01)


def test_six_runs_killed_twice_end_as_six_finished_runs_and_one_table(copy):
    words = ["--rows", "digits,quick", "--seeds", "3", "--epochs", "2", "--jobs", "2", "--keep"]
    folders = [copy / "runs" / f"{row}-2epochs-x0.125-digits-seed{s}" for s in (1, 2, 3) for row in ("digits", "quick")]

    def finished():
        return {f: (f / "metrics.json") for f in folders if (f / "metrics.json").is_file()}

    def inside_a_run(at_least):
        begun = [f for f in folders if (f / "history.csv").is_file() and not (f / "metrics.json").is_file()]
        return begun and len(finished()) >= at_least

    seen = {}
    for at_least in (1, 3):
        process = start_sweep(copy, *words)
        wait_until(lambda at_least=at_least: inside_a_run(at_least), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen |= {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished().values() if path not in seen}
        assert at_least <= len(seen) < len(folders)
    process = start_sweep(copy, *words)
    output = (process.wait(240), (copy / "output.txt").read_text())
    assert output[0] == 0, output[1]
    assert list(finished()) == folders
    for path, before in seen.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == before, "a finished run was trained again"
    lines = output[1].splitlines()
    (head,) = [number for number, line in enumerate(lines) if "mean %" in line]
    table = {line.split()[0]: line.split() for line in lines[head + 2 :]}
    assert list(table) == ["digits", "quick"]
    for row, cells in table.items():
        figures = [json.loads((f / "metrics.json").read_text()) for f in folders if f.name.startswith(f"{row}-")]
        assert cells[2:4] == ["3", f"{statistics.fmean(each['last_accuracy'] for each in figures):.2f}"]
    assert sum(": started" in line for line in lines) < len(folders)
    assert len(list((copy / "notebooks" / "results").glob("*/metrics.json"))) == len(folders)
    assert not [line for line in lines if "Warning" in line or "Traceback" in line]


def test_asked_to_end_a_sweep_lets_its_run_save_and_says_how_to_go_on(copy):
    words = ["--rows", "quick,digits", "--epochs", "400"]
    folder = copy / "runs" / "digits-400epochs-x0.125-digits-seed1"
    other = copy / "runs" / "quick-400epochs-x0.125-digits-seed1"
    other.mkdir(parents=True)
    config = {"recipe": RECIPES["quick"].as_dict(), "classes": [str(digit) for digit in range(10)]}
    (other / "config.json").write_text(json.dumps(config))
    process = start_sweep(copy, *words)
    wait_until((folder / "history.csv").is_file, process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    output = (copy / "output.txt").read_text()
    assert "holds a run of another recipe (epochs 8 instead of 400" in output  # and the sweep went on to the next
    assert "stopped by SIGTERM: 0 of 2 runs finished, what had begun is saved; the same command goes on" in output
    run = Run(folder)
    assert run.load_checkpoint()["rows"] == run.history.to_dict("records") and not run.finished
    assert "everything is saved in" in (folder / jobs.LOG).read_text()
    assert (folder / "train.ipynb").is_file()
