"""Download CIFAR-10 with torchvision, and show how far it is."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

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

    with mock.patch("torchvision.datasets.utils.tqdm", _Bar):
        CIFAR10(folder, download=True)


class _Bar(Progress):
    """In place of torchvision's bar, which nothing silences and which fills a log with thousands of lines."""

    def __init__(self, total: int | None = None, **_options: Any):
        super().__init__("downloading CIFAR-10", total, "bytes")

    def update(self, count: int) -> None:
        """Count the bytes that have arrived."""
        self.advance(count)


@contextlib.contextmanager
def _impatient_sockets() -> Iterator[None]:
    """Give sockets a time limit: torchvision sets none, and would wait for minutes behind a firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_WITHOUT_ANSWER)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
