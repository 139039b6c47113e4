"""Files that are either whole or not there: written beside the target and renamed into place."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kit.errors import KitError


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
        reason = error.strerror or str(error)
        if error.errno == errno.ENAMETOOLONG:
            raise KitError(f"cannot write {str(path)[:100]}...: the name is too long; choose a shorter one") from error
        raise KitError(f"cannot write {path}: {reason}; free some space or choose a folder you can write to") from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder that vanished or turned read-only keeps no part file of ours to remove
        part.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of writers that were killed; nobody else may be writing to `folder`."""
    for part in Path(folder).glob(".*.part"):
        _remove(part)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, flushed to the disk, whole or not at all."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with Unix line ends, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        KitError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise KitError(f"{path} does not exist; finish the step that writes it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise KitError(f"{path} is not JSON ({error}); delete it and run the step that writes it again") from None
