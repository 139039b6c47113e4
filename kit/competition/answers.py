"""Refuse, in one sentence, an answer that is too large or that the Kaggle client cannot read.

The client reads an answer into memory whole, however large it is, and takes a JSON list for an object without entries.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from kit.errors import KitError

LARGEST_ANSWER = 16_000_000  # bytes, unpacked; a list of 100 submissions has 50,000, the log of a long kernel 1 million


class NotUnderstood(KitError):
    """What answered in Kaggle's place, or Kaggle in a new way, is nothing that the client can read."""


class Odd(NotUnderstood):
    """The same, before it is said what was being done."""


def odd(error: Exception) -> Odd:
    """The sentence for an error that the client's reading of an answer ended in."""
    text = error.doc if isinstance(error, json.JSONDecodeError) else ""
    if text.lstrip("\ufeff \r\n\t").startswith("<"):
        return Odd(
            "a web page came in place of Kaggle's answer, as in networks that ask to sign in first: "
            "open https://www.kaggle.com in a browser, sign in to the network, and run this again"
        )
    return Odd(
        f"Kaggle's answer is empty or of a kind that the client cannot read ({type(error).__name__}): "
        "run this again in some minutes, and if that does not help, run `pip install --upgrade kaggle`"
    )


@contextmanager
def bounded() -> Iterator[None]:
    """Check every answer that `requests` reads into memory inside the block: its size, and that JSON is an object.

    Files are not concerned: they are streamed to the disk, with limits of their own. The client opens sessions in many
    places, so this replaces the one method through which all of them send.
    """
    send = HTTPAdapter.send

    def checked(adapter: HTTPAdapter, request: requests.PreparedRequest, stream: bool = False,
                *arguments: Any, **options: Any) -> requests.Response:  # fmt: skip
        response = send(adapter, request, stream, *arguments, **options)
        is_call = request.method == "POST" and "json" in response.headers.get("Content-Type", "").lower()
        if not stream or is_call or response.status_code >= 400:
            response.raw = _Bounded(response.raw, is_call)
        return response

    HTTPAdapter.send = checked  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


class _Bounded:
    """The body of an answer, as `requests` reads it."""

    def __init__(self, raw: Any, is_object: bool):
        self._raw, self._is_object = raw, is_object

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, size: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """The pieces of the body.

        Raises:
            Odd: more than LARGEST_ANSWER bytes.
            json.JSONDecodeError: another kind of JSON than an object.
        """
        arrived, begun = 0, not self._is_object
        for piece in self._raw.stream(size, decode_content=decode_content):
            arrived += len(piece)
            if arrived > LARGEST_ANSWER:
                raise Odd(
                    f"the answer has more than {LARGEST_ANSWER / 1e6:.0f} MB, so it is not Kaggle's: "
                    "check the network, and run this again"
                )
            start = b"" if begun else piece.lstrip()
            if start and not start.startswith(b"{"):
                raise json.JSONDecodeError("no object", start[:100].decode(errors="replace"), 0)
            begun = begun or bool(start)
            yield piece
