"""Tracking: the callback that sends a run's configuration, rows, curves and final figures to a tracker."""

import importlib
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Thread
from typing import Any

from kit.run import Run
from kit.system import files
from kit.train.trackers import Config, Start, Tracker

STATE = "tracker.json"  # in the run folder: by tracker, its run's id, how many epochs it has, and whether it has all
SECONDS = 60.0  # that a finished training waits for its tracker
STOPPED_SECONDS = 15.0  # that a stopped one does: whoever stopped it may soon kill it


class Tracking:
    """Follows a training for the tracker called `kind`.

    Tracker calls are made in a thread of their own, so that no network delays the training. The run folder remembers
    what was sent: a resumed training goes on in the same run of the tracker, sends no epoch twice, and sends what was
    missed. The first error of the tracker is raised from the next call here.
    """

    def __init__(self, kind: str):
        self.kind, self.name = kind, f"track {kind}"
        self._sent: dict[str, Any] = {}
        self._tracker: Tracker  # used by the worker's thread alone

    def begin(self, run: Run) -> None:
        self._sent = _all_sent(run).get(self.kind, {"id": None, "epochs": 0, "finished": False})
        if self._sent["finished"]:
            return
        self._worker = Worker()
        config = _flat(run.config)
        self._worker.ask(lambda: self._start(run, config))
        self.epoch(run)

    def epoch(self, run: Run) -> None:
        if not self._sent["finished"]:
            rows = run.history.to_dict("records")
            self._worker.ask(lambda: self._send(run, rows))

    def end(self, run: Run) -> None:
        if self._sent["finished"]:
            return
        metrics = _numbers(run.metrics)  # none if unfinished
        if metrics:
            from kit.plots import course  # a second of import time that only trackers need

            figure = course(run.history)
            self._worker.ask(lambda: self._tracker.figure("course", figure))
        self._worker.ask(lambda: self._tracker.finish(metrics))
        self._worker.finish(SECONDS if metrics else STOPPED_SECONDS)
        self._note(run, finished=bool(metrics))

    def _start(self, run: Run, config: Config) -> None:
        start: Start = importlib.import_module(f"kit.train.trackers.{self.kind}").Adapter
        self._tracker = start(run.name, run.folder, config, self._sent["id"])
        self._note(run, id=self._tracker.id)

    def _send(self, run: Run, rows: list[dict[str, float]]) -> None:
        for row in rows[self._sent["epochs"] :]:
            self._tracker.log(row)
            self._note(run, epochs=int(row["epoch"]))

    def _note(self, run: Run, **changes: Any) -> None:
        self._sent |= changes
        files.write_json(run.folder / STATE, _all_sent(run) | {self.kind: self._sent})


class Worker:
    """Does one job after another in a thread, which ends with the process at the latest."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def ask(self, job: Callable[[], None]) -> None:
        """Put a job into the queue.

        Raises:
            Exception: what an earlier job raised, after which no other is done.
        """
        if self._error:
            raise self._error
        self._jobs.put(job)

    def finish(self, seconds: float) -> None:
        """Wait until all jobs are done.

        Raises:
            Exception: what a job raised.
            TimeoutError: the jobs take longer than `seconds`.
        """
        self._jobs.put(None)
        self._thread.join(seconds)
        if self._error:
            raise self._error
        if self._thread.is_alive():
            raise TimeoutError(f"no answer in {seconds:.0f} s")

    def _work(self) -> None:
        while job := self._jobs.get():
            try:
                job()
            except Exception as error:  # of any library
                self._error = error
                return


def _all_sent(run: Run) -> dict[str, Any]:
    path = run.folder / STATE
    return files.read_json(path) if path.is_file() else {}


def _flat(config: Mapping[str, Any]) -> Config:
    """The recipe's settings, and what else is one value."""
    values = dict(config) | config["recipe"]
    return {key: value for key, value in values.items() if isinstance(value, str | int | float)}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {k: v for k, v in metrics.items() if isinstance(v, int | float) and not isinstance(v, bool)}
