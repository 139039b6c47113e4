"""What a sweep says while it works: a line for every start and end, what failed, and about how long is left."""

import statistics
import time
from contextlib import suppress
from datetime import timedelta

import pandas as pd

from kit.errors import KitError
from kit.sweep.jobs import LOG, Job
from kit.sweep.keeping import keep_record
from kit.sweep.plan import Sweep, Trial
from kit.system.interrupt import StopRequest
from kit.system.progress import say

_TAIL = 4000  # characters of a log that hold its last lines


class Progress:
    """Prints a line for every start and end, and keeps the records of finished runs where that is asked for.

    Attributes:
        failures: the reasons, by name of the run.
    """

    def __init__(self, sweep: Sweep, places: int, stop: StopRequest):
        self.sweep, self.places, self.stop = sweep, places, stop
        self.failures: dict[str, str] = sweep.conflicts
        self._trials = {trial.name: trial for trial in sweep.trials}
        self._waiting = {trial.name for trial in sweep.unfinished} - set(self.failures)
        self._began: dict[str, float] = {}
        self._resumed = {trial.name for trial in sweep.trials if trial.run.config_path.is_file()}
        self._seconds: dict[str, float] = {}  # of whole runs, as this sweep measured them
        for trial in sweep.trials:
            self._finish(trial)

    def jobs(self) -> list[Job]:
        """The unfinished runs that have no other recipe's folder, with the parameters of their notebooks."""
        settings = self.sweep.request.settings
        shared = {"data": settings.data, "amp": settings.amp, "compile": settings.compile}
        waiting = [trial for trial in self.sweep.unfinished if trial.name in self._waiting]
        return [Job(trial.run.folder, trial.parameters() | shared) for trial in waiting]

    def beginning(self, where: str) -> str:
        """The line before the first start."""
        return f"{self.count()}; at once: {self.places}; {where}"

    def count(self) -> str:
        """How many runs are finished, in words."""
        done = sum(trial.finished for trial in self.sweep.trials)
        return f"{done} of {len(self.sweep.trials)} runs finished"

    def began(self, job: Job, where: str) -> None:
        """Say that a run starts, and where."""
        self._waiting.discard(job.name)
        self._began[job.name] = time.monotonic()
        say(f"{job.name}: started{f' on {where}' if where else ''}")

    def ended(self, job: Job, failure: str | None) -> None:
        """Say how a run ended, how many are left, and about how long those take."""
        trial, seconds = self._trials[job.name], time.monotonic() - self._began.pop(job.name)
        outcome = (trial.run.trouble or f"{trial.run.metrics['last_accuracy']:.2f} %") if trial.finished else ""
        if trial.finished:
            self._finish(trial)
            if job.name not in self._resumed:
                self._seconds[job.name] = seconds
        if failure is not None and not self.stop.reason:  # also of a run that finished and drew badly
            self.failures.setdefault(job.name, failure)
            outcome = f"{outcome}{', then ' if outcome else ''}failed: {failure}"
        outcome = outcome or f"stopped after {len(trial.run.history)} of {trial.recipe.epochs} epochs"
        say(f"{job.name}: {outcome}, {seconds / 60:.1f} min; {self._left()}")

    def states(self) -> list[str]:
        """How far every run at work is, one line each."""
        return [_state(self._trials[name]) for name in self._began]

    def _finish(self, trial: Trial) -> None:
        """Let the record of a finished run say its row and scale, and keep the record if that is asked for."""
        if not trial.finished:
            return
        try:
            trial.mark()
            if self.sweep.request.keep:
                keep_record(trial.run)
        except KitError as error:
            self.failures[trial.name] = str(error)

    def _left(self) -> str:
        count = len(self._waiting) + len(self._began)
        seconds = self._seconds_left()
        about = f", about {timedelta(seconds=round(seconds))}" if count and seconds is not None else ""
        return f"{count} left{about}"

    def _seconds_left(self) -> float | None:
        """By the time an epoch took in finished runs of the same row, or of any; None before the first."""
        paces: dict[str, list[float]] = {}
        for trial in self.sweep.trials:
            if trial.finished:
                seconds = self._seconds.get(trial.name, trial.run.metrics["wall_seconds"])
                paces.setdefault(trial.experiment.row, []).append(seconds / trial.recipe.epochs)
        if not paces:
            return None
        usual = statistics.fmean(pace for row in paces.values() for pace in row)
        total, now = 0.0, time.monotonic()
        for name in self._waiting | set(self._began):
            trial = self._trials[name]
            pace = statistics.fmean(paces.get(trial.experiment.row, [usual]))
            total += max(pace * trial.recipe.epochs - (now - self._began.get(name, now)), 0)
        return total / min(self.places, max(len(self._waiting | set(self._began)), 1))


def _state(trial: Trial) -> str:
    """How far a run at work is: its epochs, and what its training said last about the epoch at work."""
    run, epochs = trial.run, trial.recipe.epochs
    try:
        history = run.history
    except KitError:  # damaged: the training says so
        history = pd.DataFrame()
    last = f", {history['validation_accuracy'].iloc[-1]:.2f} %" if len(history) else ""
    with suppress(OSError):
        lines = (run.folder / LOG).read_text(errors="replace")[-_TAIL:].splitlines()
        told = [line.removeprefix("... ") for line in lines if line.startswith(f"... epoch {len(history) + 1}/")]
        last += f"; {told[-1]}" if told else ""
    return f"{trial.name}: {len(history)} of {epochs} epochs{last}"
