"""Where the Kaggle client will find its credentials, checked beforehand, since it skips bad ones in silence.

The order is the client's: a Kaggle notebook's own session, an access token, a legacy key, a browser login.
Nothing here returns, prints or keeps a secret; only the place of one is named.
"""

import json
import os
import re
import stat
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from kit.errors import KitError

TOKEN_PAGE = "https://www.kaggle.com/settings/api"
_LARGEST = 100_000  # bytes that are read of a file of credentials
_LOGIN = "`kaggle auth login`"
_FIRST_WITH_LOGIN = (2, 1, 2)  # versions of the client before this one do not use such a login when they are imported


def locate() -> tuple[str, bool]:
    """Say in words where the credentials are that the client will use, and whether they are an access token.

    A file that other users can read is pointed out on stderr and used all the same, as the client does.

    Raises:
        KitError: there are none, or those that come first are malformed.
    """
    for look in (_session, _token_variable, _token_file, _legacy_key, _browser_login):
        if source := look():
            return source, look in (_session, _token_variable, _token_file)
    raise KitError(
        f"no Kaggle credentials found: create a token at {TOKEN_PAGE} and save it in ~/.kaggle/access_token "
        "(chmod 600), or set KAGGLE_API_TOKEN (on Colab: a secret of that name), or run `kaggle auth login`"
    )


def _session() -> str | None:
    in_notebook = os.environ.get("KAGGLE_KERNEL_RUN_TYPE") and os.environ.get("KAGGLE_DATA_PROXY_URL")
    path = os.environ.get("KAGGLE_API_V1_TOKEN")
    if in_notebook and path and Path(path).is_file() and _read(Path(path)).strip():
        return "this Kaggle notebook's session"
    return None


def _token_variable() -> str | None:
    value = os.environ.get("KAGGLE_API_TOKEN", "").strip()
    if not value:
        return None
    if _exists(value):
        _check_token(_read(Path(value)), f"the file {value} that KAGGLE_API_TOKEN names")
        _warn_if_readable(Path(value))
        return f"the file {value}"
    if value.startswith(("/", "~", ".")):
        raise KitError("KAGGLE_API_TOKEN names a file that does not exist; correct the path or set the token itself")
    _check_token(value, "KAGGLE_API_TOKEN")
    return "KAGGLE_API_TOKEN"


def _token_file() -> str | None:
    for path in (Path.home() / ".kaggle" / name for name in ("access_token", "access_token.txt")):
        if path.is_file() and (text := _read(path)).strip():
            _check_token(text, str(path))
            _warn_if_readable(path)
            return str(path)
    return None


def _check_token(text: str, place: str) -> None:
    token = text.strip()
    if token.startswith("{"):
        raise KitError(f"{place} holds the text of a kaggle.json, not a token; save that text as {_legacy_file()}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise KitError(f"{place} is not a token (one word without spaces); create a new one at {TOKEN_PAGE}")


def _legacy_key() -> str | None:
    """A user name and key, each from the environment or else from kaggle.json."""
    variables = {"username": os.environ.get("KAGGLE_USERNAME"), "key": os.environ.get("KAGGLE_KEY")}
    if all(variables.values()):
        return "KAGGLE_USERNAME and KAGGLE_KEY"
    path = _legacy_file()
    if not path.is_file():
        if any(variables.values()):
            raise KitError("only one of KAGGLE_USERNAME and KAGGLE_KEY is set; set both, or use a token instead")
        return None
    content = _json(path)
    if not all(variables[name] or _is_word(content.get(name)) for name in variables):
        raise KitError(f'{path} must hold {{"username": ..., "key": ...}}; download it again from {TOKEN_PAGE}')
    _warn_if_readable(path)
    return str(path)


def _browser_login() -> str | None:
    path = Path.home() / ".kaggle" / "credentials.json"
    if not path.is_file():
        return None
    if not _is_word(_json(path).get("refresh_token")):
        raise KitError(f"{path} holds no login; delete it and run `kaggle auth login` again")
    _warn_if_readable(path)
    return f"{path} ({_LOGIN})"


def unusable(source: str) -> str | None:
    """Why the client that is installed cannot use good credentials from `source`, None if it can."""
    version = metadata.version("kaggle")
    if _LOGIN in source and tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < _FIRST_WITH_LOGIN:
        return (
            f"version {version} of the kaggle client cannot use the login in {source}: run `pip install --upgrade "
            f"kaggle`, or create a token at {TOKEN_PAGE} and save it in ~/.kaggle/access_token"
        )
    return None


def _legacy_file() -> Path:
    if named := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(named) / "kaggle.json"
    folder = Path.home() / ".kaggle"
    if sys.platform.startswith("linux") and not folder.exists():
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    return folder / "kaggle.json"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except json.JSONDecodeError:  # its message and its `doc` quote the file
        content = None
    if not isinstance(content, dict):
        raise KitError(f"{path} is not the JSON that Kaggle gives; download it again from {TOKEN_PAGE}")
    return content


def _read(path: Path) -> str:
    try:
        text = path.read_bytes()[:_LARGEST].decode()
    except (OSError, UnicodeDecodeError):
        raise KitError(f"{path} cannot be read as text; give yourself access (chmod 600) or create it again") from None
    if text.startswith("\ufeff"):
        raise KitError(
            f"{path} begins with a byte-order mark, which some editors add and the kaggle client does not take; "
            "save it again as UTF-8 without that mark (Windows Notepad: encoding UTF-8, not UTF-8 with BOM)"
        )
    return text


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _exists(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a token can be too long for a file name
        return False


def _warn_if_readable(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        print(f"{path} can be read by other users of this machine; run `chmod 600 {path}`", file=sys.stderr)
