"""A training in a process of its own, to be killed; forked from a server that has imported torch, to start at once."""

import os
import sys
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from kit.data.loading import Dataset, load
from kit.recipe import Recipe
from kit.run import Run
from kit.train.__main__ import main
from kit.train.loop import train

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["pandas", "matplotlib.figure", "kit.train"])


def few_digits() -> Dataset:
    """512 images to train on and 128 to validate."""
    digits = load("digits")
    return replace(digits, train_images=digits.train_images[:512], train_labels=digits.train_labels[:512],
                   test_images=digits.test_images[:128], test_labels=digits.test_labels[:128])  # fmt: skip


def start_training(recipe: Recipe, folder: Path, checkpoint_seconds: float) -> BaseProcess:
    """Start `train` on a few digits; a process of multiprocessing."""
    return _start(_train, recipe, folder, checkpoint_seconds)


def start_command(words: list[str], output: Path) -> BaseProcess:
    """Start `python -m kit.train` with these words; what it prints goes to the file `output`."""
    return _start(_command, words, output)


def _start(target, *arguments) -> BaseProcess:
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def _train(recipe: Recipe, folder: Path, checkpoint_seconds: float) -> None:
    torch.set_num_threads(1)
    _print_to(os.devnull)
    train(recipe, few_digits(), Run(folder), checkpoint_seconds=checkpoint_seconds)


def _command(words: list[str], output: Path) -> None:
    torch.set_num_threads(1)
    _print_to(output)
    sys.exit(main(words))


def _print_to(path: str | Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
