"""The official `kaggle` client, signed in, with its answers turned into sentences."""

import contextlib
import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from kit.competition import answers, credentials, refusals
from kit.competition.answers import NotUnderstood
from kit.competition.waiting import patiently
from kit.errors import KitError

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

ATTEMPTS = 4  # of a request that changes nothing
_LONGEST_PAUSE = 60.0  # seconds that one wait for Kaggle may take
_Answer = TypeVar("_Answer")


class Refused(KitError):
    """Kaggle answered, and the answer is no."""


def connect() -> "KaggleApi":
    """Sign in with the credentials that the client itself would choose.

    Raises:
        KitError: no client, no credentials, or Kaggle does not accept them.
    """
    source, is_token = credentials.locate()
    rejected = (
        f"Kaggle does not accept the credentials from {source}: they are expired, revoked or mistyped; "
        f"create new ones at {credentials.TOKEN_PAGE}"
    )
    try:
        import kagglesdk.kaggle_client  # noqa: F401 - most of the client, without the time limit of an answer

        with explained("signing in", unauthorized=rejected):
            api = retried(_signed_in)
    except ImportError as error:
        raise KitError(f"the kaggle client cannot be imported ({error}); run `pip install kaggle six`") from None
    except SystemExit:  # the client's way of saying that it tried every kind of credentials
        raise Refused(credentials.unusable(source) or rejected) from None
    if is_token and api.CONFIG_NAME_TOKEN not in api.config_values:
        raise Refused(rejected)  # the client went on to weaker credentials, but would send this token all the same
    api.args = [argument for argument in api.args if argument != "--verbose"]  # which prints the request headers
    return api


def _signed_in() -> "KaggleApi":
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi  # signs in as it is imported

        api = KaggleApi()
        api.authenticate()
    except ValueError as error:
        if "Missing" not in str(error) or "in configuration" not in str(error):
            raise
        raise Refused(
            "this version of the kaggle client wants user name and key in one place: put both into kaggle.json, or "
            "set both KAGGLE_USERNAME and KAGGLE_KEY, or run `pip install --upgrade kaggle`"
        ) from None
    return api


@contextmanager
def silenced(printed: io.StringIO | None = None) -> Iterator[None]:
    """Collect what the client prints in `printed` instead of showing it."""
    printed = printed or io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield


@contextmanager
def explained(doing: str, *, slug: str = "", unauthorized: str = "") -> Iterator[None]:
    """Turn a refusal or a broken connection inside the block into a `KitError` of one sentence.

    Args:
        doing: what was being done, as in "uploading x.csv".
        slug: the competition it was done for, for the links in the sentence.
        unauthorized: the sentence for an answer of 401.
    """
    try:
        yield
    except requests.RequestException as error:
        kind = KitError if is_passing(error) else Refused
        raise kind(_sentence(error, doing, slug, unauthorized)) from None
    except answers.Odd as error:
        raise NotUnderstood(f"{doing}: {error}") from None
    except OSError as error:  # of which requests' errors are a kind
        raise KitError(f"{doing}: {error.strerror or error}; make space or choose another folder") from error


def retried(call: Callable[..., _Answer], *arguments: Any, **options: Any) -> _Answer:
    """Ask what changes nothing at Kaggle, again after a pause if the failure looks passing; as `asked` otherwise."""
    return repeated(lambda: asked(call, *arguments, **options))


def repeated(call: Callable[[], _Answer]) -> _Answer:
    """Call something again after a pause if the failure looks passing; it has a time limit of its own."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except requests.RequestException as error:
            if not is_passing(error):
                raise
            time.sleep(pause_after(error, attempt))
    return call()


def asked(
    call: Callable[..., _Answer], *arguments: Any, progress: Callable[[], int] = int, patience: float | None = None,
    printed: io.StringIO | None = None, **options: Any,
) -> _Answer:  # fmt: skip
    """Call the client once, without what it prints, within a time limit.

    Args:
        call: a method of the client, with its arguments and options.
        progress, patience: as for `patiently`.
        printed: takes what the client prints.

    Raises:
        NotUnderstood: the answer is a web page, empty, too large, or of another kind than the client expects.
        requests.RequestException: no connection, a refusal, or no answer in time.
    """
    screen = sys.stderr
    try:
        with silenced(printed), answers.bounded():
            return patiently(lambda: call(*arguments, **options), progress, patience, screen)
    except (KitError, requests.RequestException) as error:
        if isinstance(error, requests.exceptions.JSONDecodeError):
            raise answers.odd(error) from None
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:  # of the client's reading
        raise answers.odd(error) from None


def is_passing(error: requests.RequestException) -> bool:
    """Whether the same request may succeed later: no connection, too many requests, trouble at Kaggle."""
    if isinstance(error, requests.TooManyRedirects):
        return False
    code = status_code(error)
    return code is None or code == 429 or code >= 500


def pause_after(error: requests.RequestException, attempt: int) -> float:
    """Seconds to wait: what Kaggle asks for, else 1, 2, 4, ... by `attempt`; a minute at most."""
    wanted = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    return min(float(wanted) if wanted.isascii() and wanted.isdigit() else 2.0**attempt, _LONGEST_PAUSE)


def status_code(error: requests.RequestException) -> int | None:
    """The HTTP status of the answer, None if no answer came."""
    return None if error.response is None else error.response.status_code


def _sentence(error: requests.RequestException, doing: str, slug: str, unauthorized: str) -> str:
    code = status_code(error)
    if isinstance(error, requests.TooManyRedirects):
        return f"{doing}: the answers lead in a circle (redirects); sign in to this network, and run this again"
    if isinstance(error, requests.Timeout):
        return f"{doing}: Kaggle did not answer in time ({_cut(str(error))}); check the network and run this again"
    if code is None:
        return (
            f"{doing}: no connection to Kaggle ({type(error).__name__}); check the network "
            "(in a Kaggle notebook: Settings, Internet on) and run this again"
        )
    words = _words_of(error.response)
    told = f"{doing}: {code}{words and ': ' + words}"
    if code == 401:
        return unauthorized or f"{told}; create new credentials at {credentials.TOKEN_PAGE}"
    if is_passing(error):
        return f"{told}; Kaggle is busy or in trouble: wait some minutes and run this again"
    return f"{told}; {refusals.cure(code, words, slug)}"


def _words_of(response: requests.Response | None) -> str:
    """What a refusal says in its own words, on one line and cut, or nothing."""
    try:
        message = response.json().get("message", "") if response is not None else ""
    except (ValueError, AttributeError, RecursionError):
        return ""
    return _cut(str(message or "")).rstrip(".")


def _cut(text: str) -> str:
    """One line of at most 300 printable characters."""
    line = " ".join(re.sub(r"[^\S ]|[\x00-\x1f\x7f-\x9f]", " ", text[:2000]).split())
    return line if len(line) <= 300 else line[:299] + "…"
