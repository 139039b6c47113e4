"""Where the time of one training step goes: a table of operators or kernels, and how long the GPU was idle."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from kit.system import files
from kit.train import Batches, Learner

WARM_UP = 12  # steps before the profile: compilation, recording of CUDA graphs, choice of algorithms


def profile_step(learner: Learner, batches: Batches, path: str | Path, rows: int = 30) -> None:
    """Write a table of one training step of an augmented batch to the text file `path`.

    Args:
        learner: it trains during the warm-up and the profiled step.
        batches: where the batches come from.
        path: the file.
        rows: number of lines of the table, the longest times first.
    """
    cuda = learner.device.type == "cuda"
    steps = list(islice(_endless(batches), WARM_UP + 1))
    for batch in steps[:WARM_UP]:
        learner.step(*batch)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        learner.step(*steps[WARM_UP])
        if cuda:
            torch.cuda.synchronize(learner.device)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=order, row_limit=rows, max_name_column_width=70)
    head = f"{_busy(profiler)}\n" if cuda else ""
    files.write_text(path, head + table + "\n")


def _endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    while True:
        yield from batches.epoch(0)


def _busy(profiler: profile) -> str:
    """A line on the time between a step's first and last kernel: in how much of it a kernel ran.

    The profiler also lists annotations (such as `Optimizer.step`) as events of the GPU. They span the gaps between
    kernels, so they do not count.
    """
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )
    if not spans:
        return "no kernel was recorded"
    busy, end = 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    whole = end - spans[0][0]
    return f"{len(spans)} kernels in {whole:,.0f} us: busy {busy:,.0f} us, gaps {whole - busy:,.0f} us"
