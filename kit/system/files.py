"""Files that are either whole or not there: written beside the target and renamed into place."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kit.errors import KitError

LARGEST_TEXT = 16 << 20  # bytes; the history of 10,000 epochs has 2 MB


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any failure it is removed.

    Raises:
        KitError: the folder cannot be written (read-only, no permission) or the disk is full.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder that vanished or turned read-only keeps no part file of ours to remove
        part.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of writers that were killed; nobody else may be writing to `folder`."""
    for part in Path(folder).glob(".*.part"):
        _remove(part)


def _refused(path: Path, error: OSError) -> KitError:
    if error.errno == errno.ENAMETOOLONG:
        return KitError(f"cannot write {str(path)[:100]}...: the name is too long; choose a shorter one")
    reason = error.strerror or str(error)
    return KitError(f"cannot write {path}: {reason}; free some space or choose a folder you can write to")


def write_flushed(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to a temporary path, down to the disk.

    Raises:
        OSError: as usual.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, flushed to the disk, whole or not at all."""
    with replacing(path) as part:
        write_flushed(part, content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with Unix line ends, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file of at most LARGEST_TEXT bytes.

    Raises:
        KitError: the file is missing, is too large, is not UTF-8, or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise KitError(f"{path} is larger than {LARGEST_TEXT >> 20} MB, so the kit did not write it: move it away")
        return content.decode()
    except FileNotFoundError:
        raise KitError(f"{path} does not exist; finish the step that writes it first") from None
    except UnicodeDecodeError as error:
        why = f"{path} is not text ({error.reason})"
        raise KitError(f"{why}; delete it and run the step that writes it again") from None
    except OSError as error:
        raise KitError(f"cannot read {path}: {error.strerror or error}; make it readable or move it away") from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        KitError: the file is missing, is not JSON (which has no NaN and no Infinity), or cannot be read.
    """
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise KitError(f"{path} is not JSON ({error}); delete it and run the step that writes it again") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
