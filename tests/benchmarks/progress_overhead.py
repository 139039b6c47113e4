"""What progress and a tracker add to the steps of a training, in turns with the same steps without them.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.progress_overhead --recipe tiny --rounds 150 --steps 4

`tiny` is the paper's recipe with the tiny network, any other name a row of RECIPES. Three ways take turns: bare steps,
steps with a line of progress every 25 s, and steps with a terminal's bar. The overhead of a round is the difference
from its bare steps, by the clock and in CPU seconds of the process, all threads together: a shared machine distorts a
clock, and one thread waits for no other. As three ways share the time, each shows its state up to three times as often
as in a training. Beside them stands what the same code takes around steps that do nothing, which no noise hides, and
what TensorBoard takes for an epoch's row.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from itertools import count as count_from
from itertools import islice
from statistics import median, quantiles
from types import SimpleNamespace
from typing import cast
from unittest import mock

import torch

from kit.recipe import PAPER, RECIPES, Recipe
from kit.run import Run, describe_machine
from kit.system import files, progress
from kit.system.allocator import freed_memory_kept
from kit.system.precision import default_device
from kit.train.batches import Batches
from kit.train.epochprogress import watched
from kit.train.learner import Learner
from kit.train.log import COLUMNS, RunLog
from kit.train.trackers.tracking import Tracking

EMPTY_STEPS, TRACKED_EPOCHS = 200_000, 50
CIFAR_IMAGES = 50_000
Times = tuple[float, float]  # CPU time, and by the clock


def main() -> None:
    """Print the overhead of each way as a share of the bare step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--steps", type=int, default=4, help="in each part of a round")
    options = parser.parse_args()
    recipe = PAPER.replace(arch="tiny") if options.recipe == "tiny" else RECIPES[options.recipe].replace(skip_easy=0.0)
    recipe = recipe.replace(lr=1e-4, resize="")
    times = in_turns(recipe, options.rounds, options.steps)
    bare = median(cpu for cpu, _ in times["bare"])
    machine = describe_machine(default_device())
    print(f"{machine['device']}, {machine['threads']} threads, torch {machine['versions']['torch']}; {options.recipe}, "
          f"batch {recipe.batch_size}: a bare step takes {1000 * bare:.1f} ms of CPU time, median of {options.rounds} "
          f"rounds of {options.steps} steps")  # fmt: skip
    for way in ("lines", "bar"):
        alone = around_nothing(way, bare)
        told = [f"{clock} {_difference(times, way, k)}" for k, clock in enumerate(("CPU time", "the clock"))]
        print(f"{way}: {', '.join(told)}; around empty steps {1e6 * alone:.1f} us a step = {alone / bare:.4%}")
    epoch = bare * (CIFAR_IMAGES // recipe.batch_size)
    row = seconds_of_a_tracked_row()
    print(f"tensorboard: {1000 * row:.1f} ms an epoch of {epoch:.0f} s = {row / epoch:.3%}")


def _difference(times: dict[str, list[Times]], way: str, clock: int) -> str:
    """Median of the rounds' differences from bare steps, with the half of the rounds that lies in the middle."""
    pairs = zip(times[way], times["bare"], strict=True)
    low, middle, high = quantiles([(one[clock] - other[clock]) / other[clock] for one, other in pairs], n=4)
    return f"{middle:+.2%} ({low:+.2%} to {high:+.2%})"


def in_turns(recipe: Recipe, rounds: int, steps: int) -> dict[str, list[Times]]:
    """Seconds a step of each way in each round; the first round, which warms up, is left out."""
    device, generator = default_device(), torch.Generator().manual_seed(0)
    count, all_steps = steps * recipe.batch_size, 3 * (rounds + 1) * steps
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    batches = Batches(images, torch.randint(10, (count,), generator=generator), recipe, 10, device)
    learner = Learner(recipe, 10, [all_steps], device)
    times: dict[str, list[Times]] = {"bare": [], "lines": [], "bar": []}
    with freed_memory_kept(device), tempfile.TemporaryDirectory() as folder, _hidden():
        log = RunLog(Run(folder), [1.0])
        endless = (batch for _ in count_from(0) for batch in batches.epoch(0))
        ways = {way: endless if way == "bare" else watched(endless, learner, log, [all_steps], 0) for way in times}
        opened: dict[str, list[progress.Progress]] = {way: [] for way in ways}
        for turn in range(3 * (rounds + 1)):
            way = list(times)[(turn + turn // 3) % 3]  # the order changes from round to round
            progress._open[:] = opened[way]  # as if the other ways were not there
            began, clock = time.process_time(), time.perf_counter()
            with _shown_as(way):
                for batch in islice(ways[way], steps):
                    learner.step(*batch)
            seconds = time.process_time() - began, time.perf_counter() - clock
            times[way].append((seconds[0] / steps, seconds[1] / steps))
            opened[way] = list(progress._open)
        for way, iterator in ways.items():
            progress._open[:] = opened[way]
            iterator.close()
    return {way: values[1:] for way, values in times.items()}


def around_nothing(way: str, step_seconds: float) -> float:
    """CPU seconds a step of progress around steps that do nothing, shown as often as beside steps of `step_seconds`."""
    learner = cast(Learner, SimpleNamespace(steps=0, device=torch.device("cpu"), totals=torch.ones(5).double(),
                                            recipe=PAPER, world=SimpleNamespace(leads=True)))  # fmt: skip

    def steps() -> None:
        with tempfile.TemporaryDirectory() as folder, _hidden(), _shown_as(way):
            log = RunLog(Run(folder), [1.0])
            for _ in watched(range(EMPTY_STEPS), learner, log, [EMPTY_STEPS], 0):
                learner.steps += 1

    began = time.monotonic()
    seconds = _cpu_seconds(steps)
    shown = (time.monotonic() - began) / (progress.BAR_SECONDS if way == "bar" else progress.LINE_SECONDS)
    with _hidden():
        showing = _seconds_of_showing(way)
    between = progress.BAR_SECONDS if way == "bar" else progress.LINE_SECONDS
    return (seconds - shown * showing) / EMPTY_STEPS + showing * step_seconds / between


def _seconds_of_showing(way: str, times: int = 100) -> float:
    """CPU seconds of showing the state once."""
    with _shown_as(way), progress.Progress("epoch 1/9", times, "steps") as work:
        display = work._display
        assert display is not None

        def show() -> None:
            for _ in range(times):
                progress._last_line = None
                work.done += 1
                display.show("loss 1.0000, 50.00 %, 1,000 images/s, run 0:01:00 left")

        return _cpu_seconds(show) / times


def seconds_of_a_tracked_row() -> float:
    """CPU seconds that TensorBoard's tracker takes for one epoch, in all threads."""
    with tempfile.TemporaryDirectory() as folder:
        run, tracking = Run(folder), Tracking("tensorboard")
        files.write_json(run.config_path, {"recipe": PAPER.as_dict()})
        rows = [{name: float(k) for name in COLUMNS} for k in range(1, TRACKED_EPOCHS + 1)]
        run.save_history(rows[:1])
        tracking.begin(run)
        time.sleep(10)  # the package is imported in a thread

        def track() -> None:
            for count in range(2, TRACKED_EPOCHS + 1):
                run.save_history(rows[:count])
                tracking.epoch(run)
            tracking.end(run)

        return _cpu_seconds(track) / TRACKED_EPOCHS


def _cpu_seconds(call: Callable[[], None]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _shown_as(way: str) -> contextlib.AbstractContextManager:
    """Progress as lines or as a bar, whatever the output is."""
    made = {"lines": progress._Lines, "bar": progress._Bar}.get(way)
    return mock.patch.object(progress, "_display", made) if made else contextlib.nullcontext()


@contextlib.contextmanager
def _hidden():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


if __name__ == "__main__":
    main()
