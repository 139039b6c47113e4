"""Trainings side by side: how they share a machine, and what failures, stops and kills do to the others."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kit.errors import KitError
from kit.sweep import jobs, local
from kit.sweep.places import run_jobs
from kit.system import locks
from kit.system.interrupt import StopRequest


def test_jobs_take_gpus_in_turn_or_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in local.slots(5, ["2", "5"], 8)] == ["2", "5", "2", "5", "2"]
    assert local.slots(3, [], 8) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert local.slots(4, [], 2) == [{"OMP_NUM_THREADS": "1"}] * 4
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert local.slots(1, [], 8) == [{"OMP_NUM_THREADS": "5"}]


class Record:
    """Keeps what run_jobs tells, and starts small programs in the place of trainings."""

    def __init__(self, monkeypatch, programs):
        self.programs, self.places, self.ends, self.most = programs, {}, {}, 0
        self._running = set()
        monkeypatch.setattr(local.LocalEngine, "poll_seconds", 0.01)
        monkeypatch.setattr(local, "_start", self._start)

    def _start(self, job, place):
        job.folder.mkdir(exist_ok=True)
        with (job.folder / jobs.LOG).open("a") as log:
            return subprocess.Popen([sys.executable, "-c", self.programs[job.name]], stdout=log, stderr=log)

    def began(self, job, place):
        self.places[job.name] = place.removeprefix("GPU ")
        self._running.add(job.name)
        self.most = max(self.most, len(self._running))
        assert len({self.places[name] for name in self._running}) == len(self._running), "two runs on one GPU"

    def ended(self, job, failure):
        self._running.remove(job.name)
        self.ends[job.name] = failure

    def run(self, folder, gpus, stop):
        todo = [jobs.Job(folder / name, {}) for name in self.programs]
        run_jobs(todo, local.LocalEngine(local.slots(len(gpus), gpus, 1)), stop, self.began, self.ended)


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
    monkeypatch.setattr(local, "_start", lambda *words: started.append(start(*words)) or started[-1])
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        record.run(tmp_path, ["0"], stop)
    assert [process.wait() for process in started] == [-signal.SIGKILL]
    assert time.monotonic() - began < 50 and record.ends == {}


def test_a_job_waits_for_the_end_of_a_training_and_refuses_a_folder_that_stays_in_use(tmp_path, monkeypatch):
    with locks.owned(tmp_path / locks.TRAINING, "it") as training:  # as a kernel that outlives its killed parent
        ends = threading.Timer(0.3, training.release)
        ends.start()
        with jobs._free_folder(tmp_path):
            ends.join()
            monkeypatch.setattr(jobs, "_CLAIM_SECONDS", 0)
            with pytest.raises(KitError, match=f"{tmp_path} is in use by process {os.getpid()} on "):
                jobs._free_folder(tmp_path).__enter__()
    with locks.owned(tmp_path / locks.TRAINING, "it"), pytest.raises(KitError, match="is in use by"):
        jobs._free_folder(tmp_path).__enter__()
    assert not (tmp_path / locks.JOB).exists()
