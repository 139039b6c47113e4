"""One submission, sent once: whatever fails on the way, it is looked for before it is sent again."""

import contextlib
import hashlib
import io
import math
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from kit.analysis import LINE
from kit.competition import answers, client, ledger
from kit.competition.ledger import Row
from kit.competition.waiting import LONG_PATIENCE
from kit.errors import KitError
from kit.recipe import RECIPES
from kit.system.files import read_json

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

_ABANDONED_SECONDS = 600  # after which a submission that is still being sent belongs to a dead process
_PAGE = 100
_UPLOAD_FAILED = "Could not submit to competition"  # what the client answers instead of raising
_REPEATABLE = ("refused", "not sent", "error")


class Unconfirmed(KitError):
    """The answer to a submission was lost, and Kaggle does not list it."""


def claim(path: Path, message: str, slug: str, record: str | Path) -> tuple[Row, bool]:
    """Take the ledger's row for this file and message before anything is sent.

    Returns:
        The row, a new one unless the same was tried before, and whether that attempt may have reached Kaggle.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    identity = {"competition": slug, "sha256": digest, "message": message}
    sent_before: list[bool] = []

    def take(rows: list[Row]) -> Row:
        same = [row for row in rows if identity.items() <= row.items()]
        sent = [row for row in same if row["status"] not in _REPEATABLE]
        sent_before.append(bool(sent))
        if sent:
            return sent[-1]
        if same:  # a second attempt takes the place of the one that failed
            rows.remove(same[-1])
        return ledger.add(rows, identity | _origin(path, digest) | {"file": path.as_posix(), "status": "sending"})

    return ledger.edit(take, record), sent_before[0]


def _origin(path: Path, digest: str) -> Row:
    """Origin and expected score from the note beside the file; empty if there is none about these very bytes."""
    note = path.with_suffix(".json")
    content = read_json(note) if note.is_file() else {}
    if not isinstance(content, dict) or content.get("sha256") != digest:
        return {}
    found = {name: content[name] for name in ("run", "recipe", "accuracy", "split") if content.get(name) is not None}
    if "recipe" in found:
        recipes = found["recipe"] if isinstance(found["recipe"], list) else [found["recipe"]]  # one in earlier versions
        found["recipe"] = " + ".join(dict.fromkeys(map(_in_words, recipes)))
    if content.get("expected"):
        estimates = dict(content["expected"])
        found["expected"] = estimates.pop(LINE)
        found["estimates"] = "; ".join(f"{method} {value:g}" for method, value in estimates.items())
    return {name: str(value) for name, value in found.items()}


def _in_words(recipe: dict[str, Any]) -> str:
    """The nearest named recipe and what differs from it."""

    def differences(name: str) -> list[str]:
        named = RECIPES[name].as_dict()
        return [f"{field}={value}" for field, value in recipe.items() if value != named.get(field)]

    nearest = min(RECIPES, key=lambda name: len(differences(name)))
    return " ".join([nearest, *differences(nearest)])


def recognise(api: "KaggleApi", row: Row, record: str | Path) -> Row:
    """Find at Kaggle what an earlier attempt sent; the row comes back without `ref` if nothing arrived.

    Raises:
        KitError: another process is sending it at this moment.
    """
    if row["ref"]:
        print(f"already submitted at {row['time']} as {row['ref']}; nothing is sent again")
        return row
    known = {other["ref"] for other in ledger.rows(record)}
    if found := _arrived(api, row, known):
        print(f"an earlier attempt did arrive, as {found.ref}; nothing is sent again")
        return ledger.update(row["time"], record, ref=str(found.ref), status="pending")
    left = _ABANDONED_SECONDS - _age(row)
    if row["status"] == "sending" and left > 0:
        raise KitError(
            f"{row['file']} with this message is being submitted by another process since {row['time']}; "
            f"if that process is dead, run this again in {math.ceil(left / 60)} minutes"
        )
    return ledger.update(row["time"], record, status="sending")


def _age(row: Row) -> float:
    """Seconds since the row's attempt began; infinite if its time cannot be right, as from a clock that was wrong."""
    try:
        age = time.time() - datetime.fromisoformat(row["time"]).timestamp()
    except (ValueError, OverflowError, OSError):
        return math.inf
    return math.inf if age < -_ABANDONED_SECONDS else max(age, 0.0)


