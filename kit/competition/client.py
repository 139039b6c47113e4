"""The official `kaggle` client, signed in, with its answers turned into sentences."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from kit.competition import credentials
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
        with explained("signing in", unauthorized=rejected), silenced():
            from kaggle.api.kaggle_api_extended import KaggleApi  # signs in as it is imported

            api = KaggleApi()
            retried(api.authenticate)
    except ImportError as error:
        raise KitError(f"the kaggle client cannot be imported ({error}); run `pip install kaggle six`") from None
    except SystemExit:  # the client's way of saying that it tried every kind of credentials
        raise Refused(rejected) from None
    if is_token and api.CONFIG_NAME_TOKEN not in api.config_values:
        raise Refused(rejected)  # the client went on to weaker credentials, but would send this token all the same
    api.args = [argument for argument in api.args if argument != "--verbose"]  # which prints the request headers
    return api


@contextmanager
def silenced() -> Iterator[io.StringIO]:
    """Collect what the client prints instead of showing it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


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
    except OSError as error:  # of which the above are a kind
        raise KitError(f"{doing}: {error.strerror or error}; make space or choose another folder") from error


def retried(call: Callable[..., _Answer], *arguments: Any, **options: Any) -> _Answer:
    """Call something that changes nothing at Kaggle, again after a pause when the failure looks passing."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call(*arguments, **options)
        except requests.RequestException as error:
            if not is_passing(error):
                raise
            time.sleep(pause_after(error, attempt))
    return call(*arguments, **options)


def is_passing(error: requests.RequestException) -> bool:
    """Whether the same request may succeed later: no connection, too many requests, trouble at Kaggle."""
    code = status_code(error)
    return code is None or code == 429 or code >= 500


def pause_after(error: requests.RequestException, attempt: int) -> float:
    """Seconds to wait: what Kaggle asks for, else 1, 2, 4, ... by `attempt`; a minute at most."""
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    return min(float(asked) if asked.isdigit() else 2.0**attempt, _LONGEST_PAUSE)


def status_code(error: requests.RequestException) -> int | None:
    """The HTTP status of the answer, None where no answer came."""
    return None if error.response is None else error.response.status_code


def _sentence(error: requests.RequestException, doing: str, slug: str, unauthorized: str) -> str:
    code = status_code(error)
    if code is None:
        return (
            f"{doing}: no connection to Kaggle ({type(error).__name__}); check the network "
            "(in a Kaggle notebook: Settings, Internet on) and run this again"
        )
    told = f"{doing}: {code}{_told(error.response)}"
    if code == 401:
        return unauthorized or f"{told}; create new credentials at {credentials.TOKEN_PAGE}"
    if code == 403:
        rules = f"accept the rules at https://www.kaggle.com/competitions/{slug}/rules"
        return f"{told}; {rules if slug else 'check the name'} with the account of these credentials"
    if code == 404:
        return f"{told}; Kaggle knows no such thing: check the name {slug}".rstrip()
    if is_passing(error):
        return f"{told}; Kaggle is busy or in trouble: wait some minutes and run this again"
    return f"{told}; {_cure(told)}"


def _cure(told: str) -> str:
    if any(word in told.lower() for word in ("limit", "allowance", "per day", "daily")):
        return "the day's submissions are used up, the count starts anew at 00:00 UTC"
    return "correct that and run this again"


def _told(response: requests.Response) -> str:
    """What the answer says in its own words, as ": words", or nothing."""
    try:
        message = response.json().get("message", "")
    except (ValueError, AttributeError):
        return ""
    return f": {str(message).strip().rstrip('.')}" if message else ""
