"""Decoded images of a folder, kept as one file in the user's cache, so that a second start takes a second."""

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kit.errors import KitError
from kit.system import files


def load(folder: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """Return the tensors stored for `folder` under this fingerprint.

    None where there are none, where the folder has changed since, and where the file is damaged: reading the
    folder again is right in all three cases.
    """
    for path in _places(folder):
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
    """Keep contiguous tensors for `folder`; where no place can be written, warn and go on."""
    content = safetensors.torch.save(tensors, {"fingerprint": fingerprint, "sha256": _checksum(tensors)})
    reasons = []
    for path in _places(folder):
        try:
            files.write_bytes(path, content)
            return
        except KitError as error:
            reasons.append(str(error))
    warnings.warn(f"{folder} will be decoded again at the next start: {reasons[0]}", stacklevel=2)


def _places(folder: Path) -> list[Path]:
    """Files that may hold the tensors of `folder`, best first; one name a folder, so changes replace them."""
    name = f"images-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.safetensors"
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(caches, "kit", name), Path(tempfile.gettempdir(), "kit", name)]


def _checksum(tensors: dict[str, Tensor]) -> str:
    """Hash of the contents: a power cut can leave a file of the right length that is full of zeros."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].numpy())
    return digest.hexdigest()
