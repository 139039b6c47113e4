"""checkpoint.pt: everything that a resume needs, with a checksum, and the checkpoint before it in case it is damaged.

torch.save writes a zip archive with a CRC-32 of every tensor and of the structure, which torch.load does not check.
"""

import io
import os
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from kit.errors import KitError
from kit.run.contents import EARLIER_CHECKPOINT
from kit.system import files

ENTRIES = {"recipe", "rows", "best", "wall_seconds", "epoch_seconds", "learner", "selection"}


def before(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(EARLIER_CHECKPOINT)


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint and keep the one before it. There is a whole checkpoint at `path` at every moment."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with files.replacing(path) as part:
        files.write_flushed(part, buffer.getbuffer())
        if path.is_file():
            with files.replacing(before(path)) as second:
                _second_name(path, second)


def _second_name(path: Path, other: Path) -> None:
    """Give a file a second name; a copy if the file system has no hard links."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def read(path: Path) -> dict[str, Any] | None:
    """The last checkpoint, else the one before it, else None. A damaged file is removed if another is whole.

    Raises:
        KitError: there are files, and all of them are damaged.
    """
    damages = {}
    for candidate in (path, before(path)):
        if not candidate.is_file():
            continue
        try:
            state = _read(candidate)
        except Exception as error:  # zipfile and torch raise many kinds, by where the damage lies
            damages[candidate] = f"{type(error).__name__}: {str(error)[:80]}"
            continue
        if damages:
            print(f"{path} is damaged ({damages[path]}): going on from the checkpoint before it", flush=True)
            with suppress(OSError):
                path.unlink()
        return state
    if damages:
        name, why = next(iter(damages.items()))
        raise KitError(f"{name} cannot be read ({why}): delete it to start the run over")
    return None


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed entries, which torch.save does not write")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} does not match")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not state.keys() >= ENTRIES:
        raise ValueError("no checkpoint of a training")
    return state
