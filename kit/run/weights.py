"""Weights in a safetensors file, with a checksum in its notes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

CHECKSUM = "sha256"
_ALIGNMENT = 8  # bytes to which safetensors pads its header


def to_bytes(tensors: dict[str, Tensor], notes: dict[str, str]) -> bytes:
    """A safetensors file; the same bytes for the same tensors and notes, which the library does not promise."""
    file = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, notes)
    header, data = _parts(file)
    header["__metadata__"] = {**notes, CHECKSUM: _checksum(header, data)}
    text = _as_text(header)
    text = text.ljust(-(-len(text) // _ALIGNMENT) * _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + data


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        ValueError: the file does not match its checksum. A file of another program, without one, is taken as it is.
        Exception: many kinds, by where the damage lies.
    """
    file = path.read_bytes()
    header, data = _parts(file)
    expected = header.get("__metadata__", {}).get(CHECKSUM)
    if expected is not None and expected != _checksum(header, data):
        raise ValueError("it does not match its checksum")
    return load(file)


def _parts(file: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors."""
    size = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def _checksum(header: dict[str, Any], data: bytes) -> str:
    """SHA-256 of names, types, shapes, notes and values, the checksum's own note aside."""
    notes = {name: note for name, note in header.get("__metadata__", {}).items() if name != CHECKSUM}
    return hashlib.sha256(_as_text(header | {"__metadata__": notes}) + data).hexdigest()


def _as_text(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
