"""The CSV: written and checked."""

import hashlib
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kit.errors import KitError
from kit.rules import HEADER, check_header
from kit.system import files
from kit.system.paths import given

if TYPE_CHECKING:  # this room is imported without torch, so that the command line answers at once
    from torch import Tensor

_LARGEST = 50_000_000  # bytes; a submission of 10,000 rows has 80,000


def write_submission(path: str | Path, ids: "Tensor", labels: "Tensor", *, header: Sequence[str] = HEADER,
                     about: dict[str, Any] | None = None, sample: str | Path | None = None) -> Path:  # fmt: skip
    """Write one row per image, in the order of `ids`, and beside it a JSON that says where the CSV comes from.

    Args:
        path: the CSV to write.
        ids: int64 (N,), as in the competition's test file.
        labels: int64 (N,), 0 to 9.
        header: names of the two columns.
        about: what the JSON says: run, recipe, hash of the weights, accuracy, split.
        sample: a sample_submission.csv whose header and ids have to be the same.

    Raises:
        KitError: the header, ids or labels cannot be a submission, or the sample has others.
    """
    names = check_header(header)
    if len(ids) != len(labels):
        raise KitError(f"a submission needs one label per id, not {len(labels):,} labels for {len(ids):,} ids")
    table = pd.DataFrame({names[0]: ids.tolist(), names[1]: labels.tolist()})
    _check(table, names, ids.tolist(), sample)
    content = table.to_csv(index=False, lineterminator="\n").encode()
    described = {"file": Path(path).name, "sha256": hashlib.sha256(content).hexdigest(), "rows": len(table)}
    files.write_json(Path(path).with_suffix(".json"), described | (about or {}))
    files.write_bytes(path, content)
    return Path(path)


def check_submission(path: str | Path, *, ids: "Tensor | Sequence[int] | None" = None,
                     header: Sequence[str] = HEADER, sample: str | Path | None = None,
                     any_order: bool = False) -> pd.DataFrame:  # fmt: skip
    """Read a submission and make sure that Kaggle can score it.

    Args:
        path: the CSV.
        ids: the ids that it has to hold; None asks only that they are different whole numbers.
        header: the names of its two columns.
        sample: a sample_submission.csv whose header and ids have to be the same.
        any_order: whether the rows may be in another order than `ids`, which Kaggle allows.

    Returns:
        The table, one row per image, all values as text.

    Raises:
        KitError: unreadable, wrong header, wrong number of rows, missing or repeated ids, labels outside 0..9, or a
            sample with another header or other ids.
    """
    table = _read(path)
    expected = None if ids is None else np.asarray(ids).tolist()
    if any_order and expected is not None:
        expected = _in_order_of(table, header, expected)
    _check(table, tuple(header), expected, sample)
    return table


def _in_order_of(table: pd.DataFrame, header: Sequence[str], ids: list[int]) -> list[int]:
    """`ids` in the order of the table, if it holds the same ones; else as they are, for `_check` to refuse."""
    if header[0] not in table.columns:
        return ids
    listed = _whole_numbers(table[header[0]]).tolist()
    return listed if sorted(listed) == sorted(ids) else ids


def _read(path: str | Path) -> pd.DataFrame:
    try:
        if not stat.S_ISREG((status := given(path).stat()).st_mode):  # reading a pipe would wait for ever
            raise KitError(f"{path} is no file: choose the CSV of the submit notebook")
        if (size := status.st_size) > _LARGEST:
            raise KitError(f"{path} has {size:,} bytes, more than a submission has: choose another file")
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", compression=None)
    except FileNotFoundError:
        raise KitError(f"{path} does not exist: write it with the submit notebook first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise KitError(f"{path} is not a CSV file ({reason}): write it again with the submit notebook") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes the first of too many fields for the row's name
        raise KitError(f"{path} has rows with more fields than its header: write it again with the submit notebook")
    return table


def _check(table: pd.DataFrame, header: tuple[str, ...], ids: list[int] | None, sample: str | Path | None) -> None:
    """Refuse a table that Kaggle could not score."""
    if tuple(table.columns) != header:
        raise KitError(f"the header has to be {','.join(header)}, not {_shown(table.columns)}")
    listed, labels = (_whole_numbers(table[name]) for name in header)
    if sample is not None:
        ids = _ids_of_sample(sample, header, ids)
    _check_ids(listed, ids)
    if outside := sorted(set(labels.tolist()) - set(range(10))):
        raise KitError(f"labels have to be 0 to 9, not {outside[0]}")


def _shown(names: Iterable[object]) -> str:
    """A header for a message: one line, cut."""
    text = ",".join(map(str, names))[:80]
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _ids_of_sample(sample: str | Path, header: tuple[str, ...], ids: list[int] | None) -> list[int]:
    """The ids that the submission has to hold: `ids`, or the sample's if there are none."""
    table = _read(sample)
    if tuple(table.columns) != header:
        raise KitError(f"{sample} has the header {_shown(table.columns)}, this submission {','.join(header)}")
    listed = _whole_numbers(table[header[0]]).tolist()
    if ids is not None and sorted(ids) != sorted(listed):
        raise KitError(f"{sample} lists other ids than the test file: use the sample of the same competition")
    return listed if ids is None else ids


def _check_ids(listed: np.ndarray, ids: list[int] | None) -> None:
    """Refuse ids that repeat, or that are not exactly `ids`, in their order."""
    if ids is not None and len(listed) != len(ids):
        raise KitError(f"a submission needs {len(ids):,} rows, one per image, not {len(listed):,}")
    values, counts = np.unique(listed, return_counts=True)
    if len(listed) == 0 or (counts > 1).any():
        what = f"id {values[counts > 1][0]} is there twice" if len(listed) else "it has no rows"
        raise KitError(f"a submission needs exactly one row per id: {what}")
    if ids is None:
        return
    if missing := set(ids) - set(values.tolist()):
        raise KitError(f"id {min(missing)} is missing: a submission needs one row for every id")
    if listed.tolist() != ids:
        raise KitError("the ids are not in the order of the test file: keep the file's order")


def _whole_numbers(column: pd.Series) -> np.ndarray:
    """The column as int64 (N,). Python itself would also read `1_0` and digits of other scripts as numbers."""
    bad = next((value for value in column if not re.fullmatch(r" *-?[0-9]{1,18} *", str(value))), None)
    if bad is not None:
        raise KitError(f"column {column.name} has to hold whole numbers, not {str(bad)[:60]!r}")
    return column.astype("int64").to_numpy()
