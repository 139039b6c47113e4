"""Run notebooks on Kaggle's GPUs: push one that carries the kit, follow it, bring its run back."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from kit.competition import client, kernel_output, portable, pulling
from kit.competition.names import competition_slug, kernel_name
from kit.competition.waiting import LONG_PATIENCE
from kit.errors import KitError
from kit.run import Run, travels
from kit.system import files
from kit.system.paths import workspace

if TYPE_CHECKING:
    from kaggle.api.kaggle_api_extended import KaggleApi

ACCELERATOR = "NvidiaTeslaT4"  # Kaggle's name for two T4s
_SLOWEST_UPLOAD = 50_000  # bytes per second, less than which an upload is given up
_OWNER = "your-user-name"  # in a dry run
_POLLS = (5.0, 10.0, 15.0, *(30.0,) * 1500)  # seconds between looks at a kernel: half a day and some


@dataclass(frozen=True)
class Pushed:
    """A kernel: `owner/slug`, its page and version (neither in a dry run), and the folder it came from."""

    kernel: str
    url: str
    version: int | None
    folder: Path


def push(
    notebooks: Sequence[str | Path] = ("train", "submit"), parameters: Mapping[str, Any] | None = None, *,
    name: str | None = None, resume_kernel: str | None = None, resume_run: str | None = None,
    slug: str | None = None, accelerator: str = ACCELERATOR, dry_run: bool = False,
) -> Pushed:  # fmt: skip
    """Put notebooks on Kaggle as one private GPU kernel without internet, the kit inside it.

    Args:
        notebooks: names of the kit's notebooks, or .ipynb files, in the order to run them.
        parameters: their parameters; `run` names the run folder that comes back.
        name: the kernel's name; `kit-<run>` by default.
        resume_kernel: an earlier kernel, `slug` or `owner/slug`; its run of the same name is continued.
        resume_run: a run of this machine that the kernel continues; it is uploaded as a private dataset.
        slug: the competition, if not the usual one.
        accelerator: Kaggle's name of the machine.
        dry_run: write the kernel's folder and send nothing.

    Returns:
        The kernel; its folder is build/kernels/<slug>.

    Raises:
        KitError: a parameter that no notebook knows, no credentials, or Kaggle refuses.
    """
    if resume_kernel and resume_run:
        raise KitError("a kernel resumes one thing: give resume_kernel or resume_run, not both")
    parameters = dict(parameters or {})
    if parameters.get("upload"):
        raise KitError("a pushed notebook has no internet to upload with; pull its CSV and submit that")
    run = parameters.get("run") or resume_run or parameters.get("recipe") or "paper"
    if any(portable.takes(notebook, "run") for notebook in notebooks):
        parameters["run"] = run
    own_slug = kernel_slug(name or f"kit-{run}")
    folder = workspace() / "build" / "kernels" / own_slug
    api = None if dry_run else client.connect()
    owner = api.config_values["username"] if api else os.environ.get("KAGGLE_USERNAME", _OWNER)
    source = _source(api, owner, resume_kernel, resume_run)
    attach = f"from kit.competition.session import attach\n\nattach({run!r}, {source!r})" if source else ""
    keep = f"from kit.competition.session import keep_notebook\n\nkeep_notebook({run!r})"
    files.write_text(folder / f"{own_slug}.ipynb", portable.carry(notebooks, parameters, attach, keep))
    sources = {
        "competition_sources": [competition_slug(slug)],
        "kernel_sources": [source] if resume_kernel else [],
        "dataset_sources": [source] if resume_run else [],
    }
    files.write_json(folder / "kernel-metadata.json", _metadata(owner, own_slug, accelerator) | sources)
    if api is None:
        print(f"nothing sent; to send it: kaggle kernels push -p {folder}")
        return Pushed(f"{owner}/{own_slug}", "", None, folder)
    return _save(api, f"{owner}/{own_slug}", folder)


def kernel_slug(name: str) -> str:
    """The slug that Kaggle makes of a kernel's name.

    Raises:
        KitError: too short or too long for Kaggle.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not 5 <= len(slug) <= 50:
        raise KitError(f"a kernel's name needs 5 to 50 letters and digits, not {name!r}; give another name")
    return slug


def _metadata(owner: str, slug: str, accelerator: str) -> dict[str, Any]:
    return {
        "id": f"{owner}/{slug}",
        "title": slug.replace("-", " "),  # Kaggle wants a title that turns into the slug
        "code_file": f"{slug}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": accelerator,
        "model_sources": [],
    }


def _source(api: "KaggleApi | None", owner: str, kernel: str | None, run: str | None) -> str | None:
    """The kernel or dataset, `owner/slug`, that brings the checkpoint."""
    if kernel:
        kernel = kernel_name(kernel)
        return kernel if "/" in kernel else f"{owner}/{kernel}"
    if not run:
        return None
    dataset = f"{owner}/{kernel_slug(f'kit-run-{run}')}"
    if api:
        _upload_run(api, dataset, Run.load(run))
    return dataset


def _save(api: "KaggleApi", kernel: str, folder: Path) -> Pushed:
    page = f"https://www.kaggle.com/code/{kernel}"
    try:
        with client.explained(f"pushing {kernel}"):  # and not retried: a second version would use up GPU hours
            answer = client.asked(api.kernels_push, str(folder), patience=LONG_PATIENCE)
    except client.Refused:
        raise
    except KitError as error:
        raise KitError(f"{error}; it may run all the same, so look at {page} first") from None
    if answer.error:
        raise client.Refused(f"pushing {kernel}: Kaggle refuses: {answer.error}")
    sources = (
        answer.invalid_competition_sources,
        answer.invalid_kernel_sources,
        answer.invalid_dataset_sources,
    )
    if left_out := [source for group in sources for source in group]:
        raise client.Refused(
            f"{kernel} was pushed, but may not use {', '.join(left_out)}; accept the competition's rules, "
            "check the names, and push again"
        )
    print(f"pushed {kernel}, version {answer.version_number}: {answer.url or page}")
    return Pushed(kernel, answer.url or page, answer.version_number, folder)


