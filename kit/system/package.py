"""The files that the kit consists of: what git tracks, or what was installed, and nothing that merely lies there."""

import subprocess
from importlib import metadata
from pathlib import Path

from kit.errors import KitError

_PACKAGE = Path(__file__).resolve().parents[1]
_KINDS = (".py", ".csv", ".typed")


def package_files() -> list[Path]:
    """The kit's own files, absolute and sorted.

    In a clone they are those that git tracks. In an installed kit they are those that its installer recorded. In a
    folder that was copied by hand they are the modules and tables of its packages, but no hidden ones.

    Raises:
        KitError: git tracks the folder, and cannot be asked.
    """
    root = _PACKAGE.parent
    listed = _tracked(root) if (root / ".git").exists() else _installed() or _copied()
    return sorted(path for path in listed if path.suffix in _KINDS and path.is_file())


def _tracked(root: Path) -> list[Path]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--", _PACKAGE.name]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        raise KitError(f"git does not say which files of {root} it tracks; install git, or mend that clone") from None
    listed = [root / name for name in answer.stdout.decode(errors="surrogateescape").split("\0") if name]
    if left_out := sorted(path for path in set(_copied()) - set(listed) if path.suffix == ".py"):
        names = ", ".join(path.relative_to(root).as_posix() for path in left_out[:5])
        print(f"left out, since git does not track them: {names}{' ...' if len(left_out) > 5 else ''}")
    return listed


def _installed() -> list[Path]:
    """The files of the installed distribution, if this very package is the installed one."""
    try:
        recorded = metadata.files("kit") or []
    except metadata.PackageNotFoundError:
        return []
    paths = [Path(str(path.locate())).resolve() for path in recorded]
    own = [path for path in paths if path.is_relative_to(_PACKAGE)]
    return own if _PACKAGE / "__init__.py" in own else []


def _copied() -> list[Path]:
    """The modules and tables in folders that are packages, without hidden names."""
    folders = [path.parent for path in _PACKAGE.rglob("__init__.py")]
    paths = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    hidden = {path for path in paths if any(part.startswith(".") for part in path.relative_to(_PACKAGE).parts)}
    return [path for path in paths if path not in hidden and path.suffix in _KINDS]
