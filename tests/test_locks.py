"""Locks: one owner at a time with and without flock, a sentence for the second, and dead owners that are followed."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from training_process import start_training

from kit.errors import KitError
from kit.run import Run
from kit.system import locks
from kit.train.loop import train

MINUTES_AGO = 5 * 60


def without_flock(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


@pytest.fixture(params=["flock", "no flock", "no fcntl"])
def way(request, monkeypatch):
    """Locks on a file system with flock, on one without, and on Windows."""
    if request.param == "no flock":
        without_flock(monkeypatch)
    if request.param == "no fcntl":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


def hold(path, way, then="time.sleep(60)"):
    """A process that owns the lock."""
    program = f"""if True:
        import errno, sys, time
        from kit.system import locks
        def refuse(*_): raise OSError(errno.ENOLCK, "No locks available")
        if {way!r} != "flock": locks.fcntl.flock = refuse
        with locks.owned({str(path)!r}, "it"):
            print("mine", flush=True)
            {then}
    """
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"mine\n"
    return process


def test_a_second_owner_is_told_who_the_first_is_and_follows_its_end(tmp_path, way):
    path = tmp_path / "folder" / ".lock"
    with locks.owned(path, "runs/paper") as lock:
        with pytest.raises(KitError, match=rf"runs/paper is in use by process {os.getpid()} on \S+ since 20.*: wait"):
            locks.Lock(path, "runs/paper").acquire()
        lock.check()
        first = threading.Timer(0.3, lock.release)
        first.start()
        with locks.owned(path, "runs/paper", wait=30):
            first.join()
            with pytest.raises(KitError, match="in use by"):
                locks.Lock(path, "runs/paper").acquire()
    assert list(path.parent.iterdir()) == []


def test_a_killed_process_of_this_machine_is_followed_at_once(tmp_path, way):
    path = tmp_path / ".lock"
    process = hold(path, way)
    with pytest.raises(KitError, match=f"in use by process {process.pid} on "):
        locks.Lock(path, "it").acquire()
    process.kill()
    process.wait()
    assert path.exists()
    with locks.owned(path, "it") as lock:
        lock.check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["other machine", "", "garbled", "[]"])
def test_an_owner_elsewhere_lives_as_long_as_it_writes(tmp_path, monkeypatch, content):
    without_flock(monkeypatch)
    path = tmp_path / ".lock"
    if content == "other machine":
        content = json.dumps(locks._this_process() | {"machine": "far", "host": "far", "token": "theirs"})
    path.write_text(content)
    with pytest.raises(KitError, match=r"in use by (process [0-9]+ on far since|another process)"):
        locks.Lock(path, "it").acquire()
    silent = time.time() - MINUTES_AGO
    os.utime(path, (silent, silent))
    with locks.owned(path, "it") as lock:
        lock.check()


def test_a_flock_of_this_machine_alone_does_not_hide_an_owner_elsewhere(tmp_path):
    path = tmp_path / ".lock"
    path.write_text(json.dumps(locks._this_process() | {"machine": "far", "host": "far"}))
    with pytest.raises(KitError, match=r"in use by process [0-9]+ on far"):
        locks.Lock(path, "it").acquire()
    silent = time.time() - MINUTES_AGO
    os.utime(path, (silent, silent))
    with locks.owned(path, "it"):
        pass


def test_a_process_number_that_was_given_to_another_process_is_no_owner(tmp_path, monkeypatch):
    without_flock(monkeypatch)
    path = tmp_path / ".lock"
    path.write_text(json.dumps(locks._this_process() | {"began": "1"}))
    with locks.owned(path, "it"):
        pass


def test_an_owner_writes_signs_of_life_and_notices_that_it_was_taken_for_dead(tmp_path, monkeypatch, way):
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    path = tmp_path / ".lock"
    with locks.owned(path, "it") as lock:
        long_ago = time.time() - MINUTES_AGO
        os.utime(path, (long_ago, long_ago))
        limit = time.monotonic() + 20
        while path.stat().st_mtime < long_ago + 60:
            assert time.monotonic() < limit, "no sign of life"
            time.sleep(0.02)
        lock.check()
        theirs = json.dumps({"token": "theirs", "process": 7, "host": "far", "since": "now"})
        path.write_text(theirs)
        time.sleep(0.2)
        with pytest.raises(KitError, match="it was taken over by process 7 on far since now"):
            lock.check()
    assert path.read_text() == theirs  # the new owner's file stays


def count_up(folder, flock):
    if not flock:
        locks.fcntl.flock = lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available"))
    locks._POLL_SECONDS = 0.001
    counter = folder / "counter"
    for _ in range(25):
        with locks.owned(folder / ".lock", "the counter", wait=60):
            number = int(counter.read_text())
            time.sleep(0.0005)
            counter.write_text(str(number + 1))


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize("dead", [True, False])
def test_no_two_processes_own_it_at_once(tmp_path, flock, dead):
    (tmp_path / "counter").write_text("0")
    if dead:  # all of them find a dead owner at once
        (tmp_path / ".lock").write_text(json.dumps(locks._this_process() | {"began": "1"}))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_up, args=(tmp_path, flock)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "counter").read_text() == "100"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match=r"cannot write .*\.lock: "):
        locks.Lock(tmp_path / "file" / ".lock", "it").acquire()


def test_an_ended_process_that_nobody_waited_for_owns_nothing(tmp_path):
    process = hold(tmp_path / ".lock", "no flock")
    os.kill(process.pid, signal.SIGKILL)
    while locks._began(process.pid) is not None:
        time.sleep(0.01)
    with locks.owned(tmp_path / ".lock", "it"):
        pass
    process.wait()


@pytest.mark.slow
def test_a_second_training_in_a_folder_changes_nothing_there(tmp_path, digits, digits_recipe):
    run = Run(tmp_path / "two")
    started = start_training(digits_recipe.replace(epochs=400), run.folder, checkpoint_seconds=0.01)
    try:
        while not run.checkpoint_path.is_file():
            assert started.is_alive()
            time.sleep(0.01)
        config = run.config
        with pytest.raises(KitError, match=f"two is in use by process {started.pid} on "):
            train(digits_recipe.replace(lr=0.5), digits, run, resume=False)
        assert run.config == config and run.checkpoint_path.is_file() and not run.finished
    finally:
        started.kill()
        started.join()
    train(digits_recipe, digits, run, resume=False)
    assert run.finished and not (run.folder / locks.TRAINING).exists()


@pytest.mark.slow
def test_a_training_that_was_taken_for_dead_saves_nothing_more(tmp_path, digits, digits_recipe, monkeypatch):
    run = Run(tmp_path / "run")
    take_weights = Run.save_history

    def take_over(self, rows):
        (run.folder / locks.TRAINING).write_text(json.dumps({"token": "theirs", "process": 7, "host": "far"}))
        return take_weights(self, rows)

    monkeypatch.setattr(Run, "save_history", take_over)
    with pytest.raises(KitError, match="run was taken over by process 7 on far"):
        train(digits_recipe.replace(epochs=1), digits, run)
    assert not run.checkpoint_path.exists() and not run.finished


@pytest.mark.slow
def test_without_what_windows_lacks_a_lock_is_owned_and_a_sweep_is_planned(tmp_path):
    program = f"""if True:
        import os, sys
        for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty"):
            sys.modules[name] = None
        for name in ("getuid", "fork", "sched_getaffinity", "killpg", "setsid"):
            delattr(os, name)
        from kit.__main__ import main
        from kit.system import locks
        with locks.owned({str(tmp_path / ".lock")!r}, "it"):
            sys.exit(main(["sweep", "--table", "1", "--dry-run"]))
    """
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "table1" in answer.stdout
    assert list(tmp_path.iterdir()) == []
