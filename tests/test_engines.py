"""Places for the runs of a sweep, without their engines: options, refusals, the loop, and a made-up queue of Slurm."""

import os
import signal
import stat
import subprocess
import sys
import time

import planned_trials
import pytest
from conftest import ROOT

from kit.__main__ import main
from kit.errors import KitError
from kit.sweep import onslurm
from kit.sweep.jobs import Job
from kit.sweep.onray import needs
from kit.sweep.places import State, run_jobs
from kit.sweep.slurmtask import ANSWER, Task
from kit.system.interrupt import StopRequest

workspace, on_a_cpu, plan = planned_trials.workspace, planned_trials.on_a_cpu, planned_trials.plan
ROWS = ("--rows", "paper,sgd", "--data", "digits", "--epochs", "2")


# --- options


@pytest.mark.parametrize("on", ["local", "ray", "slurm", "ray://head:10001", "10.0.0.1:6379"])
def test_places_that_are_known(on):
    assert plan(*ROWS, "--on", on).request.place == on


def test_the_options_of_slurm_are_those_of_sbatch():
    assert plan(*ROWS, "--on", "slurm").request.slurm == {"time": "4:00:00", "cpus-per-task": "4", "gres": "gpu:1"}
    words = ["--slurm-gpu", "a100", "--slurm-time", "30", "--slurm-cpus", "8", "--slurm-set", "qos=high"]
    words += ["--slurm-partition", "short", "--slurm-account", "us", "--slurm-set", "mem=8G"]
    expected = {"partition": "short", "account": "us", "time": "30", "cpus-per-task": "8", "gres": "gpu:a100:1"}
    assert plan(*ROWS, "--on", "slurm", *words).request.slurm == expected | {"qos": "high", "mem": "8G"}
    assert "gres" not in plan(*ROWS, "--on", "slurm", "--slurm-gpu", "none").request.slurm


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "the moon"], "--on has to be local, ray, slurm, or Ray's address"),
        (["--on", "ray", "--push"], "--on and --push are two places for the runs"),
        (["--slurm-time", "30"], "--slurm-time is for --on slurm"),
        (["--on", "ray", "--slurm-set", "qos=high"], "--slurm-set is for --on slurm"),
        (["--on", "slurm", "--slurm-cpus", "0"], "--slurm-cpus has to be a whole number from 1, not '0'"),
        (["--on", "slurm", "--slurm-gpu", "a100:2"], "--slurm-gpu has to be any, none, or a kind of GPU such as a100"),
        (["--on", "slurm", "--slurm-set", "qos"], "--slurm-set has to be an option of sbatch such as qos=high"),
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_meant_is_one_sentence(workspace, capsys, words, sentence):
    assert main(["sweep", *ROWS, *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told and len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("on", "module", "command"), [("ray", "ray", "pip install 'ray"), ("slurm", "submitit", "pip install 'submitit")]
)
def test_an_engine_that_is_not_installed_is_one_sentence_with_the_command(
    workspace, on_a_cpu, monkeypatch, capsys, on, module, command
):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["sweep", *ROWS, "--on", on]) == 2
    told = capsys.readouterr().err
    assert command in told and len(told.splitlines()) == 1


def nodes(*sizes):
    return [{"Resources": {"CPU": float(cores), **({"GPU": float(gpus)} if gpus else {})}} for cores, gpus in sizes]


@pytest.mark.parametrize(
    ("at_once", "sizes", "expected"),
    [
        (2, [(8, 0), (8, 0)], (8, 0)),
        (4, [(8, 0), (8, 0)], (4, 0)),
        (3, [(8, 0), (6, 0)], (3, 0)),
        (40, [(8, 0), (8, 0)], (1, 0)),
        (8, [(32, 4), (16, 4)], (4, 1)),
        (12, [(32, 4), (16, 4)], (2, 0.5)),
        (4, [(64, 0), (16, 4)], (4, 1)),
        (24, [(96, 8)], (4, 0.333)),
    ],
)
def test_jobs_on_ray_share_its_nodes(at_once, sizes, expected):
    assert needs(at_once, nodes(*sizes)) == {"num_cpus": expected[0], "num_gpus": expected[1]}


# --- the loop


class Scripted:
    """A work whose states are given, one for each time it is asked, the last one for ever."""

    def __init__(self, job, states):
        self.job, self.where, self.states, self.calls = job, "a node", list(states), []

    def state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def stop(self):
        self.calls.append("stop")
        self.states = [State.ENDED]

    def kill(self):
        self.calls.append("kill")

    def failure(self):
        return None


