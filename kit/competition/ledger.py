"""The record of what was submitted: submissions/ledger.csv, one row per submission.

Every change is made under a lock and written whole, so two processes that submit at once lose no row.
"""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from kit.errors import KitError
from kit.system import locks
from kit.system.files import write_text
from kit.system.paths import workspace

COLUMNS = (
    "time",  # UTC, ISO 8601; made unique, so it names the row
    "competition",
    "file",
    "sha256",
    "run",
    "recipe",
    "accuracy",  # in %, of what predicted (weights, views, average of runs), on the images that `split` says
    "split",
    "expected",  # in %, by the published line
    "estimates",  # in %, by each method that looks at the unlabelled test images, as `method 88.12; method 87.5`
    "message",
    "public",  # as Kaggle gives it, a share of 1
    "private",
    "status",  # sending, refused, unconfirmed, pending, complete, error
    "ref",  # Kaggle's number of the submission
)

ADDED_LATER = ("estimates",)  # columns that a ledger of an earlier version of the kit may lack

Row = dict[str, str]
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")  # what a spreadsheet runs, also once it is marked
_LOCK_SECONDS = 60
_Result = TypeVar("_Result")


def default() -> Path:
    """The ledger of this checkout."""
    return workspace() / "submissions" / "ledger.csv"


def rows(path: str | Path) -> list[Row]:
    """Read the ledger: one dict of strings per row, oldest first; what is not known is an empty string.

    Raises:
        KitError: the file is no ledger.
    """
    path = Path(path)
    if not path.exists() or path.stat().st_size == 0:
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet program may have added the mark
            reader = csv.DictReader(file, restval="", strict=True)
            found = [dict.fromkeys(ADDED_LATER, "") | _unmarked(row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise KitError(f"{path} is not a CSV file ({error}); repair it or move it away") from None
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ()) and name not in ADDED_LATER]
    if missing or any(None in row for row in found):
        fault = f"lacks the columns {', '.join(missing)}" if missing else "has a row with more fields than columns"
        raise KitError(f"{path} {fault}; repair it or move it away and a new ledger is started")
    return found


def edit(change: Callable[[list[Row]], _Result], path: str | Path) -> _Result:
    """Let `change` alter the rows while no other process can, and return what it returns.

    Raises:
        KitError: the file is no ledger, cannot be written, or stays locked for a minute.
    """
    path = Path(path)
    try:
        with locks.owned(path.with_name(f".{path.name}.lock"), str(path), _LOCK_SECONDS):
            current = rows(path)
            result = change(current)
            _write(path, current)
            return result
    except OSError as error:
        raise KitError(f"cannot write {path}: {error.strerror}; choose a folder you can write to") from error


def add(current: list[Row], values: Row) -> Row:
    """Add a row to `current`, inside `edit`, and return it; without a `time` in `values` it gets the present one."""
    row = dict.fromkeys(COLUMNS, "") | values
    row["time"] = _unique_time(row["time"], current)
    current.append(row)
    return row


def update(time: str, path: str | Path, **values: str) -> Row:
    """Set fields of the row that `time` names, and return the row.

    Raises:
        KitError: no such row, or as `edit`.
    """

    def alter(current: list[Row]) -> Row:
        for row in current:
            if row["time"] == time:
                row.update(values)
                return row
        raise KitError(f"{path} has no row of {time}; it was changed while a submission was running")

    return edit(alter, path)


def _marked(value: str) -> str:
    """A value that a spreadsheet would take for a formula, with a ' before it, which makes it text there."""
    return f"'{value}" if _FORMULA.match(value) else value


def _unmarked(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it was before `_marked`. Fields without a column stand under None, and `rows` refuses them."""

    def plain(value: Any) -> Any:
        return value[1:] if isinstance(value, str) and value[:1] == "'" and _FORMULA.match(value) else value

    return {name: plain(value) for name, value in row.items()}


def _unique_time(time: str, current: list[Row]) -> str:
    moment = datetime.fromisoformat(time) if time else datetime.now(UTC)
    taken = {row["time"] for row in current}
    while (stamp := moment.isoformat(timespec="milliseconds")) in taken:
        moment += timedelta(milliseconds=1)
    return stamp


def _write(path: Path, current: list[Row]) -> None:
    # columns that somebody added by hand are kept, after ours
    added = [name for row in current for name in row if name not in COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *dict.fromkeys(added)], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _marked(value) for name, value in row.items()} for row in current)
    write_text(path, text.getvalue())
