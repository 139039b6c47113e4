"""The places where CIFAR-10 and the competition's test file are looked for, and their order."""

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from kit.data import imagefolder, official
from kit.errors import KitError
from kit.system.paths import KAGGLE_INPUT, given, workspace

COMPETITIONS = ("deep-learning-spring-2025-project-1", "deep-learning-mini-project-spring-24-nyu")
VARIABLE = "CIFAR10_DIR"
TEST_FILES = "cifar_test_nolabel*.pkl"  # in 2024 the name ended in an s, in 2025 it did not
FORMS = f"{official.FOLDER}, {official.ARCHIVE}, or train/<class>/*.png and test/<class>/*.png"

RESIZE = "resize:"

_DEPTH = 5  # folders in the deepest known mount, datasets/<owner>/<dataset>/<folder>/cifar-10-batches-py


def place_of(source: str | Path) -> tuple[str, bool]:
    """Split `data` into the place and whether its images are to be resized (`resize:FOLDER`)."""
    text = str(source)
    return text.removeprefix(RESIZE), text.startswith(RESIZE)


def local_data() -> Path:
    """The folder that `auto` looks at last and downloads into."""
    return workspace() / "data"


def find_dataset() -> Path | None:
    """Find CIFAR-10 where `auto` looks: $CIFAR10_DIR, Kaggle's mounts, kagglehub's cache, any folder below them, data/.

    Returns:
        The folder of official batches, the official archive, the image folder, or None.

    Raises:
        KitError: $CIFAR10_DIR is set but holds none of the three.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = find_form(given(named))
        if found is None:
            raise KitError(f"{VARIABLE}={named} holds no CIFAR-10; let it name a folder with {FORMS}, or unset it")
        return found
    below = (*_folders_below(KAGGLE_INPUT, official.FOLDER), *_folders_below(_kagglehub(), official.FOLDER))
    for place in (*_mounts(), *below, local_data()):
        if found := find_form(place):
            return found
    return None


def find_form(place: Path) -> Path | None:
    """Find one of the accepted forms at `place` or up to two folders below it, as in unpacked downloads of Kaggle."""
    if place.is_file():
        return place
    below = _subfolders(place)
    for folder in (place, *below, *(deeper for child in below for deeper in _subfolders(child))):
        if official.holds_batches(folder):
            return folder
        if (folder / official.FOLDER).is_dir():
            return folder / official.FOLDER
        if (folder / official.ARCHIVE).is_file():
            return folder / official.ARCHIVE
        if imagefolder.holds_images(folder):
            return folder
    return None


def find_test_file() -> Path | None:
    """Find the competition's test file by its name, in the same places as `find_dataset` and in the same order."""
    named = os.environ.get(VARIABLE)
    places = [given(named)] if named else []
    for place in (*places, *_mounts(), KAGGLE_INPUT, _kagglehub(), local_data()):
        if found := find_test_file_in(place):
            return found
    return None


def find_test_file_in(folder: Path) -> Path | None:
    """Find the competition's test file anywhere in `folder`; if there are several, the one nearest to the top."""
    named = [parent / name for parent, _, names in _walk(folder) for name in fnmatch.filter(names, TEST_FILES)]
    return min(named, key=lambda path: (len(path.parts), path), default=None)


def where_auto_looks() -> str:
    """The places that `find_dataset` looks at, in words."""
    return f"${VARIABLE} (not set), Kaggle's {KAGGLE_INPUT}, kagglehub's {_kagglehub()} and {local_data().resolve()}"


def _mounts() -> list[Path]:
    return [
        mount
        for slug in COMPETITIONS
        for mount in (
            KAGGLE_INPUT / "competitions" / slug,
            KAGGLE_INPUT / slug,
            _kagglehub() / "competitions" / slug,
        )
        if mount.is_dir()
    ]


def _kagglehub() -> Path:
    """Where the kagglehub package keeps downloads, on Colab too."""
    return given(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub")


def _folders_below(root: Path, name: str) -> Iterator[Path]:
    return (parent / name for parent, folders, _ in _walk(root) if name in folders)


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """os.walk, but not deeper than a mount can be, and not into class folders, which hold many images."""
    for parent, folders, names in os.walk(root):
        folder = Path(parent)
        yield folder, folders, names
        depth = len(folder.relative_to(root).parts)
        if depth >= _DEPTH or folder.name in ("train", "test"):
            folders.clear()
        folders.sort()


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:  # it is absent or may not be read
        return []
