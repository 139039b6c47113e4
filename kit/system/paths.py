"""Where things lie: the checkout, the folder that outputs go to, and Kaggle's mounts."""

import os
from pathlib import Path

from kit.errors import KitError

ROOT = Path(__file__).resolve().parents[2]  # the checkout, or the folder that kit/ was copied into
KAGGLE_INPUT = Path("/kaggle/input")
EMBEDDED = ("digits", "noisy-digits")  # images that lie nowhere: scikit-learn brings them


def workspace() -> Path:
    """The folder of runs/, data/ and submissions/: the checkout if it is writable, else the working folder."""
    return ROOT if (ROOT / "notebooks").is_dir() and os.access(ROOT, os.W_OK) else Path.cwd()


def given(path: str | Path) -> Path:
    """A path that a user gave, with `~` expanded; it need not exist.

    Raises:
        KitError: it is no path here: nobody's home, too long, a zero byte, a link in a circle, or a closed folder.
    """
    try:
        expanded = Path(path).expanduser()
        expanded.stat()
    except (FileNotFoundError, NotADirectoryError):
        return expanded
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise KitError(f"{shortened(path)} cannot be used as a path ({reason}): give another one") from None
    return expanded


def shortened(path: str | Path) -> str:
    """A path for a message: bytes that are not UTF-8 and line breaks are escaped, and a very long path is cut."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # no file can have this name
        encoded = str(path).encode("utf-8", "backslashreplace")
    text = encoded.decode("utf-8", "backslashreplace").replace("\n", "\\n").replace("\0", "\\0")
    return text if len(text) <= 300 else f"{text[:140]}...{text[-140:]}"
