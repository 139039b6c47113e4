"""A run that was killed, stopped or out of time and went on is bitwise the run that never was, times aside."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from training_process import start_command, start_training

from kit.recipe import RECIPES
from kit.run import Run
from kit.system import progress
from kit.system.interrupt import PassedOn, Stopped, StopRequest
from kit.train import loop as training
from kit.train.learner import Learner
from kit.train.loop import train

SMALL = RECIPES["digits"].replace(arch="4,8/1,1", epochs=10)
FEW = 512 // 32  # steps of an epoch of few_digits, half as many where half the images are left out
STEPS = 1438 // 64  # of an epoch
TIMES = ["seconds", "images_per_second"]
MIXED = {
    "dropout": 0.2,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 1.0,
    "augment": "crop+flip+trivialaugment",
    "cutout": 8,
}
AVERAGED = {"ema": 0.9, "optimizer": "adamw", "lr": 0.01, "lookahead_k": 3, "skip_easy": 0.5, "resize": "24x0.5"}


def outcome(run):
    figures = {name: value for name, value in run.metrics.items() if name not in ("train_seconds", "wall_seconds")}
    weights = [run.weights_path(kind).read_bytes() for kind in ("last", "best")]
    return weights, run.history.drop(columns=TIMES).to_csv(), figures


def steps_done(run):
    return (
        torch.load(run.checkpoint_path, weights_only=True)["learner"]["steps"] if run.checkpoint_path.is_file() else 0
    )


def wait_for(happened, process, seconds=60):
    """Wait until `happened()` or the end of the process."""
    limit = time.monotonic() + seconds
    while process.is_alive() and not happened():
        assert time.monotonic() < limit, "the training does not get on"
        time.sleep(0.001)


def wait_for_checkpoints(run, count, process):
    """Wait until the process has renamed `count` new checkpoints into place."""
    seen = {written(run.checkpoint_path)}

    def enough():
        seen.add(written(run.checkpoint_path))
        return len(seen - {None}) > count

    wait_for(enough, process)


def written(path):
    return path.stat().st_mtime_ns if path.is_file() else None


@pytest.mark.slow
@pytest.mark.parametrize("settings, kills", [(MIXED, 10), (AVERAGED, 4)], ids=["mixed", "averaged"])
def test_killed_at_random_moments_a_run_ends_as_if_unbroken(tmp_path, settings, kills):
    recipe = SMALL.replace(batch_size=32, **settings)
    unbroken, broken = Run(tmp_path / "unbroken"), Run(tmp_path / "broken")
    reference = start_training(recipe, unbroken.folder, checkpoint_seconds=120)
    moments, dice = [], random.Random(5)
    for _ in range(kills):
        process = start_training(recipe, broken.folder, checkpoint_seconds=0.01)
        wait_for_checkpoints(broken, dice.randint(1, 5), process)
        time.sleep(dice.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"
        moments.append(steps_done(broken))
    assert sum(step % (FEW // 2) != 0 for step in moments) >= kills // 2, f"inside an epoch too seldom: {moments}"
    assert moments == sorted(moments) and moments[-1] > moments[0]

    last = start_training(recipe, broken.folder, checkpoint_seconds=0.2)
    for process in (last, reference):
        process.join(120)
        assert process.exitcode == 0
    assert outcome(broken) == outcome(unbroken)
    assert len(broken.history) == 10
    assert not list(broken.folder.glob("*.part"))  # of the writes that were killed


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, signum):
    run, output = Run(tmp_path / "run"), tmp_path / "output.txt"
    words = [f"--{k}={v}" for k, v in SMALL.as_dict().items()] + ["--data=digits", f"--run={run.folder}"]
    process = start_command(words, output)
    wait_for((run.folder / "history.csv").is_file, process)
    os.kill(process.pid, signum)
    process.join(60)
    assert process.exitcode == 128 + signum
    text = output.read_text()
    assert f"stopped by {signum.name} in epoch " in text
    assert f"everything is saved in {run.folder}: run the same command again to go on" in text
    assert not run.finished and 0 < steps_done(run) < 10 * STEPS
    assert "unfinished" in run.summary()


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [STEPS - 1, STEPS, 2 * STEPS], ids=["inside", "after an epoch's last step", "at the end"]
)
def test_a_stop_at_any_step_loses_nothing(tmp_path, digits, digits_recipe, digits_run, monkeypatch, step):
    run = Run(tmp_path / "stopped")
    make_step = Learner.step

    def signalled(learner, *batch):
        logits = make_step(learner, *batch)
        if learner.steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return logits

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", signalled)
        with pytest.raises(Stopped, match="SIGTERM") as stopped:
            train(digits_recipe, digits, run)
    assert stopped.value.signum == signal.SIGTERM
    assert not run.finished and steps_done(run) == step
    assert outcome(train(digits_recipe, digits, run)) == outcome(digits_run)


def test_a_notebook_is_told_to_run_the_cell_again(tmp_path, digits, digits_recipe, monkeypatch, capsys):
    monkeypatch.setattr(progress, "in_kernel", lambda: True)
    monkeypatch.setattr(progress, "in_open_notebook", lambda: True)
    monkeypatch.setenv(progress.QUIET, "1")
    monkeypatch.setattr(Learner, "fit_stem", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped) as stopped:
        train(digits_recipe, digits, Run(tmp_path / "run"))
    message = (
        f"interrupted in epoch 1, after step 1 of {STEPS}; everything is saved in {tmp_path / 'run'}: "
        "run this cell again to go on"
    )
    assert stopped.value._render_traceback_() == [message]
    assert "interrupted" not in capsys.readouterr().out, "IPython shows it once"


def test_a_finished_run_is_checked_once(tmp_path, digits, digits_recipe, digits_run, monkeypatch):
    copy = Run(shutil.copytree(digits_run.folder, tmp_path / "finished"))
    read, read_model = [], Run.model
    monkeypatch.setattr(Run, "model", lambda run, which="last": (read.append(which), read_model(run, which))[1])
    assert train(digits_recipe, digits, copy).finished
    assert sorted(read) == ["best", "last"]


@pytest.mark.slow
def test_out_of_time_a_run_stays_unfinished_and_goes_on(tmp_path, digits, digits_recipe, digits_run, capsys):
    run = train(digits_recipe, digits, Run(tmp_path / "slow"), max_hours=1e-9)
    assert not run.finished
    assert (
        f"stopped by max_hours 1e-09 in epoch 1, after step 1 of {STEPS}; everything is saved"
        in capsys.readouterr().out
    )
    assert outcome(train(digits_recipe, digits, run)) == outcome(digits_run)
    assert "going on with" in capsys.readouterr().out


@pytest.mark.slow
def test_checkpoints_come_at_a_fixed_interval_and_at_epochs_ends(tmp_path, digits, monkeypatch):
    saved = []
    monkeypatch.setattr(Run, "save_checkpoint", lambda self, state: saved.append(state["learner"]["steps"]))
    recipe = SMALL.replace(epochs=2)
    train(recipe, digits, Run(tmp_path / "often"), checkpoint_seconds=0)
    assert set(range(1, 2 * STEPS)) <= set(saved)
    saved.clear()
    monkeypatch.setattr(training, "EPOCH_SECONDS", 0)
    train(recipe, digits, Run(tmp_path / "epochs"))
    assert saved == [STEPS, 2 * STEPS]


def test_sigterms_close_together_are_one_request_and_a_later_one_acts(monkeypatch):
    """Slurm sends it to every process of a job, and so do the parents of these."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("acted"))
    try:
        with StopRequest() as stop:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reason == "SIGTERM" and heard == []
            monkeypatch.setattr("kit.system.interrupt.TOGETHER_SECONDS", 0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == ["acted"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_signal_acts_at_once_and_handlers_come_back(heeded_interrupts):
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert stop.reason is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_are_passed_on_as_one_and_a_second_interrupt_acts_here(heeded_interrupts):
    script = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)]
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as child:
        passed_on = PassedOn(lambda: child.pid)
        assert child.stdout.readline() == "ready\n"
        passed_on.begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert child.stdout.readline() == "asked\n"
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        passed_on.end()
        assert child.communicate(timeout=30)[0] == ""
    assert [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)] == before
