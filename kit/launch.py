"""Start a training from a notebook: in this process, or through torchrun where several GPUs share it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import torch

from kit.data import Dataset
from kit.errors import KitError
from kit.parameters import Settings, as_arguments
from kit.run import Run
from kit.train import train


def launch(settings: Settings, dataset: Dataset) -> Run:
    """Train as the settings say and return the run.

    Raises:
        KitError: there are fewer GPUs than asked for, or a process of a shared training failed.
    """
    run = Run(settings.run)
    if settings.gpus == 1:
        return train(settings.recipe, dataset, run, amp=settings.amp, compile=settings.compile,
                     resume=settings.resume, max_hours=settings.hours)  # fmt: skip
    if settings.gpus > torch.cuda.device_count():
        there = max(torch.cuda.device_count(), 1)
        raise KitError(f"gpus has to be at most {there} on this machine, not {settings.gpus}")
    stream(torchrun(settings.gpus, as_arguments(settings, "train")))
    return Run.load(run.folder)


def torchrun(processes: int, arguments: list[str]) -> list[str]:
    """The command that trains in `processes` processes of this machine.

    The lone `--` keeps torchrun from reading `--run` as an abbreviation of its own `--run-path`.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*start, "-m", "--", "kit.train", *arguments]


def side_by_side(settings: Settings, seeds: Sequence[int]) -> list[Run]:
    """Train the recipe with each of the seeds, one a GPU, all at once, in runs called `<run>-seed<seed>`.

    Where several seeds are wanted this is the better use of several GPUs: nothing is exchanged between them.

    Raises:
        KitError: there are more seeds than GPUs, or a training failed.
    """
    gpus = max(torch.cuda.device_count(), 1)
    if len(seeds) > gpus:
        raise KitError(f"seeds have to be at most {gpus}, one a GPU of this machine, not {len(seeds)}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    runs, processes = [], {}
    for seed, gpu in zip(seeds, visible.split(","), strict=False):
        runs.append(f"{settings.run}-seed{seed}")
        single = replace(settings, recipe=settings.recipe.replace(seed=seed), run=runs[-1], gpus=1)
        command = [sys.executable, "-m", "kit.train", *as_arguments(single, "train")]
        processes[f"seed {seed}: "] = _start(command, CUDA_VISIBLE_DEVICES=gpu)
    _follow(processes)
    return [Run.load(name) for name in runs]


def stream(command: list[str]) -> None:
    """Run `command` and print its lines as they come; an interrupt asks it to save, and waits until it has.

    Raises:
        KitError: it failed.
    """
    _follow({"": _start(command)})


def _start(command: list[str], **environment: str) -> subprocess.Popen:
    root = Path(__file__).resolve().parent.parent
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | environment | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def _follow(processes: dict[str, subprocess.Popen]) -> None:
    """Print what the processes print, each line after its process's prefix, until all have ended."""
    with ThreadPoolExecutor(len(processes)) as readers:
        lines = [readers.submit(_print_lines, *each) for each in processes.items()]
        try:
            wait(lines)
        except KeyboardInterrupt:
            for process in processes.values():
                process.terminate()  # asks a training to save and end; leaving the block waits until it has
            raise
    for code in [process.wait() for process in processes.values()]:
        if code:
            raise KitError(f"the training ended with exit status {code}: the lines above say why")


def _print_lines(prefix: str, process: subprocess.Popen) -> None:
    for line in process.stdout:
        print(prefix + line, end="", flush=True)