# the checkpoint of a local run


def _upload_run(api: "KaggleApi", dataset: str, run: Run) -> None:
    """Upload what a resume needs as a private dataset, or its next version, and wait until it can be used."""
    if not run.checkpoint_path.is_file():
        raise KitError(f"{run.folder} has no checkpoint to go on from; choose a run that was trained here")
    with tempfile.TemporaryDirectory() as folder, client.explained(f"uploading the run as {dataset}"):
        for path in run.folder.iterdir():
            if path.suffix in (".pt", ".safetensors", ".json", ".csv") and travels(path.name):
                shutil.copyfile(path, Path(folder) / path.name)
        slug = dataset.split("/")[1]
        about = {"id": dataset, "title": slug, "licenses": [{"name": "other"}]}
        files.write_json(Path(folder) / "dataset-metadata.json", about)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        patience = LONG_PATIENCE + size / _SLOWEST_UPLOAD
        if _status(api, dataset) is None:
            answer = client.asked(api.dataset_create_new, folder, public=False, quiet=True, patience=patience)
        else:
            notes: dict[str, Any] = {"version_notes": "a later checkpoint", "quiet": True}
            answer = client.asked(api.dataset_create_version, folder, patience=patience, **notes)
    if answer.error:
        raise client.Refused(f"uploading the run as {dataset}: Kaggle refuses: {answer.error}")
    for pause in _POLLS[:40]:
        if _status(api, dataset) == "ready":
            return
        print(f"waiting until Kaggle has unpacked {dataset}", flush=True)
        time.sleep(pause)
    raise KitError(f"Kaggle has not unpacked {dataset} after a quarter of an hour; look there and push again")


def _status(api: "KaggleApi", dataset: str) -> str | None:
    """The dataset's state in Kaggle's word, None if there is no such dataset."""
    try:
        return str(client.retried(api.dataset_status, dataset)).lower()
    except requests.HTTPError as error:
        if client.status_code(error) in (403, 404):
            return None
        raise


# the way back


def pull(kernel: str | None = None, *, wait: bool = True) -> list[Path]:
    """Follow a kernel until it ends, and bring back its run folder, executed notebook, CSV and log.

    Nothing is overwritten but an earlier state of the same run: a run or a CSV that differs from the one here is kept
    beside it, and a ledger is never taken.

    Args:
        kernel: `slug` or `owner/slug`, or the address of its page; by default the one that was pushed last from here.
        wait: whether to wait for its end; False brings back what there is.

    Returns:
        The files as they lie in this workspace: runs/<run>/, submissions/, build/kernels/<slug>/.

    Raises:
        KitError: no such kernel, no connection, or the kernel failed (after its files were brought).
    """
    api = client.connect()
    kernel = kernel_name(kernel) if kernel else _last_pushed()
    kernel = kernel if "/" in kernel else f"{api.config_values['username']}/{kernel}"
    state, failure = _follow(api, kernel, wait)
    home = workspace() / "build" / "kernels" / kernel.split("/")[1]
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=_made(home)) as stage:
        with client.explained(f"bringing back the output of {kernel}"):
            kernel_output.fetch(api, kernel, Path(stage))
        brought = pulling.put_away(Path(stage), home)
    for path in brought:
        print(f"brought {path}")
    if state not in ("complete", "queued", "running"):
        raise KitError(f"{kernel} ended with {state}: {failure or 'no reason given'}; its log is in {home}")
    return brought


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _last_pushed() -> str:
    folders = (workspace() / "build" / "kernels").glob("*/kernel-metadata.json")
    if not (latest := max(folders, key=lambda path: path.stat().st_mtime, default=None)):
        raise KitError("no kernel was pushed from here; name one as owner/slug")
    return files.read_json(latest)["id"]


def _state(api: "KaggleApi", kernel: str) -> Any:
    """Kaggle's answer about the kernel: its status, and why it failed if it did."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

    request = ApiGetKernelSessionStatusRequest()
    request.user_name, request.kernel_slug = kernel.split("/")

    def ask() -> Any:
        with api.build_kaggle_client() as kaggle:
            return kaggle.kernels.kernels_api_client.get_kernel_session_status(request)

    with client.explained(f"asking how {kernel} is doing"):
        try:
            return client.retried(ask)
        except requests.HTTPError as error:
            if client.status_code(error) not in (401, 403, 404):
                raise
            raise client.Refused(f"Kaggle shows no kernel {kernel} to this account; check the name") from None


def _follow(api: "KaggleApi", kernel: str, wait: bool) -> tuple[str, str]:
    """The kernel's state in Kaggle's word, and why it failed if it did."""
    waited = 0.0
    for pause in _POLLS:
        answer = _state(api, kernel)
        state = answer.status.name.lower()
        print(f"{kernel}: {state}, {waited / 60:.0f} min", flush=True)
        if state not in ("queued", "running", "new_script", "cancel_requested") or not wait:
            return state, (answer.failure_message or "").strip()
        time.sleep(pause)
        waited += pause
    raise KitError(f"{kernel} is still {state} after half a day; look at https://www.kaggle.com/code/{kernel}")
