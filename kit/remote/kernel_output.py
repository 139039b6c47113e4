"""The output of a kernel: fetched, checked for completeness, and put where the kit looks for it."""

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import requests

from kit import files
from kit.errors import KitError
from kit.remote import client
from kit.run import Run
from kit.sources.places import workspace

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi


def fetch(api: "KaggleApi", kernel: str, stage: Path) -> None:
    """Fetch runs, submissions, top-level notebooks and CSVs below `stage`, and the log.

    The client's own `kernels_output` would keep an error page or half a file as if it were the file.

    Raises:
        requests.RequestException: no connection, or Kaggle refuses.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug = kernel.split("/")
    while True:
        with api.build_kaggle_client() as kaggle:
            answer = client.retried(kaggle.kernels.kernels_api_client.list_kernel_session_output, request)
        for item in answer.files or []:
            if _is_wanted(PurePosixPath(item.file_name)):
                client.retried(_fetch, item.url, stage / item.file_name)
        if answer.log:
            files.write_text(stage / f"{request.kernel_slug}.log", answer.log)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _is_wanted(path: PurePosixPath) -> bool:
    if path.is_absolute() or ".." in path.parts:
        return False
    return path.parts[0] in ("runs", "submissions") or (len(path.parts) == 1 and path.suffix in (".csv", ".ipynb"))


def _fetch(url: str, path: Path) -> None:
    response = requests.get(url, timeout=60)
    response.raise_for_status()
    files.write_bytes(path, response.content)


def put_away(stage: Path, home: Path) -> list[Path]:
    """Move runs/ and submissions/ to the workspace's and the rest to `home`, and return where they are now.

    Raises:
        KitError: a run of that name has more epochs here than there; then nothing is moved.
    """
    for run in stage.glob("runs/*"):
        here = workspace() / "runs" / run.name
        if _epochs(here) > _epochs(run):
            raise KitError(
                f"{here} has {_epochs(here)} epochs, the kernel {_epochs(run)}; move yours away and pull again"
            )
    brought = []
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        within = path.relative_to(stage)
        target = (workspace() if within.parts[0] in ("runs", "submissions") else home) / within
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        brought.append(target)
    return brought


def _epochs(run: Path) -> int:
    return len(Run(run.resolve()).history)
