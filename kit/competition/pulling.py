"""What a kernel left, put where the kit looks for it, without overwriting anything that differs.

A run that goes on from the one here takes its place. Another run, or another CSV, is kept beside it under a name that
says which kernel it is from.
"""

import filecmp
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

from kit.run import TRAINED, Run, travels
from kit.system import locks
from kit.system.paths import workspace


def put_away(stage: Path, home: Path) -> list[Path]:
    """Move runs to runs/, CSVs to submissions/ and the rest to `home`.

    Args:
        stage: the folder with the kernel's files.
        home: the kernel's own folder, build/kernels/<slug>; its name is put into the names of what differs.

    Returns:
        The files as they lie now.
    """
    brought: list[Path] = []
    for folder in sorted(path for path in stage.glob("runs/*") if path.is_dir()):
        brought += _put_run(folder, home)
    for csv in sorted(stage.glob("submissions/*.csv")):
        brought += _put_csv(csv, home.name)
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        brought.append(_move(path, home / path.relative_to(stage)))
    return brought


def _put_run(there: Path, home: Path) -> list[Path]:
    """Move one run to runs/: to its own name if it goes on from the run here, else beside it."""
    if not (there / "config.json").is_file():
        print(f"{there.name} has no config.json, so it is no run of the kit; its files stay in {home / 'runs'}")
        return []
    here = (workspace() / "runs" / there.name).resolve()
    if not _goes_on(Run(there.resolve()), Run(here)):
        here = _free(here, home.name, there)
        print(f"runs/{there.name} is another run than the kernel's, which is kept beside it as {here.name}")
    names = sorted(path.name for path in there.iterdir())
    with locks.owned(here / locks.TRAINING, str(here)) if here.is_dir() else nullcontext():
        _swap(there, here)
    return [here / name for name in names]


def _goes_on(there: Run, here: Run) -> bool:
    """Whether the run here can give way: it is missing, or the same run after the same or fewer epochs."""
    if not any((here.folder / name).exists() for name in TRAINED):
        return True
    if not here.config_path.is_file():
        return False
    if any(here.config.get(word) != there.config.get(word) for word in ("recipe", "classes")):
        return False
    ours, theirs = (_lines(run.folder / "history.csv") for run in (here, there))
    return theirs[: len(ours)] == ours


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def _swap(there: Path, here: Path) -> None:
    """Let the folder `there` take the place of `here`, which keeps its notebooks and figures; whole or not at all."""
    aside = here.with_name(f".{here.name}.{os.getpid()}.replaced")
    here.parent.mkdir(parents=True, exist_ok=True)
    if here.is_dir():
        for path in here.iterdir():
            other = travels(path.name) and path.name not in TRAINED
            if other and path.is_file() and not (there / path.name).exists():
                shutil.copy2(path, there / path.name)
        here.rename(aside)
    try:
        there.rename(here)
    except OSError:
        if aside.is_dir():
            aside.rename(here)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _put_csv(there: Path, kernel: str) -> list[Path]:
    """Move a CSV and the JSON beside it to submissions/, under another name if another CSV has its name."""
    note, here = there.with_suffix(".json"), workspace() / "submissions" / there.name
    if here.exists() and not filecmp.cmp(there, here, shallow=False):
        here = _free(here, kernel, there)
        print(f"submissions/{there.name} is another CSV than the kernel's, which is kept beside it as {here.name}")
    moved = [_move(there, here)]
    if note.is_file():
        moved.append(_move(note, here.with_suffix(".json")))
    return moved


def _free(path: Path, kernel: str, there: Path) -> Path:
    """`path` with the kernel's name in it, and a number if that is taken by something else than `there`."""
    suffix = path.suffix if path.suffix == ".csv" else ""
    stem = path.name.removesuffix(suffix)
    for number in range(1, 10_000):
        end = "" if number == 1 else f"-{number}"
        beside = path.with_name(f"{stem}.from-{kernel}{end}{suffix}")
        same_file = beside.is_file() and there.is_file() and filecmp.cmp(there, beside, shallow=False)
        same_run = beside.is_dir() and there.is_dir() and _goes_on(Run(there.resolve()), Run(beside.resolve()))
        if not beside.exists() or same_file or same_run:
            return beside
    raise FileExistsError(f"{path.name} is there ten thousand times")


def _move(path: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    return target