class Everywhere:
    """An engine that takes all jobs at once, as a queue does."""

    poll_seconds, at_once = 0.001, 9

    def __init__(self, scripts):
        self.scripts, self.works = scripts, []

    def take(self, jobs):
        self.works = [Scripted(job, self.scripts[job.name]) for job in jobs]
        return list(self.works)


def test_a_work_is_told_once_when_it_starts_and_once_when_it_ends(tmp_path):
    waiting, running, ended = State.WAITING, State.RUNNING, State.ENDED
    scripts = {"usual": [waiting] * 3 + [running] * 9 + [ended], "short": [waiting, waiting, waiting, ended]}
    scripts |= {"again": [running] * 5 + [waiting] * 5 + [running] * 5 + [ended]}
    told, jobs = [], [Job(tmp_path / name, {}) for name in scripts]

    def tell(job, words):
        told.append((job.name, words))

    run_jobs(jobs, Everywhere(scripts), StopRequest(), tell, tell)
    for name in scripts:
        assert [words for who, words in told if who == name] == ["a node", None]


def test_a_work_that_still_waits_is_not_told_when_all_are_stopped(tmp_path):
    scripts = {"running": [State.RUNNING], "waiting": [State.WAITING]}
    engine, told = Everywhere(scripts), []

    def began(job, _where):
        told.append(("began", job.name))
        stop.signum = signal.SIGTERM

    stop = StopRequest()
    run_jobs([Job(tmp_path / name, {}) for name in scripts], engine, stop, began,
             lambda job, why: told.append(("ended", job.name)))  # fmt: skip
    assert told == [("began", "running"), ("ended", "running")]
    assert [work.calls for work in engine.works] == [["stop"], ["stop"]]