def send(api: "KaggleApi", path: Path, row: Row, record: str | Path) -> Row:
    """Upload and submit the file; whether that worked or not, its row of the ledger says how it ended.

    Raises:
        KitError: refused, no submission left today, no connection, or no answer (`Unconfirmed`).
    """
    slug, status = row["competition"], "unconfirmed"
    try:
        _say_remaining(api, slug)
        with client.explained(f"submitting {path.name}", slug=slug):
            ref = _submit(api, path, row)
        status = "pending"
    except KitError as error:
        if not isinstance(error, Unconfirmed):
            status = "refused" if isinstance(error, client.Refused) else "not sent"
        raise
    finally:
        if status != "pending":
            ledger.update(row["time"], record, status=status)
    print(f"submitted {path.name} to {slug} as {ref}")
    return ledger.update(row["time"], record, ref=ref, status=status)


def _say_remaining(api: "KaggleApi", slug: str) -> None:
    """Print how many submissions are left today; stop if there is none."""
    if not hasattr(api, "competition_get_submission_limits"):  # a client before 2.2.4, such as Colab's
        print("submissions left today: this version of the kaggle client cannot tell")
        return
    with client.explained("asking how many submissions are left today", slug=slug):
        limits = client.retried(api.competition_get_submission_limits, slug)
    if limits.num_allowed_now == 0 and limits.num_total > 0:  # all zero: no team yet, the first submission makes one
        when = "in this competition" if limits.limited_by_total else "today; the count starts anew at 00:00 UTC"
        made = f"{limits.num_today} made today, {limits.num_total} in all"
        raise client.Refused(f"no submission is left {when} ({made})")
    print(f"submissions left today: {limits.num_allowed_now} ({limits.num_today} made)")


def _submit(api: "KaggleApi", path: Path, row: Row) -> str:
    """Kaggle's number of the submission.

    A failure before the last request, or an answer of 429, is safe to try again. After any other failure of
    the last request the submission may exist: then only looking is safe.
    """
    seen = {str(each.ref) for each in listed(api, row["competition"])}
    printed = io.StringIO()
    for attempt in range(client.ATTEMPTS):
        try:
            send, sent = api.competition_submit, (str(path), row["message"], row["competition"])
            answer = client.asked(send, *sent, quiet=True, patience=LONG_PATIENCE, printed=printed)
            break
        except answers.NotUnderstood:  # of the last request or of one before it
            return _look_for(api, row, seen)
        except requests.RequestException as error:
            if _may_have_arrived(error):
                return _look_for(api, row, seen)
            if not client.is_passing(error) or attempt == client.ATTEMPTS - 1:
                raise
            time.sleep(client.pause_after(error, attempt))
    if answer.message == _UPLOAD_FAILED:
        raise KitError(f"uploading {path.name} failed {printed.getvalue().strip()}".rstrip() + "; run this again")
    return str(answer.ref) if answer.ref else _look_for(api, row, seen)


def _may_have_arrived(error: requests.RequestException) -> bool:
    code = client.status_code(error)
    if code is not None and code < 500:
        return False
    return error.request is None or str(error.request.url).endswith("/CreateSubmission")


def _look_for(api: "KaggleApi", row: Row, seen: set[str]) -> str:
    for pause in (0.0, 2.0, 5.0):
        time.sleep(pause)
        with contextlib.suppress(KitError):  # no connection now, either
            if found := _arrived(api, row, seen):
                return str(found.ref)
    raise Unconfirmed(
        f"the connection broke while {row['file']} was being submitted, and Kaggle does not list it; "
        "run the same command again in a minute: it looks once more before it sends anything"
    )


def _arrived(api: "KaggleApi", row: Row, known: set[str]) -> Any | None:
    """The listed submission that has this row's file name and message and is not among the known ones."""
    for each in listed(api, row["competition"]):
        same = (each.file_name, (each.description or "").strip()) == (Path(row["file"]).name, row["message"])
        if same and str(each.ref) not in known:
            return each
    return None


def listed(api: "KaggleApi", slug: str) -> list[Any]:
    """The team's submissions as the client describes them, newest first.

    Raises:
        KitError: no connection, or Kaggle refuses.
    """
    found: list[Any] = []
    with client.explained("reading the list of submissions", slug=slug):
        while True:
            page = len(found) // _PAGE + 1
            batch = client.retried(api.competition_submissions, slug, page_number=page, page_size=_PAGE) or []
            found += batch
            if len(batch) < _PAGE:
                return found


def outcome(each: Any) -> Row:
    """The fields of the ledger that a listed submission fills."""
    return {
        "status": each.status.name.lower(),
        "public": each.public_score or "",
        "private": each.private_score or "",
        "ref": str(each.ref),
    }
