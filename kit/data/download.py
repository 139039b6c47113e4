"""Download CIFAR-10 with torchvision, and show how far it is."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlretrieve

from kit.data import locations, official
from kit.errors import KitError
from kit.system.progress import Progress

_SECONDS_WITHOUT_ANSWER = 10.0


def download(folder: Path) -> Path:
    """Download the official batches to `folder`. An interrupted download leaves nothing there.

    Returns:
        The folder with the batches.

    Raises:
        KitError: the download failed.
    """
    existed = folder.exists()
    target = folder / official.FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as part, _impatient_sockets():
            _fetch(part)
            os.replace(Path(part, official.FOLDER), target)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError for a wrong checksum
        if official.holds_batches(target):  # another process of this training was faster
            return target
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise KitError(
            f"CIFAR-10 was not found in {locations.where_auto_looks()}, and the download failed ({error}); pass "
            f"-p data digits, or -p data with a folder that holds {locations.FORMS}, or set {locations.VARIABLE} to one"
        ) from None
    return target


def _fetch(folder: str) -> None:
    from torchvision.datasets import CIFAR10  # a second of import time that only a download needs
    from torchvision.datasets.utils import check_integrity

    archive = Path(folder, CIFAR10.filename)
    _retrieve(CIFAR10.url, archive)
    if not check_integrity(archive, CIFAR10.tgz_md5):
        raise RuntimeError(f"{CIFAR10.url} does not have the published md5 sum")
    CIFAR10(folder, download=True)  # finds the archive and unpacks it


def _retrieve(url: str, target: Path) -> None:
    """Download one file. Torchvision would show a bar that nothing silences, and that fills a log with its lines."""
    with Progress("downloading CIFAR-10", None, "bytes") as work:

        def count(blocks: int, block_size: int, total: int) -> None:
            work.total = total if total > 0 else None
            work.advance(min(blocks * block_size, work.total or blocks * block_size) - work.done)

        urlretrieve(url, target, count)


@contextlib.contextmanager
def _impatient_sockets() -> Iterator[None]:
    """Give sockets a time limit: torchvision sets none, and would wait for minutes behind a firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_WITHOUT_ANSWER)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
