"""Sweeps: failures that are told, the table, kernels, and that kills and failures cost nothing else."""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys

import nbformat
import planned_trials
import pytest
import sweep_copies
import torch

from kit.__main__ import build_parser, main
from kit.ablation.experiments import TABLES, at_scale
from kit.errors import KitError
from kit.parameters import check
from kit.recipe import RECIPES
from kit.run import Run
from kit.sweep import jobs, local
from kit.sweep import running as sweep
from kit.sweep.request import read_request
from kit.system import progress
from kit.system.interrupt import StopRequest

workspace, on_a_cpu = planned_trials.workspace, planned_trials.on_a_cpu
plan, write_finished = planned_trials.plan, planned_trials.write_finished
copy, start_sweep, wait_until = sweep_copies.copy, sweep_copies.start_sweep, sweep_copies.wait_until


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
    monkeypatch.setattr(local.LocalEngine, "poll_seconds", 0.01)
    monkeypatch.setattr(local, "_start", start)
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
    assert main(["sweep", "--rows", "paper,sgd", "--data", "digits"]) == 2
    told = capsys.readouterr()
    assert "1 of 2 runs failed" in told.err
    lines = told.out.splitlines()
    assert lines[-2].startswith("failed: paper-") and lines[-2].endswith("-seed1: the loss is not a number")
    assert lines[-1].startswith("stopped by max_hours 1: 0 of 2 runs finished")
    assert any("mean %" in line for line in lines)


def test_a_sweep_tells_how_far_every_run_at_work_is(programs, capsys, monkeypatch):
    (trial,) = plan("--rows", "sgd", "--data", "digits", "--epochs", "3").trials
    programs["sgd"] = finishes(trial, then="print('... epoch 1/3: 4 of 11 steps, run 0:01:00 left', flush=True)\n"
                                           "import time; time.sleep(0.5)")  # fmt: skip
    for name in ("FIRST_SECONDS", "LINE_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    assert main(["sweep", "--rows", "sgd", "--data", "digits", "--epochs", "3"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"... {trial.name}: ")]
    history = len(trial.run.history)
    assert f"... {trial.name}: {history} of 3 epochs" in lines[-1]


def test_a_notebook_that_fails_after_its_training_is_a_failure(programs, capsys):
    words = ["--rows", "paper,sgd", "--data", "digits"]
    paper, sgd = plan(*words).trials
    programs |= {"paper": finishes(paper, then=FAILS), "sgd": finishes(sgd)}
    assert main(["sweep", *words]) == 2
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
    assert main(["sweep", *words]) == 2
    out = capsys.readouterr().out
    assert re.search(rf"^failed: {paper.name}: .* holds a run of another recipe \({next(iter(recorded))} ", out, re.M)
    assert f"{paper.name}: started" not in out and sgd.finished
    assert main(["sweep", *words, "--push", "--dry-run"]) == 2
    assert "holds a run of another recipe" in capsys.readouterr().err


def test_a_record_that_cannot_be_kept_is_told_and_stops_nothing(workspace, programs, capsys):
    words = ["--rows", "paper,sgd", "--data", "digits"]
    paper, sgd = plan(*words).trials
    programs |= {"paper": finishes(paper), "sgd": finishes(sgd)}
    (workspace / "results").write_text("a file in the place of the folder")
    assert main(["sweep", *words, "--keep"]) == 2
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
    assert "label" in text and "paper %" in text
    assert "of the holdout split" in sweep.table_in_words(plan("--rows", "paper", "--split", "holdout"))


def test_the_printed_table_has_no_column_that_says_nothing(workspace):
    text = sweep.table_in_words(plan("--rows", "digits", "--data", "digits", "--seeds", "1"))
    assert "label" not in text and "paper" not in text.splitlines()[-2]
    assert text.splitlines()[-2].split()[:3] == ["n", "mean", "%"] and text.splitlines()[-1].split() == ["digits", "0"]


def test_a_dry_push_writes_a_kernel_for_every_unfinished_run_and_sends_nothing(workspace, monkeypatch, capsys):
    words = ["--rows", "paper,sgd,adam", "--seeds", "1,2", "--epochs", "3", "--arch-scale", "0.25", "--data", "digits"]
    planned = plan(*words)
    write_finished(planned.trials[0])
    begun = write_finished(planned.trials[1])
    (begun / "metrics.json").unlink()
    (begun / "checkpoint.pt").write_bytes(b"a checkpoint")
    monkeypatch.setattr("kit.competition.client.connect", None)
    assert main(["sweep", *words, "--push", "--dry-run"]) == 0
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
            sweep.run(read_request(build_parser().parse_args(["sweep", "--table", "2", "--push", "--dry-run", *words])))
    assert not (workspace / "build").exists()


# --- real sweeps, in a copy of the project


@pytest.mark.slow
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
    table = {line.split()[0]: line.split() for line in lines[head + 1 :]}
    assert list(table) == ["digits", "quick"]
    for row, cells in table.items():
        figures = [json.loads((f / "metrics.json").read_text()) for f in folders if f.name.startswith(f"{row}-")]
        assert cells[1:3] == ["3", f"{statistics.fmean(each['last_accuracy'] for each in figures):.2f}"]
    assert sum(": started" in line for line in lines) < len(folders)
    assert len(list((copy / "notebooks" / "results").glob("*/metrics.json"))) == len(folders)
    assert not [line for line in lines if "Warning" in line or "Traceback" in line]


@pytest.mark.slow
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
    refusal = f"holds a run of another recipe (epochs {RECIPES['quick'].epochs} instead of 400"
    assert refusal in output  # and the sweep went on to the next
    assert (
        "stopped by SIGTERM: 0 of 2 runs finished, what had begun is saved; run the same command again to go on"
        in output
    )
    run = Run(folder)
    assert run.load_checkpoint()["rows"] == run.history.to_dict("records") and not run.finished
    assert "everything is saved in" in (folder / jobs.LOG).read_text()
    assert (folder / "train.ipynb").is_file()
