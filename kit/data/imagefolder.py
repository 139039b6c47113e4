"""Read `train/<class>/*.png` and `test/<class>/*.png` (torchvision's ImageFolder form) into four tensors."""

import hashlib
import json
import os
import stat
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from os.path import isdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kit.data import classnames, imagecache
from kit.data.dataset import Dataset
from kit.errors import KitError
from kit.system.paths import shortened
from kit.system.progress import Progress

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow may try these only: it hands some others to programs such as Ghostscript
_OTHER_SUFFIXES = (".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jfif", ".jp2", ".heic", ".avif")
_SIDE = 32
_LARGEST_SIDE = 4096  # pixels; larger images are not resized
_LARGE = threading.Semaphore(1)  # one large image in memory at a time
_PARTS = ("train", "test")
_MODES = ("RGB", "RGBA", "L", "P")  # eight bits per channel; Pillow would clip or invert others without a warning
_CHUNK = 500
_THREADS = 8


class _File(NamedTuple):
    path: str
    label: int
    size: int
    modified: int  # nanoseconds
    changed: int  # nanoseconds; the system sets it at every change, also if `modified` was set back


def holds_images(folder: Path) -> bool:
    """Whether `folder` holds a `train` and a `test` folder."""
    return all((folder / part).is_dir() for part in _PARTS)


def read(folder: Path, resize: bool = False) -> Dataset:
    """Read an image folder; from the cache if no file has changed since (judged by sizes and times).

    Folders that stand for CIFAR-10's ten classes get CIFAR-10's numbers; `classnames.ordered` numbers all others.
    Within a class the images are sorted by file name. Grayscale images become RGB.

    Args:
        folder: holds `train` and `test`, each with one folder per class.
        resize: scale images of other sizes to 32x32 pixels, which may change their proportions.

    Raises:
        KitError: there are fewer than two classes, test and train have different classes, a class is empty, a file
            cannot be read as an image, or an image is not 32x32 and `resize` is False.
    """
    folders, classes = _class_folders(folder)
    train, test = (_list_files(folder / part, folders) for part in _PARTS)
    fingerprint = _fingerprint(folder, classes, train + test, resize)
    tensors = imagecache.load(folder, fingerprint)
    source = f"image folder {shortened(folder)}" + (", resized to 32x32" if resize else "")
    if tensors is not None:
        return Dataset(**tensors, classes=classes, source=f"{source}, decoded at an earlier start")
    tensors = _decode_both(folder, train, test, resize)
    imagecache.store(folder, fingerprint, tensors)
    return Dataset(**tensors, classes=classes, source=source)


def classes_in(folder: Path) -> tuple[str, ...]:
    """The names of the classes of an image folder, in the order of their labels.

    Raises:
        KitError: there are fewer than two, or test and train have different ones.
    """
    return _class_folders(folder)[1]


def _class_folders(folder: Path) -> tuple[list[str], tuple[str, ...]]:
    """The class folders and the class names, both in the order of the labels."""
    train, test = (_subfolders(folder / part) for part in _PARTS)
    for part, names in zip(_PARTS, (train, test), strict=True):
        if len(names) < 2:
            count = f"{len(names)} class folder{'' if len(names) == 1 else 's'}"
            raise KitError(
                f"{shortened(folder / part)} holds {count}; arrange the images as {part}/<class>/*.png with one folder "
                "for each class, two classes or more"
            )
    if train != test:
        odd = ", ".join(shortened(name) for name in sorted(set(train) ^ set(test))[:10])
        raise KitError(
            f"{shortened(folder / 'train')} and {shortened(folder / 'test')} must hold the same class folders, but "
            f"only one of them has {odd}; rename the folders so that they agree"
        )
    return classnames.ordered(train)


def _subfolders(part: Path) -> list[str]:
    names = sorted(entry.name for entry in _entries(part) if not entry.name.startswith(".") and _is_folder(entry))
    for name in names:
        if not shortened(name) == name.strip() != "" or not name.isprintable():
            raise KitError(f"{shortened(part)} has a class folder with the name {name!a}; rename it in plain text")
    return names


def _is_folder(entry: os.DirEntry) -> bool:
    return stat.S_ISDIR(_status(entry).st_mode)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise KitError(f"{shortened(folder)} cannot be read: {error.strerror}; make it a readable folder") from None


