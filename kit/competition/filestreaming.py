"""A file from Kaggle's storage: streamed to the disk with a limit on its size, never held in memory."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import requests

from kit.competition.answers import bounded
from kit.competition.waiting import patiently
from kit.errors import KitError

LARGEST_FILE = 5_000_000_000  # bytes; a checkpoint of the largest network allowed has 60 MB
CONNECT_SECONDS, READ_SECONDS = 15, 60  # limits on one connection and on one wait for bytes
_PIECE = 65_536  # bytes read at once, and the least that has to come within waiting.PATIENCE


def stream(url: str, path: Path, limit: int = LARGEST_FILE) -> int:
    """Write what `url` gives to `path`, whole or not at all.

    Returns:
        The number of bytes.

    Raises:
        KitError: more bytes than `limit` or than the disk has free, or a web page in place of the file.
        requests.RequestException: no connection, a refusal, or nothing came for a while.
    """
    if not url.lower().startswith(("https://", "http://")):
        raise KitError(f"Kaggle names no address to fetch {path.name} from; look at the output on its page")
    arrived = [0]
    part = path.with_name(f".{path.name[:100]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with bounded():  # a refusal's text
            patiently(lambda: _write(url, part, path, limit, arrived), lambda: arrived[0])
        os.replace(part, path)
    except requests.RequestException:  # a kind of OSError
        raise
    except OSError as error:
        raise KitError(f"cannot write {path}: {error.strerror or error}; make space and run this again") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return arrived[0]


def _write(url: str, part: Path, path: Path, limit: int, arrived: list[int]) -> None:
    """Write the file to `part`, and keep the number of bytes so far in `arrived[0]`."""
    with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
        response.raise_for_status()
        if path.suffix != ".html" and "text/html" in response.headers.get("Content-Type", "").lower():
            raise KitError(f"a web page came in place of {path.name}: sign in to this network, and run this again")
        claimed = response.headers.get("Content-Length", "")
        check_size(int(claimed) if claimed.isascii() and claimed.isdigit() else 0, path, limit)
        with part.open("wb") as file:
            for piece in response.iter_content(_PIECE):
                arrived[0] += len(piece)
                check_size(arrived[0], path, limit, enough_space=True)
                file.write(piece)


def check_size(size: int, path: Path, limit: int, enough_space: bool = False) -> None:
    """Refuse a file of `size` bytes that is larger than `limit` or, unless that is known, than the free space.

    Raises:
        KitError: it is.
    """
    if size > limit:
        raise KitError(f"{path.name} has more than {limit / 1e6:,.0f} MB, which no file of the kit has; it is not kept")
    if not enough_space and size > (free := shutil.disk_usage(path.parent).free):
        raise KitError(f"{path.name} has {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free; make space")
