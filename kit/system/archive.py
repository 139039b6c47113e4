"""Unpack a zip archive, member by member and checked, without letting it write anywhere else."""

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from kit.errors import KitError
from kit.system.files import replacing
from kit.system.progress import over

MOST_MEMBERS = 100_000  # of an archive; one with a file for each image of CIFAR-10 has 60,000
LARGEST_CONTENT = 10_000_000_000  # bytes unpacked; CIFAR-10 and the test file have 220 MB
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, ValueError)


class Damaged(KitError):
    """A file that is no zip archive, or not a whole one."""


def unpack(archive: str | Path, folder: str | Path) -> int:
    """Unpack `archive` into `folder`; every file is checked against its CRC before it takes its name.

    Returns:
        The number of files.

    Raises:
        Damaged: the archive is damaged, or has a password.
        KitError: it reaches outside the folder, or holds more than competitions have or than there is space for.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            _check(members, archive, folder)
            for member in over(members, f"unpacking {archive.name}", "files"):
                with replacing(folder / member.filename) as part:
                    _extract(content, member, part)
    except FileNotFoundError:
        raise KitError(f"{archive} does not exist; make it or download it first") from None
    except KitError:
        raise
    except _DAMAGE as error:
        raise Damaged(f"{archive} arrived damaged ({str(error)[:200]})") from None
    return len(members)


def _extract(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member; zipfile reads no more of it than the size that `_check` added up."""
    with content.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _check(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    if len(members) > MOST_MEMBERS:
        raise KitError(f"{archive} holds {len(members):,} files, more than a competition has; it is not unpacked")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if not path.parts or len(path.name.encode()) > 200:
            raise KitError(f"{archive} holds a file with the name {member.filename[:50]!r}; it is not unpacked")
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link:
            raise KitError(
                f"{archive} holds {member.filename[:200]!r}, which reaches outside {folder}; it is not unpacked"
            )
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if needed > LARGEST_CONTENT:
        raise KitError(
            f"{archive} claims {needed / 1e9:,.0f} GB unpacked, more than competitions have; it is not unpacked"
        )
    if needed > free:
        raise KitError(f"{archive} needs {needed / 1e9:.1f} GB unpacked and {free / 1e9:.1f} GB are free; make space")
