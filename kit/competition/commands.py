"""The Kaggle competition: its name, its files, its submissions and scores, through the official client."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from kit.competition import client, ledger, upload
from kit.competition.filestreaming import LARGEST_FILE, check_size
from kit.competition.ledger import Row
from kit.competition.names import competition_slug
from kit.competition.waiting import LONG_PATIENCE
from kit.data import find_competition_test, load_competition_test, local_data
from kit.errors import KitError
from kit.plots import expected_against_real
from kit.rules import HEADER
from kit.submission import check_submission
from kit.system import paths
from kit.system.archive import Damaged, unpack
from kit.system.files import replacing

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

_LONGEST_MESSAGE = 500  # characters
_POLLS = (2.0, 3.0, 5.0, *(10.0,) * 12, *(30.0,) * 16)  # seconds between looks at the score: ten minutes


def download(slug: str | None = None, folder: str | Path | None = None) -> Path:
    """Download the competition's files and unpack them into `folder`, by default data/, where `auto` looks.

    A download that was cut off goes on where it stopped, and one that is complete is not repeated.

    Returns:
        The folder.

    Raises:
        KitError: no credentials, rules not accepted, no connection, a damaged archive, or no space.
    """
    slug, folder = competition_slug(slug), paths.given(folder or local_data())
    api = client.connect()
    archive = folder / f"{slug}.zip"
    print(f"downloading the files of {slug} to {folder}")
    with client.explained(f"downloading {slug}", slug=slug):
        fetch = partial(api.competition_download_files, slug, path=str(folder), quiet=True)
        client.retried(fetch, progress=lambda: _size(archive), patience=LONG_PATIENCE)
    try:
        count = unpack(archive, folder)
    except Damaged as error:
        archive.unlink()  # so that the next download starts from nothing
        raise KitError(f"{error}; it was removed, so run the download again") from None
    print(f"{count} files unpacked from {archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    return folder


def _size(archive: Path) -> int:
    """The bytes of an archive that have arrived so far.

    Raises:
        KitError: more than a competition's files can have.
    """
    size = archive.stat().st_size if archive.is_file() else 0
    check_size(size, archive, LARGEST_FILE)
    return size


def submit(
    path: str | Path, message: str, slug: str | None = None, *, wait: bool = True,
    header: Sequence[str] = HEADER, record: str | Path | None = None,
) -> Row:  # fmt: skip
    """Check a submission file, upload it, wait for its score, and keep the ledger.

    The same file with the same message is submitted once: calling this again, after whatever failure, first
    looks at what Kaggle has received.

    Args:
        path: the CSV.
        message: the description that Kaggle shows beside the score.
        slug: the competition, if not the usual one.
        wait: whether to wait up to ten minutes for the score.
        header: the names of the CSV's two columns.
        record: the ledger, if not submissions/ledger.csv.

    Returns:
        The submission's row of the ledger; `public` is empty while there is no score.

    Raises:
        KitError: the file is no submission, no credentials, rules not accepted, no submission left today,
            no connection, or Kaggle could not score the file.
    """
    path, slug, message = paths.given(path), competition_slug(slug), message.strip()
    record = record or ledger.default()
    if not message:
        raise KitError("a submission needs a message that tells it from the others; give one with -m")
    _check_message(message)
    check_submission(path, header=header)
    _check_against_test_file(path, header)
    api = client.connect()
    row, sent_before = upload.claim(path, message, slug, record)
    if sent_before:
        row = upload.recognise(api, row, record)
    if not row["ref"]:
        row = upload.send(api, path, row, record)
    return _wait_for_score(api, row, record) if wait else row


def _check_message(message: str) -> None:
    if not message.isprintable() or len(message) > _LONGEST_MESSAGE:
        raise KitError(f"a message is one line of at most {_LONGEST_MESSAGE} characters; shorten it")


def _check_against_test_file(path: Path, header: Sequence[str]) -> None:
    """Compare the CSV's ids with those of the competition's test file, if that lies in data/.

    Raises:
        KitError: they are others.
    """
    test_file = find_competition_test(local_data())
    if test_file is None:
        return
    try:
        ids = load_competition_test(test_file).ids
    except KitError as error:
        print(f"the ids of {path.name} were not compared with the test file: {error}")
        return
    try:
        check_submission(path, ids=ids, header=header, any_order=True)
    except KitError as error:
        raise KitError(f"{path} does not fit {test_file}: {error}; nothing was sent") from None
    print(f"{path.name} holds the {len(ids):,} ids of {test_file}")


def _wait_for_score(api: "KaggleApi", row: Row, record: str | Path) -> Row:
    waited = 0.0
    for pause in _POLLS:
        row = _refresh(api, row, record)
        if row["status"] != "pending":
            print(f"public score {row['public'] or 'unknown'}, private score {row['private'] or 'unknown'}")
            return row
        print(f"waiting for the score of {row['ref']}: {waited:.0f} s", flush=True)
        time.sleep(pause)
        waited += pause
    print("no score yet; `python -m kit scores` fetches it later")
    return row


def _refresh(api: "KaggleApi", row: Row, record: str | Path) -> Row:
    listed = next((each for each in upload.listed(api, row["competition"]) if str(each.ref) == row["ref"]), None)
    if listed is None:
        return row
    row = ledger.update(row["time"], record, **upload.outcome(listed))
    if row["status"] == "error":
        raise KitError(f"Kaggle could not score {row['file']}: {listed.error_description or 'no reason given'}")
    return row


def scores(slug: str | None = None, *, record: str | Path | None = None) -> pd.DataFrame:
    """Bring the ledger up to date with Kaggle, submissions made elsewhere included, print it and draw it.

    The figure of expected against real scores is expected_against_real.png beside the ledger.

    Returns:
        The competition's rows, oldest first; accuracy, expected, public and private in %, NaN where unknown.

    Raises:
        KitError: no credentials, no connection, or a damaged ledger.
    """
    slug, record = competition_slug(slug), record or ledger.default()
    listed = upload.listed(client.connect(), slug)
    ledger.edit(lambda rows: _merge(rows, listed, slug), record)
    rows = [row for row in ledger.rows(record) if row["competition"] == slug]
    table = pd.DataFrame(rows, columns=ledger.COLUMNS)
    for column in ("accuracy", "expected", "public", "private"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    table[["public", "private"]] *= 100
    if rows:
        _show(table, Path(record).with_name("expected_against_real.png"))
    else:
        print(f"no submissions to {slug} yet")
    return table


def _show(table: pd.DataFrame, path: Path) -> None:
    shown = table[["time", "file", "run", "expected", "public", "private", "status"]]
    print(shown.to_string(index=False, na_rep="", float_format="{:.2f}".format))
    with replacing(path) as part:
        expected_against_real(table).savefig(part, format="png", dpi=200)
    print(f"expected against real scores: {path}")


def _merge(rows: list[Row], listed: list[Any], slug: str) -> None:
    """Put what Kaggle lists into the rows: scores, answers that were lost, submissions made elsewhere."""
    by_ref = {row["ref"]: row for row in rows if row["ref"]}
    for each in reversed(listed):
        message = (each.description or "").strip()
        row = by_ref.get(str(each.ref)) or _unanswered(rows, slug, each.file_name, message)
        if row is None:
            made = f"{each.date.isoformat(timespec='milliseconds')}+00:00"
            known = {"time": made, "competition": slug, "file": each.file_name, "message": message}
            row = ledger.add(rows, known)
        row.update(upload.outcome(each))


def _unanswered(rows: list[Row], slug: str, file_name: str, message: str) -> Row | None:
    for row in rows:
        doubtful = row["competition"] == slug and row["status"] in ("sending", "unconfirmed") and not row["ref"]
        if doubtful and (Path(row["file"]).name, row["message"]) == (file_name, message):
            return row
    return None
