"""Cache of a folder's decoded images: one file in the user's cache folder, so that a later start takes a second."""

import hashlib
import os
import stat
import tempfile
import warnings
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kit.errors import KitError
from kit.system import files


def load(folder: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """Return the tensors stored for `folder` under this fingerprint, or None if the folder has to be read again.

    That is so if nothing is stored, if the folder has changed since, if the file is damaged, or if it belongs to
    another user, who could have planted other images.
    """
    for path in _places(folder):
        if not _ours(path) or not _ours(path.parent):
            continue
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("fingerprint") != fingerprint:
                    continue
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError):
            continue
        if metadata.get("sha256") == _checksum(tensors):
            return tensors
    return None


def store(folder: Path, fingerprint: str, tensors: dict[str, Tensor]) -> None:
    """Store contiguous tensors for `folder`. If no cache folder can be written to, warn and go on."""
    content = safetensors.torch.save(tensors, {"fingerprint": fingerprint, "sha256": _checksum(tensors)})
    reasons = []
    for path in _places(folder):
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            reasons.append(f"{path.parent} cannot be made: {error.strerror}")
            continue
        if not _ours(path.parent):
            reasons.append(f"{path.parent} belongs to another user")
            continue
        try:
            files.write_bytes(path, content)
            return
        except KitError as error:
            reasons.append(str(error))
    warnings.warn(f"{folder} will be decoded again at the next start: {reasons[0]}", stacklevel=2)


def _places(folder: Path) -> list[Path]:
    """Cache files for `folder`, the preferred one first. There is one name per folder, so changes replace the file."""
    name = f"images-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.safetensors"
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(caches, "kit", name), Path(tempfile.gettempdir(), "kit", name)]


def _ours(path: Path) -> bool:
    """Whether `path` is a file or folder (no link, no pipe) that only this user can have written."""
    try:
        status = path.lstat()
    except OSError:
        return False
    plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if not hasattr(os, "getuid"):  # Windows: its temporary folder belongs to one user
        return plain
    return plain and status.st_uid == os.getuid() and not status.st_mode & stat.S_IWOTH


def _checksum(tensors: dict[str, Tensor]) -> str:
    """Hash of the contents. A power cut can leave a file of the right length that is full of zeros."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
