"""The output of a kernel: fetched, checked for completeness, and put where the kit looks for it."""

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import requests

from kit.competition import client
from kit.errors import KitError
from kit.run import Run
from kit.system import files
from kit.system.paths import workspace

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
        KitError: a run of that name has more epochs here than there, or is of another recipe or of other images; then
            nothing is moved.
    """
    pairs = [(run, workspace() / "runs" / run.name) for run in stage.glob("runs/*")]
    for there, here in pairs:
        _check_continues(Run(here.resolve()), Run(there.resolve()))
    for there, here in pairs:
        if not Run(there.resolve()).finished:  # figures of the whole run would call the pulled one finished
            (here / "metrics.json").unlink(missing_ok=True)
    brought = []
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        within = path.relative_to(stage)
        target = (workspace() if within.parts[0] in ("runs", "submissions") else home) / within
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        brought.append(target)
    return brought


def _check_continues(here: Run, there: Run) -> None:
    ours, theirs = len(here.history), len(there.history)
    if ours > theirs:
        raise KitError(f"{here.folder} has {ours} epochs, the kernel {theirs}; move yours away and pull again")
    if not (here.config_path.is_file() and there.config_path.is_file()):
        return
    if any(here.config.get(word) != there.config.get(word) for word in ("recipe", "classes")):
        raise KitError(f"{here.folder} is a run of another recipe or of other images; move it away and pull again")
