"""RunLog: the rows, weights and checkpoints that a training prints and writes, and their timing."""

import time
from collections.abc import Sequence
from typing import Any

from torch import nn

from kit.run import Run
from kit.system import progress
from kit.system.locks import Lock
from kit.train.learner import Learner
from kit.train.selection import Selection

COLUMNS = ("epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "grad_norm",
           "seconds", "images_per_second", "pflop")  # fmt: skip
HEAD = "   epoch        lr  train loss  train %  val. loss   val. %  grad norm  images/s       left"


class RunLog:
    """The record of one training.

    Args:
        run: its folder is written.
        work: the arithmetic of each epoch in PFLOP, to estimate the time left.
        state: the checkpoint to continue from, or None.
        owner: the lock of the run folder; once another process has taken it over, nothing is saved.
        begun: the share of the present epoch that an earlier session did, 0 to 1.

    Attributes:
        rows: one row of COLUMNS per finished epoch.
        best: the row with the highest validation accuracy, the earliest if there are several; None before the first.
        wall_seconds: time spent on the run so far, evaluation included, over all its sessions.
    """

    def __init__(self, run: Run, work: Sequence[float], state: dict[str, Any] | None = None, owner: Lock | None = None,
                 begun: float = 0.0):  # fmt: skip
        self._owner, self.work = owner, work
        state = state or {"rows": [], "best": None, "wall_seconds": 0.0, "epoch_seconds": 0.0}
        self.run, self.rows, self.best = run, list(state["rows"]), state["best"]
        self._earlier = state["wall_seconds"]
        self._began = self._saved = time.monotonic()
        self._first_row = len(self.rows)
        self._done_before = sum(work[: self._first_row]) + (begun * work[self._first_row] if begun else 0.0)  # PFLOP
        self._epoch_began = self._began - state["epoch_seconds"]
        self._trained = 0.0
        self._pending: dict[str, dict[str, Any]] = {}

    @property
    def wall_seconds(self) -> float:
        return self._earlier + time.monotonic() - self._began

    @property
    def age(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved

    def end_training_of_epoch(self) -> None:
        """Stop the clock for images per second, before the evaluation."""
        self._trained = time.monotonic() - self._epoch_began

    def end_epoch(self, row: dict[str, float], images: int, model: nn.Module) -> None:
        """Record an epoch of `images` images: its row, its weights, and whether they are the best so far."""
        epoch = len(self.rows) + 1
        row |= {"epoch": epoch, "seconds": self._trained, "images_per_second": images / self._trained}
        row["pflop"] = self.work[epoch - 1]
        self.rows.append({name: row[name] for name in COLUMNS})
        self.keep_weights("last", model)
        if self.best is None or row["validation_accuracy"] > self.best["validation_accuracy"]:
            self.best = self.rows[-1]
            self._pending["best"] = self._pending["last"]
        self.run.save_history(self.rows)
        self._epoch_began = time.monotonic()

    def keep_weights(self, which: str, model: nn.Module) -> None:
        """Keep a copy of the "last" or "best" weights, those of the last row's epoch, until they are written."""
        state = {k: v.clone() for k, v in model.state_dict().items()}
        self._pending[which] = {"epoch": len(self.rows), "state": state}

    def seconds_left(self, share: float) -> float:
        """Estimated time for the rest of the run, evaluations included, at the speed of this session.

        Args:
            share: the share of the present epoch that is over, 0 to 1.
        """
        now = len(self.rows)
        done = sum(self.work[:now]) + (share * self.work[now] if now < len(self.work) else 0.0)  # PFLOP
        return (time.monotonic() - self._began) / max(done - self._done_before, 1e-12) * (sum(self.work) - done)

    def print_row(self) -> None:
        """Print the last row and the time left; in each session a heading comes first."""
        row, epochs = self.rows[-1], len(self.work)
        if len(self.rows) - self._first_row == 1:
            progress.say(HEAD)
        progress.say(
            f"{row['epoch']:4}/{epochs:<4}{row['lr']:9.5f}{row['train_loss']:12.4f}{row['train_accuracy']:9.2f}"
            f"{row['validation_loss']:11.4f}{row['validation_accuracy']:9.2f}{row['grad_norm']:11.3f}"
            f"{row['images_per_second']:10,.0f}{progress.clock(self.seconds_left(0)):>11}"
        )

    def save(self, learner: Learner, selection: Selection) -> None:
        """Write the weights that are not written yet, then the checkpoint; every process has to call it.

        Raises:
            KitError: another process has taken over the run folder.
        """
        self._saved = time.monotonic()
        state = {"learner": learner.state_dict(), "selection": selection.state_dict()}
        if not learner.world.leads:
            return
        if self._owner is not None:
            self._owner.check()
        self.write_weights()
        self.run.save_checkpoint(
            {
                "recipe": learner.recipe.as_dict(),
                "rows": self.rows,
                "best": self.best,
                "wall_seconds": self.wall_seconds,
                "epoch_seconds": time.monotonic() - self._epoch_began,
            }
            | state
        )

    def write_weights(self) -> None:
        """Write the weights that were kept since the last call."""
        notes = {"last": "the last epoch", "best": "the best epoch, as chosen on the validation images"}
        for kind, weights in self._pending.items():
            self.run.save_weights(kind, weights["state"], epoch=str(weights["epoch"]), weights_of=notes[kind])
        self._pending.clear()
