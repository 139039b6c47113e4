"""A sweep on a real Slurm of one machine: it outlives what is killed, and saves at a time limit."""

import os
import shutil
import signal
import subprocess

import pytest
import sweep_copies

from kit.run import Run

copy, start_sweep, wait_until = sweep_copies.copy, sweep_copies.start_sweep, sweep_copies.wait_until
SEES = shutil.which("sinfo") and subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True).stdout.strip()
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(not SEES, reason="no Slurm answers here: tests/slurm_here.sh installs and starts one"),
]
QUEUED = ("squeue", "--me", "--array", "--noheader", "--name=kit-sweep", "--format=%i %T")


def slurm(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def running():
    return [line.split()[0] for line in slurm(*QUEUED).splitlines() if line.endswith("RUNNING")]


@pytest.fixture(autouse=True)
def empty_queue():
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'submitit>=1.5.2'")
    yield
    slurm("scancel", "--me")


def words(rows, seeds, epochs):
    places = ["--jobs", "2", "--on", "slurm", "--slurm-gpu", "none", "--slurm-cpus", "1", "--slurm-time", "30"]
    return ["--rows", rows, "--seeds", str(seeds), "--epochs", str(epochs), *places]


def test_six_runs_outlive_a_killed_head_a_killed_node_and_a_stop(copy, digits):
    sweep = words("digits,quick", 3, 2)
    folders, output = sweep_copies.six_folders(copy), copy / "output.txt"
    process = start_sweep(copy, *sweep)
    wait_until(running, process)
    os.killpg(process.pid, signal.SIGKILL)  # the head of the sweep; its tasks go on
    process.wait()
    assert slurm(*QUEUED)

    process = start_sweep(copy, *sweep)
    wait_until(lambda: len(sweep_copies.finished(folders)) >= 1 and running(), process)
    assert len(list((copy / "build" / "slurm").glob("*_submission.sh"))) == 1, "tasks in the queue were sent again"
    tasks = running()
    (node,) = slurm("sinfo", "--noheader", "--format=%n").split()
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed")
    assert not set(tasks) & set(running()), "its tasks did not go back to the queue"
    wait_until(running, process, 300)  # the node answers, so that Slurm takes it back
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(180) == 128 + signal.SIGTERM, output.read_text()
    assert "what had begun is saved; run the same command again to go on" in output.read_text() and not slurm(*QUEUED)
    sweep_copies.check_that_the_same_command_ends_it(copy, sweep, folders, 300, digits)


def test_before_its_time_limit_a_task_saves_and_goes_on_in_another_turn(copy):
    folder = copy / "runs" / "digits-400epochs-x0.125-digits-seed1"
    process = start_sweep(copy, *words("digits", 1, 400))
    wait_until(lambda: (folder / "history.csv").is_file() and len(Run(folder).history) >= 3, process)
    (number,) = running()
    slurm("scancel", "--batch", "--signal=USR2", number)  # as `sbatch --signal=B:USR2@120` does before the limit
    log = folder / "sweep.log"
    wait_until(lambda: "going on with" in log.read_text(), process, 300)
    assert log.read_text().count("\nerror: stopped by SIGTERM in epoch") == 1
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(180) == 128 + signal.SIGTERM
    assert log.read_text().count("\nerror: stopped by SIGTERM in epoch") == 2
    run = Run(folder)
    assert run.load_checkpoint()["rows"] == run.history.to_dict("records") and not run.finished
