"""CIFAR-10 as its authors publish it: `cifar-10-batches-py`, in a folder or in `cifar-10-python.tar.gz`."""

import gzip
import hashlib
import io
import tarfile
import warnings
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from kit.data.dataset import Dataset
from kit.data.unpickle import as_text, read_dictionary
from kit.errors import KitError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"

# Names and md5 sums as torchvision.datasets.CIFAR10 has them; importing torchvision takes a second of every start.
_META = "batches.meta"
_SUMS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    _META: "5ff9c542aee3614f3951f8cda6e48888",
}
_TRAIN = [name for name in _SUMS if name.startswith("data_")]
_TEST = ["test_batch"]
_CLASS_COUNT = 10
_PIXELS = 3 * 32 * 32

_LARGEST_FILE = 64 << 20  # bytes; a batch of the original has 31 million
_LARGEST_ARCHIVE = 256 << 20  # bytes unpacked; the original has 186 million
_LARGEST_READ = 1 << 20  # bytes that tarfile may ask for at once, since a header may claim any size
_MOST_MEMBERS = 1000


def holds_batches(folder: Path) -> bool:
    """Whether the official files lie directly in `folder`."""
    return all((folder / name).is_file() for name in (_TRAIN[0], _TEST[0]))


def read(source: Path) -> Dataset:
    """Read the official files, without unpacking an archive.

    If md5 sums differ from the published ones, a warning says so, and the files are read all the same.

    Args:
        source: the folder `cifar-10-batches-py`, or a tar file that holds it.

    Raises:
        KitError: a file is missing or damaged, or has another form than the official one.
    """
    contents = _from_folder(source) if source.is_dir() else _from_archive(source)
    _require_all(contents, source)
    _compare_sums(contents, source)
    meta = _dictionary(contents, _META, source)
    classes = tuple(as_text(name) for name in meta.get("label_names", ()))
    if len(classes) != _CLASS_COUNT:
        raise KitError(f"{source}/{_META} names {len(classes)} classes, but CIFAR-10 has ten; download it again")
    kind = "folder" if source.is_dir() else "archive"
    return Dataset(
        *_read_batches(contents, _TRAIN, source),
        *_read_batches(contents, _TEST, source),
        classes=classes,
        source=f"official python batches in the {kind} {source}",
    )


def _from_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {name: _read_file(folder / name) for name in _SUMS if (folder / name).exists()}
    except OSError as error:
        raise KitError(f"{error.filename} cannot be read: {error.strerror}; make it readable") from None


def _from_archive(archive: Path) -> dict[str, bytes]:
    if not archive.is_file():  # reading a pipe would wait for ever
        raise KitError(f"{archive} is no file; pass a folder or {ARCHIVE}")
    try:
        with archive.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(archive) if zipped else archive.open("rb") as file:
            return _read_members(_Bounded(cast(BinaryIO, file)))
    except KitError as error:
        raise KitError(f"{archive} {error}; download {ARCHIVE} again") from None
    except Exception:  # a damaged archive raises nearly anything, from zlib.error to RecursionError
        raise KitError(f"{archive} is not a whole tar.gz archive; download {ARCHIVE} again") from None


def _read_members(stream: "_Bounded") -> dict[str, bytes]:
    contents = {}
    with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:") as members:
        for count, member in enumerate(members, 1):
            if member.size > _LARGEST_FILE or count > _MOST_MEMBERS:
                raise KitError("holds larger or more files than CIFAR-10")
            name = Path(member.name).name
            if name in _SUMS and member.isreg() and not member.issparse():
                contents[name] = stream.read_at(member.offset_data, member.size)
    return contents


class _Bounded:
    """A file for tarfile that refuses reads and positions beyond what CIFAR-10 needs."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise KitError("claims a header that is too large")
        return self.file.read(size)

    def seek(self, position: int) -> int:
        if position > _LARGEST_ARCHIVE:
            raise KitError(f"unpacks to more than {_LARGEST_ARCHIVE >> 20} MB")
        return self.file.seek(position)

    def read_at(self, position: int, size: int) -> bytes:
        self.seek(position + size)  # checks the end first
        self.seek(position)
        content = self.file.read(size)
        if len(content) != size:
            raise EOFError
        return content


def _read_file(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
        raise KitError(f"{path} is no file of CIFAR-10, which has at most {_LARGEST_FILE >> 20} MB; download it again")
    return path.read_bytes()


def _require_all(contents: dict[str, bytes], source: Path) -> None:
    missing = [name for name in _SUMS if name not in contents]
    if missing:
        raise KitError(
            f"{source} lacks {', '.join(missing)}; all of {', '.join(_SUMS)} are needed, so download them again"
        )


def _compare_sums(contents: dict[str, bytes], source: Path) -> None:
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in contents.items()}
    others = [name for name in _SUMS if sums[name] != _SUMS[name]]
    if others:
        warnings.warn(
            f"{source}: {', '.join(others)} differ from the published md5 sums, so results may not compare with "
            "published ones; reading on",
            stacklevel=3,
        )


def _dictionary(contents: dict[str, bytes], name: str, source: Path) -> dict:
    return read_dictionary(io.BytesIO(contents[name]), f"{source}/{name}")


def _read_batches(contents: dict[str, bytes], names: list[str], source: Path) -> tuple[Tensor, Tensor]:
    batches = [_read_batch(_dictionary(contents, name, source), f"{source}/{name}") for name in names]
    pixels = np.concatenate([pixels for pixels, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return torch.from_numpy(pixels).view(-1, 3, 32, 32), torch.from_numpy(labels)


def _read_batch(batch: dict, name: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = batch.get("data"), batch.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        raise KitError(f"{name} holds no uint8 array (N,{_PIXELS}) under 'data'; download CIFAR-10's batches again")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise KitError(f"{name} holds no list of whole numbers under 'labels'; download CIFAR-10's batches again")
    if len(labels) != len(pixels) or not all(0 <= label < _CLASS_COUNT for label in labels):
        raise KitError(
            f"{name} must have one label from 0 to 9 for each of its {len(pixels)} images; "
            "download CIFAR-10's batches again"
        )
    return pixels, np.array(labels, np.int64)