# --- a queue of Slurm that a folder plays


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Programs with the names of Slurm's; the file `queue` is what squeue prints, `calls` is what was called."""
    pytest.importorskip("submitit")
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "scancel", "scontrol"):
        path = folder / name
        path.write_text(f'#!/bin/sh\ncd {folder}\necho "{name} $*" >> calls\n[ -f {name}.out ] && cat {name}.out\n:\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / "sbatch.out").write_text("Submitted batch job 7\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(onslurm, "workspace", lambda: tmp_path)
    monkeypatch.setattr(onslurm.SlurmEngine, "poll_seconds", 0.0)
    monkeypatch.setattr(onslurm, "_FILE_SECONDS", -1.0)
    return folder


def calls(queue, name):
    return [line for line in (queue / "calls").read_text().splitlines() if line.startswith(name)]


def show(queue, *lines):
    (queue / "squeue.out").write_text("".join(f"{line}\n" for line in lines))


def two_jobs(tmp_path):
    return [Job(tmp_path / "runs" / name, {}) for name in ("a", "b")]


def test_jobs_are_one_array_and_the_same_command_finds_it_again(tmp_path, queue):
    engine = onslurm.SlurmEngine(2, {"partition": "short"})
    show(queue, "7_0|PENDING||Resources", "7_1|PENDING||Priority")
    works = engine.take(two_jobs(tmp_path))
    assert [work.state() for work in works] == [State.WAITING] * 2
    script = (tmp_path / "build" / "slurm" / "7_submission.sh").read_text()
    assert "#SBATCH --array=0-1%2" in script and "#SBATCH --partition=short" in script
    again = onslurm.SlurmEngine(2, {}).take(two_jobs(tmp_path))
    assert [work.number for work in again] == ["7_0", "7_1"] and len(calls(queue, "sbatch")) == 1
    show(queue, "7_0|RUNNING|node3|None")
    assert [work.state() for work in again] == [State.RUNNING, State.ENDED]
    assert again[0].where == "node3" and not (tmp_path / "runs" / "b" / onslurm.NUMBER).exists()


def test_a_task_that_slurm_will_never_start_is_taken_back_and_told(tmp_path, queue):
    show(queue, "7_0|PENDING||PartitionTimeLimit", "7_1|PENDING||launch failed requeued held")
    first, second = onslurm.SlurmEngine(2, {}).take(two_jobs(tmp_path))
    assert first.state() is second.state() is State.ENDED
    assert first.failure() == "Slurm does not start it (PartitionTimeLimit): give a shorter --slurm-time"
    assert "launch failed requeued held" in second.failure()
    assert calls(queue, "scancel") == ["scancel 7_0", "scancel 7_1"]


def test_a_node_that_does_not_share_the_folder_is_one_sentence(tmp_path, queue, monkeypatch):
    show(queue, "7_0|RUNNING|node3|None", "7_1|RUNNING|node4|None")
    late, lost = onslurm.SlurmEngine(2, {}).take(two_jobs(tmp_path))
    assert late.state() is State.RUNNING
    monkeypatch.setattr(onslurm, "_ANSWER_SECONDS", 0.0)
    (queue / "scontrol.out").write_text("JobId=8 JobState=FAILED NodeList=node4\n")
    show(queue, "7_0|RUNNING|node3|None")
    assert late.state() is lost.state() is State.ENDED
    assert late.failure().startswith("the Slurm node node3 wrote nothing into the run folder in time: every machine")
    assert lost.failure().startswith("the Slurm node node4 wrote nothing (state FAILED): every machine of the cluster")


def test_a_stop_signals_the_running_takes_back_the_waiting_and_a_silent_queue_changes_nothing(tmp_path, queue):
    show(queue, "7_0|RUNNING|node3|None", "7_1|PENDING||Priority")
    works = onslurm.SlurmEngine(2, {}).take(two_jobs(tmp_path))
    (queue / "squeue").write_text("#!/bin/sh\nexit 1\n")
    for work in works:
        work.stop()
    assert calls(queue, "scancel") == ["scancel --batch --signal=TERM 7_0", "scancel 7_1"]
    assert [work.state() for work in works] == [State.RUNNING, State.WAITING]


def test_what_sbatch_refuses_is_one_sentence(tmp_path, queue):
    (queue / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    with pytest.raises(KitError, match=r"sbatch refuses the array of 2 tasks: .*invalid partition specified: x"):
        onslurm.SlurmEngine(2, {}).take(two_jobs(tmp_path))


def test_a_dry_run_on_slurm_prints_the_script(workspace, queue, capsys):
    assert main(["sweep", *ROWS, "--on", "slurm", "--jobs", "1", "--slurm-gpu", "a100", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for word in ("array=0-1%1", "gres=gpu:a100:1", "time=4:00:00", "signal=B:USR2@120", "requeue", "open-mode=append"):
        assert f"#SBATCH --{word}" in lines
    assert lines[-1].startswith(f"exec {sys.executable} -u -m submitit") or lines[-2].startswith("exec ")
    assert not (queue / "calls").exists(), "a dry run called Slurm"


# --- what a task does, under submitit's local executor

SAVES = """if True:
    import signal, sys, time
    folder = {folder!r}
    def save(*_):
        open(folder + "/signals", "a").write("SIGTERM ")
        time.sleep(0.2)
        if {checkpoint}: open(folder + "/checkpoint.pt", "w").write("everything")
        print("error: stopped by SIGTERM", flush=True)
        sys.exit(2)
    signal.signal(signal.SIGTERM, save)
    open(folder + "/up", "w").close()
    time.sleep({seconds})
"""


def submitted(tmp_path, queue, seconds=60, checkpoint=True):
    """A task at work through submitit's local executor, whose job is a small program, and its run folder."""
    import submitit

    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)

    class Program(Job):
        words = ("-c", SAVES.format(folder=str(folder), seconds=seconds, checkpoint=checkpoint))

    executor = submitit.LocalExecutor(tmp_path / "local")
    executor.update_parameters(timeout_min=5, signal_delay_s=1)
    return executor.submit(Task(Program(folder, {}), {}, tmp_path)), folder


def wait_for(path):
    limit = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < limit, f"{path} does not come"
        time.sleep(0.02)


@pytest.fixture
def on_the_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_task_returns_the_status_of_its_job_and_shows_itself_in_the_folder(tmp_path, queue, on_the_path):
    task, folder = submitted(tmp_path, queue, seconds=0)
    assert task.result() == 0
    assert (folder / ANSWER).is_file() and not (queue / "calls").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "checkpoint", "requeued"),
    [(signal.SIGUSR2, True, True), (signal.SIGUSR2, False, False), (signal.SIGTERM, True, False)],
    ids=["limit", "limit without a new checkpoint", "stop"],
)
def test_a_signal_lets_the_job_save_and_the_time_limit_asks_for_another_turn(
    tmp_path, queue, on_the_path, monkeypatch, signum, checkpoint, requeued
):
    for name, value in (("JOB_ID", "8"), ("ARRAY_JOB_ID", "7"), ("ARRAY_TASK_ID", "3")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    task, folder = submitted(tmp_path, queue, checkpoint=checkpoint)
    wait_for(folder / "up")
    (process,) = subprocess.run(["pgrep", "-P", task.job_id], capture_output=True, text=True).stdout.split()
    os.kill(int(process), signum)
    wait_for(tmp_path / "local" / f"{task.job_id}_0_result.pkl") if not requeued else wait_for(queue / "calls")
    assert (folder / "signals").read_text() == "SIGTERM "
    if requeued:
        assert calls(queue, "scontrol") == ["scontrol requeue 7_3"]
        assert not task.paths.result_pickle.exists()
    else:
        assert task.result() == 2 and not (queue / "calls").exists()
