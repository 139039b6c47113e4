"""The reader of config.json, metrics.json and history.csv: what they hold, or one sentence about what is wrong.

Folders under runs/ come from other machines, full disks and editors. Each entry is checked for the type and range that
a training writes. A missing entry is an error when it is used, not before.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kit.errors import KitError
from kit.system import files

LARGEST = 2**53  # above it JSON readers no longer agree about whole numbers
REMEDY = "type the training's command again, which rebuilds it from the checkpoint, or move the folder away"
TOLD = "recipe", "classes", "data", "amp", "threads", "device"  # entries that tables need
MEASURED = ("last_accuracy", "best_accuracy", "train_accuracy", "training_images", "validation_images", "epochs",
            "parameters", "wall_seconds", "split")  # fmt: skip
REQUIRED = ("epoch", "validation_accuracy", "images_per_second")  # columns that every way of training writes

Test = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_percentage(value: Any) -> bool:
    return _is_number(value) and value <= 100


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 10_000 and all(isinstance(name, str) for name in value)


def _is_recipe(value: Any) -> bool:
    plain = str | int | float | None
    return isinstance(value, dict) and all(isinstance(setting, plain) for setting in value.values())


def _is_scale(value: Any) -> bool:
    return isinstance(value, dict) and _is_count(value.get("epochs")) and _is_number(value.get("channels"))


_TEXT, _COUNT, _NUMBER = (_is_text, "text"), (_is_count, "a whole number"), (_is_number, "a number")
CONFIG: Mapping[str, tuple[Test, str]] = {
    "recipe": (_is_recipe, "a table of settings"),
    "classes": (_is_list_of_names, "a list of names"),
    "scale": (_is_scale, "epochs and channels"),
    **dict.fromkeys(("images", "parameters", "processes", "threads"), _COUNT),
    **dict.fromkeys(("data", "fingerprint", "amp", "device", "command", "row"), _TEXT),
}
METRICS: Mapping[str, tuple[Test, str]] = {
    **{f"{which}_accuracy": (_is_percentage, "a percentage") for which in ("last", "best", "train", "test")},
    **dict.fromkeys(("best_epoch", "epochs", "training_images", "validation_images", "parameters"), _COUNT),
    **dict.fromkeys(("train_seconds", "wall_seconds", "pflop"), _NUMBER),
    "split": _TEXT,
}


class Record(dict):
    """The entries of a JSON file; one that is missing is a sentence in place of a KeyError."""

    def __init__(self, path: Path, entries: Mapping[str, Any]):
        super().__init__(entries)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise KitError(f"{self._path} lacks {name!r}: {REMEDY}")


def read_record(path: Path, known: Mapping[str, tuple[Test, str]]) -> Record:
    """Read a JSON file of a run folder.

    Args:
        path: config.json or metrics.json.
        known: a test for each entry, and what it has to be in words. Other entries are passed through.

    Raises:
        KitError: the file is missing, garbled, no JSON object, or an entry has another type or range.
    """
    entries = files.read_json(path)
    if not isinstance(entries, dict):
        raise KitError(f"{path} has to hold entries by name, not {_short(entries)}: {REMEDY}")
    for name, (test, meaning) in known.items():
        if name in entries and not test(entries[name]):
            raise KitError(f"{path}: {name} has to be {meaning}, not {_short(entries[name])}: {REMEDY}")
    return Record(path, entries)


def read_history(path: Path) -> pd.DataFrame:
    """Read history.csv: one row per epoch, int64 epochs from 1 and float64 figures.

    Raises:
        KitError: the file cannot be read, a column of REQUIRED is missing, or a cell is no number in its range.
    """
    try:
        rows = list(csv.reader(io.StringIO(files.read_text(path)), strict=True))
        names = rows[0] if rows else []
        columns = {name: [float(row[place] or "nan") for row in rows[1:]] for place, name in enumerate(names)}
    except (csv.Error, ValueError, IndexError) as error:
        raise KitError(f"{path} is damaged ({_short(error)}): {REMEDY}") from None
    if missing := [name for name in REQUIRED if name not in columns]:
        raise KitError(f"{path} lacks the columns {', '.join(missing)}: {REMEDY}")
    if any(len(row) != len(names) for row in rows) or len(columns) < len(names):
        raise KitError(f"{path} is damaged (rows of different lengths, or two columns of one name): {REMEDY}")
    if columns["epoch"] != list(range(1, len(rows))):
        raise KitError(f"{path} is damaged (its epochs are not 1, 2, 3, ...): {REMEDY}")
    if not all(0 <= value <= 100 for value in columns["validation_accuracy"]):
        raise KitError(f"{path} is damaged (an accuracy is no percentage): {REMEDY}")
    if not all(0 <= value < math.inf for value in columns["images_per_second"]):
        raise KitError(f"{path} is damaged (a number of images per second is not above 0): {REMEDY}")
    return pd.DataFrame(columns).astype({"epoch": "int64"})


def _short(value: object) -> str:
    text = value if isinstance(value, Exception) else repr(value)
    return str(text)[:80]
