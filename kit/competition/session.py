"""What a pushed notebook does on Kaggle beside its work: take a run over, and leave a copy of itself."""

import glob
import shutil
from pathlib import Path

from kit.errors import KitError
from kit.run import Run, travels
from kit.system.paths import KAGGLE_INPUT

_RUNNING_NOTEBOOK = Path("__notebook__.ipynb")  # Kaggle's papermill writes the outputs there after every cell


def attach(run: str, source: str, mounts: str | Path = KAGGLE_INPUT) -> Path:
    """Copy a run from an earlier kernel's output, or from a dataset, to where training goes on with it.

    A run that is already here stays as it is: the session was started again.

    Args:
        run: the run's name.
        source: the kernel or dataset, as `owner/slug`.
        mounts: the folder of mounted sources, read-only; kernels have been seen at several depths below it.

    Returns:
        The run's folder.

    Raises:
        KitError: the source is not mounted or holds no checkpoint of that run.
    """
    target, slug = Run(run), source.split("/")[-1]
    if target.checkpoint_path.is_file():
        return target.folder
    found = [Path(path).parent for path in glob.glob(f"{mounts}/**/checkpoint.pt", recursive=True)]
    found = [folder for folder in found if slug in folder.parts and folder.name in (run, slug)]
    if not found:
        raise KitError(
            f"there is no checkpoint of run {run} of {source} below {mounts}: let that kernel finish, "
            "give this one the same run, and push again"
        )
    target.folder.mkdir(parents=True, exist_ok=True)
    for path in found[0].iterdir():
        if path.is_file() and travels(path.name):
            shutil.copyfile(path, target.folder / path.name)  # without its permissions: the source is read-only
    print(f"run {run} goes on from {found[0]}")
    return target.folder


def keep_notebook(run: str) -> None:
    """Put a copy of this notebook as executed so far into the run's folder, which `pull` brings back."""
    folder = Run(run).folder
    if _RUNNING_NOTEBOOK.is_file() and folder.is_dir():
        shutil.copyfile(_RUNNING_NOTEBOOK, folder / "notebook.ipynb")
