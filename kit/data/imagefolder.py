"""Read `train/<class>/*.png` and `test/<class>/*.png` (torchvision's ImageFolder form) into four tensors."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kit.data import imagecache
from kit.data.dataset import Dataset
from kit.errors import KitError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_SIDE = 32
_CLASS_COUNT = 10
_PARTS = ("train", "test")
_MODES = ("RGB", "RGBA", "L", "P")  # eight bits a channel; Pillow would clip or invert the others silently
_CHUNK = 500
_THREADS = 8
_SECONDS_BETWEEN_LINES = 3.0


class _File(NamedTuple):
    path: str
    label: int
    size: int
    modified: int  # nanoseconds


def holds_images(folder: Path) -> bool:
    """Whether `folder` has the form of an image folder: a `train` and a `test` folder."""
    return all((folder / part).is_dir() for part in _PARTS)


def read(folder: Path) -> Dataset:
    """Read an image folder, from the cache when no file of it has changed since.

    Classes are numbered in alphabetical order, which is the official order of CIFAR-10's ten names; within a
    class the images follow in the order of their file names. Grayscale images become RGB.

    Raises:
        KitError: not ten classes, other classes in test than in train, an empty class, a file that is no
            image, an image of another size than 32x32.
    """
    classes = classes_in(folder)
    train, test = (_list_files(folder / part, classes) for part in _PARTS)
    fingerprint = _fingerprint(folder, classes, train + test)
    tensors = imagecache.load(folder, fingerprint)
    if tensors is not None:
        return Dataset(**tensors, classes=classes, source=f"image folder {folder}, decoded at an earlier start")
    tensors = _decode_both(folder, train, test)
    imagecache.store(folder, fingerprint, tensors)
    return Dataset(**tensors, classes=classes, source=f"image folder {folder}")


def classes_in(folder: Path) -> tuple[str, ...]:
    """The names of the ten classes of an image folder, in alphabetical order.

    Raises:
        KitError: not ten, or other ones in test than in train.
    """
    train, test = (_subfolders(folder / part) for part in _PARTS)
    for part, names in zip(_PARTS, (train, test), strict=True):
        if len(names) != _CLASS_COUNT:
            raise KitError(
                f"{folder / part} holds {len(names)} class folders where {_CLASS_COUNT} are needed; arrange "
                f"the images as {part}/<class>/*.png with one folder for each of the ten classes"
            )
    if train != test:
        odd = ", ".join(sorted(set(train) ^ set(test)))
        raise KitError(
            f"{folder / 'train'} and {folder / 'test'} must hold the same ten class folders, but only one of "
            f"them has {odd}; rename the folders so that they agree"
        )
    return tuple(train)


def _subfolders(part: Path) -> list[str]:
    with os.scandir(part) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _list_files(part: Path, classes: tuple[str, ...]) -> list[_File]:
    listed = []
    for label, name in enumerate(classes):
        with os.scandir(part / name) as entries:
            of_class = [_describe(entry, label) for entry in entries if _is_image_name(entry.name)]
        if not of_class:
            kinds = ", ".join(SUFFIXES)
            raise KitError(f"{part / name} holds no image; put the {kinds} files of this class there")
        listed += sorted(of_class)
    return listed


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _describe(entry: os.DirEntry, label: int) -> _File:
    status = entry.stat()
    return _File(entry.path, label, status.st_size, status.st_mtime_ns)


def _fingerprint(folder: Path, classes: tuple[str, ...], listed: list[_File]) -> str:
    """Hash that changes when a file is added, removed, renamed, resized or written to."""
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), classes]).encode())
    for file in listed:
        digest.update(f"{os.path.relpath(file.path, folder)}\0{file.size}\0{file.modified}\n".encode())
    return digest.hexdigest()


def _decode_both(folder: Path, train: list[_File], test: list[_File]) -> dict[str, Tensor]:
    images = _decode([file.path for file in train + test], folder)
    labels = torch.tensor([file.label for file in train + test])
    return {
        "train_images": images[: len(train)],
        "train_labels": labels[: len(train)],
        "test_images": images[len(train) :],
        "test_labels": labels[len(train) :],
    }


def _decode(paths: list[str], folder: Path) -> Tensor:
    pixels = np.empty((len(paths), _SIDE, _SIDE, 3), np.uint8)
    chunks = [range(start, min(start + _CHUNK, len(paths))) for start in range(0, len(paths), _CHUNK)]

    def decode_chunk(chunk: range) -> int:
        for i in chunk:
            pixels[i] = _decode_file(paths[i])
        return len(chunk)

    # Threads rather than processes: a network mount makes the reader wait, which threads overlap, and on a
    # local disk starting processes that import torch costs more than two cores win back.
    pool = ThreadPoolExecutor(_THREADS)
    try:
        _tell_progress(pool.map(decode_chunk, chunks), len(paths), folder)
    finally:
        pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _decode_file(path: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            _check_form(image, path)
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError):  # Pillow tells a broken PNG by SyntaxError
        kinds = ", ".join(SUFFIXES)
        raise KitError(f"{path} is not a readable image ({kinds}); replace it or remove it") from None


def _check_form(image: Image.Image, path: str) -> None:
    if image.size != (_SIDE, _SIDE):
        size = "x".join(str(side) for side in image.size)
        raise KitError(f"{path} is {size} pixels; every image must be 32x32, so resize it or remove it")
    if image.mode not in _MODES:
        raise KitError(f"{path} has the pixel mode {image.mode}; save it as 8-bit RGB or grayscale")


def _tell_progress(done: Iterable[int], total: int, folder: Path) -> None:
    """Wait for the chunks, printing a line now and then; a folder that is read in a moment prints none."""
    start = told = time.monotonic()
    count = 0
    for size in done:
        count += size
        now = time.monotonic()
        if now - told >= _SECONDS_BETWEEN_LINES and count < total:
            told = now
            left = (now - start) / count * (total - count)
            print(f"reading {folder}: {count:,} of {total:,} images, about {left:.0f} s left", flush=True)
    if told > start:
        print(f"read {total:,} images from {folder} in {time.monotonic() - start:.0f} s", flush=True)
