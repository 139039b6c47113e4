"""Unpack a downloaded zip archive, checked, without letting it write anywhere else."""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from kit.errors import KitError
from kit.system.files import replacing


def unpack(archive: str | Path, folder: str | Path) -> int:
    """Unpack `archive` into `folder`; every file is checked against its CRC before it takes its name.

    Returns:
        The number of files.

    Raises:
        KitError: the archive is damaged (it is then removed), reaches outside the folder, or needs more space
            than there is.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            _check(members, archive, folder)
            for member in members:
                with replacing(folder / member.filename) as part:
                    _extract(content, member, part)
    except FileNotFoundError:
        raise KitError(f"{archive} does not exist; run the download again") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        archive.unlink()
        raise KitError(f"{archive} arrived damaged ({error}) and was removed; run the download again") from None
    return len(members)


def _extract(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with content.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _check(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link:
            raise KitError(f"{archive} holds {member.filename!r}, which reaches outside {folder}; it is not unpacked")
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise KitError(f"{archive} needs {needed / 1e9:.1f} GB unpacked and {free / 1e9:.1f} GB are free; make space")
