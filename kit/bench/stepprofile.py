"""Where the time of one training step goes: operators or kernels by time, and how long the device had nothing to do."""

from itertools import islice
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from kit.system import files
from kit.train import Batches, Learner

WARM_UP = 3  # steps before the profile: compilation, capture of CUDA graphs, choice of algorithms


def profile_step(learner: Learner, batches: Batches, path: str | Path, rows: int = 30) -> None:
    """Write a table of one training step of an augmented batch to the text file `path`.

    Args:
        learner: trains on through the warm-up and the step.
        batches: where the batches come from; four steps an epoch or more.
        path: the file.
        rows: lines of the table, the longest first.
    """
    cuda = learner.device.type == "cuda"
    steps = [(images, targets) for images, targets, _rows in islice(batches.epoch(0), WARM_UP + 1)]
    for images, targets in steps[:WARM_UP]:
        learner.step(images, targets)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        learner.step(*steps[WARM_UP])
        if cuda:
            torch.cuda.synchronize(learner.device)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=order, row_limit=rows, max_name_column_width=70)
    head = f"{_busy(profiler)}\n" if cuda else ""
    files.write_text(path, head + table + "\n")


def _busy(profiler: profile) -> str:
    """A line on the time between a step's first and last kernel: how much of it a kernel ran."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    )
    if not spans:
        return "no kernel was recorded"
    busy, end = 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    whole = end - spans[0][0]
    return f"{len(spans)} kernels in {whole:,.0f} us: busy {busy:,.0f} us, gaps {whole - busy:,.0f} us"