def _list_files(part: Path, folders: list[str]) -> list[_File]:
    """All images, sorted by label and file name. Warnings name the images of other kinds and in other places."""
    listed, left_out = [], Counter[str]()
    misplaced = [entry.path for entry in _entries(part) if _is_image_name(entry.name) and not isdir(entry)]
    for label, name in enumerate(folders):
        entries = _entries(part / name)
        of_class = [_describe(entry, label) for entry in entries if _is_image_name(entry.name)]
        if not of_class:
            kinds = ", ".join(SUFFIXES)
            raise KitError(f"{shortened(part / name)} holds no image; put the {kinds} files of this class there")
        listed += sorted(of_class)
        other = [entry for entry in entries if not entry.name.startswith(".") and not _is_image_name(entry.name)]
        left_out.update(suffix for entry in other if (suffix := _suffix(entry.name)) in _OTHER_SUFFIXES)
        misplaced += [entry.path for entry in other if isdir(entry)]
    _warn_of_what_is_left_out(part, misplaced, left_out)
    return listed


def _warn_of_what_is_left_out(part: Path, misplaced: list[str], kinds: Counter[str]) -> None:
    if misplaced:
        more = f" and {len(misplaced) - 1:,} more" if len(misplaced) > 1 else ""
        warnings.warn(
            f"{shortened(misplaced[0])}{more}: left out, because every image has to lie directly in its class folder",
            stacklevel=5,
        )
    if kinds:
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(kinds.items()))
        warnings.warn(
            f"{shortened(part)}: images of other kinds are left out ({counts}); save them as {', '.join(SUFFIXES)}",
            stacklevel=5,
        )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() if not name.startswith(".") else ""


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _status(entry: os.DirEntry) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:  # a link that points nowhere or in a circle
        raise KitError(f"{shortened(entry.path)} cannot be read: {error.strerror}; replace it or remove it") from None


def _describe(entry: os.DirEntry, label: int) -> _File:
    status = _status(entry)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise KitError(f"{shortened(entry.path)} is no file; replace it by an image or remove it")
    return _File(entry.path, label, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _fingerprint(folder: Path, classes: tuple[str, ...], listed: list[_File], resize: bool) -> str:
    """Hash that changes if a file is added, removed, renamed, resized or written to."""
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), classes, resize]).encode())
    for file in listed:
        digest.update(os.fsencode(os.path.relpath(file.path, folder)))
        digest.update(f"\0{file.label}\0{file.size}\0{file.modified}\0{file.changed}\n".encode())
    return digest.hexdigest()


def _decode_both(folder: Path, train: list[_File], test: list[_File], resize: bool) -> dict[str, Tensor]:
    images = _decode([file.path for file in train + test], folder, resize)
    labels = torch.tensor([file.label for file in train + test])
    return {
        "train_images": images[: len(train)],
        "train_labels": labels[: len(train)],
        "test_images": images[len(train) :],
        "test_labels": labels[len(train) :],
    }


def _decode(paths: list[str], folder: Path, resize: bool) -> Tensor:
    pixels = np.empty((len(paths), _SIDE, _SIDE, 3), np.uint8)
    chunks = [range(start, min(start + _CHUNK, len(paths))) for start in range(0, len(paths), _CHUNK)]

    def decode_chunk(chunk: range) -> int:
        for i in chunk:
            pixels[i] = _decode_file(paths[i], resize)
        return len(chunk)

    # Threads, not processes: on a network mount threads overlap their waits, and on a local disk starting processes
    # that import torch takes longer than two cores save.
    pool = ThreadPoolExecutor(_THREADS)
    try:
        with Progress(f"reading {shortened(folder)}", len(paths), "images") as work:
            for count in pool.map(decode_chunk, chunks):
                work.advance(count)
    finally:
        pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _decode_file(path: str, resize: bool) -> np.ndarray:
    """Decode one file to uint8 (32, 32, 3)."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_form(image, shortened(path), resize)
            if image.size == (_SIDE, _SIDE):
                return np.asarray(image.convert("RGB"))
            with _LARGE:
                image.draft("RGB", (2 * _SIDE, 2 * _SIDE))  # a JPEG can be decoded at a fraction of its size
                return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX))
    except KitError:
        raise
    except PermissionError:
        raise KitError(f"{shortened(path)} cannot be read: permission denied; make it readable or remove it") from None
    except Exception:  # for broken files Pillow raises nearly anything, from SyntaxError to struct.error
        kinds = ", ".join(SUFFIXES)
        raise KitError(f"{shortened(path)} is not a readable image ({kinds}); replace it or remove it") from None


def _check_form(image: Image.Image, path: str, resize: bool) -> None:
    size = "x".join(str(side) for side in image.size)
    if not resize and image.size != (_SIDE, _SIDE):
        raise KitError(
            f"{path} is {size} pixels; every image must be 32x32, so resize it or remove it, or give "
            "`-p data resize:FOLDER`, which resizes every image"
        )
    if max(image.size) > _LARGEST_SIDE:
        raise KitError(f"{path} is {size} pixels; make it smaller, at most {_LARGEST_SIDE} pixels per side")
    if image.mode not in _MODES:
        raise KitError(f"{path} has the pixel mode {image.mode}; save it as 8-bit RGB or grayscale")
