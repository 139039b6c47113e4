"""The output of a kernel: listed and fetched below a temporary folder."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kit.competition import client
from kit.competition.filestreaming import stream
from kit.errors import KitError
from kit.run import travels
from kit.system import files

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

LARGEST_OUTPUT = 20_000_000_000  # bytes that Kaggle keeps of a kernel
_MOST_PAGES = 1000
_PART = re.compile(r"[\w+-][\w .+-]{0,149}")  # of a path: no hidden file, no drive, no control character


def fetch(api: "KaggleApi", kernel: str, stage: Path) -> None:
    """Fetch runs, submissions, top-level notebooks and CSVs below `stage`, and the log.

    The client's own `kernels_output` would keep an error page or half a file as if it were the file, and would take
    any name.

    Raises:
        KitError: the output is larger than Kaggle can keep or than the disk has free.
        requests.RequestException: no connection, or Kaggle refuses.
    """
    left, slug = LARGEST_OUTPUT, kernel.split("/")[1]
    for answer in _pages(api, kernel):
        for item in answer.files or []:
            if _is_wanted(str(item.file_name)):
                path = stage / str(item.file_name)
                print(f"fetching {item.file_name}", flush=True)
                left -= client.repeated(partial(stream, str(item.url), path, left))
        if answer.log:
            files.write_text(stage / f"{slug}.log", str(answer.log))


def _pages(api: "KaggleApi", kernel: str) -> Iterator[Any]:
    """Kaggle's list of the kernel's output files, page by page."""
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug = kernel.split("/")

    def ask() -> Any:
        with api.build_kaggle_client() as kaggle:
            return kaggle.kernels.kernels_api_client.list_kernel_session_output(request)

    for _ in range(_MOST_PAGES):
        answer = client.retried(ask)
        yield answer
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token
    raise KitError(f"Kaggle lists the output of {kernel} without end; look at its page")


def _is_wanted(name: str) -> bool:
    """Whether the file is runs/<run>/<file>, a CSV of submissions/ or its JSON, or a notebook or CSV at the top.

    A ledger is never taken, as the one here is the record, and neither are files that concern the other machine alone.
    """
    path = PurePosixPath(name)
    parts = path.parts
    if not parts or name != str(path) or not all(_PART.fullmatch(part) for part in parts):
        return False
    if parts[0] == "runs":
        return len(parts) == 3 and travels(parts[2])
    if parts[0] == "submissions":
        return len(parts) == 2 and path.suffix in (".csv", ".json") and path.stem.lower() != "ledger"
    return len(parts) == 1 and path.suffix in (".csv", ".ipynb")
