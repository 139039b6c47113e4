"""What the tests of real sweeps share: a copy of the project that trains tiny runs, sweeps in it, and waiting."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
import torch
from conftest import ROOT

from kit.run import Run
from kit.train.loop import train

TINY = ("--data", "digits", "--arch-scale", "0.125")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the kit whose train notebook trains and draws nothing: drawing takes most of the time of a tiny run."""
    root = tmp_path_factory.mktemp("sweeps")
    shutil.copytree(ROOT / "kit", root / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(ROOT / "notebooks" / "train.ipynb", 4)
    for cell in notebook.cells:
        source = cell.source.replace(", [plots.LiveCurves()]", "")
        cell.source = "\n".join(line for line in source.splitlines() if "plots" not in line)
    assert sum("launch(settings" in cell.source for cell in notebook.cells) == 1
    (root / "notebooks").mkdir()
    nbformat.write(notebook, root / "notebooks" / "train.ipynb")
    return root


def start_sweep(root: Path, *words: str) -> subprocess.Popen:
    """Start a sweep as the leader of a process group; what it prints goes to output.txt."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with (root / "output.txt").open("w") as output:
        return subprocess.Popen([sys.executable, "-m", "kit", "sweep", *TINY, *words], cwd=root, env=environment,
                                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip


def wait_until(happened, process, seconds=240):
    limit = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, "the sweep ended before"
        assert time.monotonic() < limit, "the sweep does not get on"
        time.sleep(0.01)


def six_folders(root: Path) -> list[Path]:
    """The run folders of a sweep of two rows and three seeds."""
    names = [f"{row}-2epochs-x0.125-digits-seed{seed}" for seed in (1, 2, 3) for row in ("digits", "quick")]
    return [root / "runs" / name for name in names]


def finished(folders: Sequence[Path]) -> list[Path]:
    return [folder for folder in folders if (folder / "metrics.json").is_file()]


def check_that_the_same_command_ends_it(root: Path, words: Sequence[str], folders: Sequence[Path], seconds: float,
                                        digits):  # fmt: skip
    """Start the sweep again: it trains what is left, alone in each folder, and prints one table."""
    before = {folder: (folder / "metrics.json").stat().st_mtime_ns for folder in finished(folders)}
    process, output = start_sweep(root, *words), root / "output.txt"
    assert process.wait(seconds) == 0, output.read_text()
    assert finished(folders) == folders
    assert all((folder / "metrics.json").stat().st_mtime_ns == written for folder, written in before.items())
    assert output.read_text().count("mean %") == 1
    assert not [folder for folder in folders if "is in use by" in (folder / "sweep.log").read_text()]
    check_weights(folders, digits, root / "alone")


def check_weights(folders, digits, alone: Path):
    """Each run's weights are bitwise those of the same training that nothing interrupted, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for folder in folders:
            run = train(Run(folder).recipe, digits, Run(alone / folder.name))
            theirs, ours = Run(folder).model().state_dict(), run.model().state_dict()
            assert all(torch.equal(theirs[name], ours[name]) for name in ours), folder.name
    finally:
        torch.set_num_threads(threads)
