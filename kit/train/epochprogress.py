"""Show an epoch's progress: loss, accuracy, images/s and time left, without waiting for the device."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from kit.system.progress import Progress, clock
from kit.train.learner import Learner
from kit.train.log import RunLog

Batch = TypeVar("Batch")


def watched(batches: Iterable[Batch], learner: Learner, log: RunLog, epoch_steps: Sequence[int],
            epoch: int) -> Iterator[Batch]:  # fmt: skip
    """Yield an epoch's batches, and show the progress of epoch and run after each.

    Args:
        batches: the rest of the epoch's batches.
        learner: makes a step with each batch before the next one is taken.
        log: estimates the time left.
        epoch_steps: the number of steps of each epoch.
        epoch: counted from 0.
    """
    if not learner.world.leads:
        yield from batches
        return
    before, totals = sum(epoch_steps[:epoch]), LateTotals(learner)
    title, steps = f"epoch {epoch + 1}/{len(epoch_steps)}", epoch_steps[epoch]
    with Progress(title, steps, "steps", done=learner.steps - before) as work:

        def note() -> str:
            speed = (learner.steps - start) * learner.recipe.batch_size / work.seconds
            left = log.seconds_left((learner.steps - before) / steps)
            return f"{totals.words()}{speed:,.0f} images/s, run {clock(left)} left"

        start = learner.steps
        for batch in batches:
            yield batch
            work.advance(learner.steps - before - work.done, note)


class LateTotals:
    """The learner's totals of the epoch, as they were at the last call: a copy that never waits for a GPU."""

    def __init__(self, learner: Learner):
        self._learner, self._event = learner, None
        if learner.device.type == "cuda":
            self._event = torch.cuda.Event()
            self._copy = torch.zeros_like(learner.totals, device="cpu").pin_memory()  # float64 (5,)

    def words(self) -> str:
        """Mean loss and accuracy, ending in a comma; empty if there is no finished copy yet."""
        if self._event is None:
            return _in_words(self._learner.totals.tolist())
        if not self._event.query():
            return ""
        words = _in_words(self._copy.tolist())
        self._copy.copy_(self._learner.totals, non_blocking=True)
        self._event.record()
        return words


def _in_words(totals: Sequence[float]) -> str:
    loss, hits, images = totals[:3]
    return f"loss {loss / images:.4f}, {100 * hits / images:.2f} %, " if images else ""
