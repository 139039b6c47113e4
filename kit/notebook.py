"""Run the notebooks headlessly, in order, through papermill."""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from kit import files
from kit.errors import KitError

ROOT = Path(__file__).resolve().parent.parent


def notebook_path(name: str) -> Path:
    """The notebook called `name`.

    Raises:
        KitError: the kit stands alone, without its notebooks.
    """
    path = ROOT / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise KitError(f"{path} is missing: run this from a clone of the repository, which holds the notebooks")
    return path


def execute(name: str, parameters: Mapping[str, Any], output: str | Path) -> Path:
    """Run a notebook and leave the executed copy at `output`, also where it fails.

    Args:
        name: explore, train, misclassification, submit or ablation.
        parameters: values for its parameters cell.
        output: where the executed notebook goes.

    Raises:
        KitError: a cell failed; the sentence names the notebook, the cell's error and the executed copy.
    """
    source, output = notebook_path(name), Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        with files.replacing(output) as part, _quiet():
            try:
                papermill.execute_notebook(source, part, dict(parameters), progress_bar=False, cwd=str(Path.cwd()))
            except PapermillExecutionError:
                os.replace(part, output)
                raise
    except PapermillExecutionError as error:
        raise KitError(f"{name} failed with {error.ename}: {error.evalue} (see {output})") from None
    return output


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of Jupyter's machinery, which kernels write to the process's own stderr, from the screen."""
    screen = os.dup(2)
    with tempfile.TemporaryFile() as hidden, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def execute_all(names: list[str], parameters: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Run notebooks in order, a line each, stopping at the first failure.

    Args:
        names: which notebooks.
        parameters: of each notebook, by its name.
        folder: where the executed notebooks go.

    Raises:
        KitError: as in `execute`.
    """
    done = []
    for name in names:
        began = time.monotonic()
        print(f"{name:18}", end="", flush=True)
        try:
            done.append(execute(name, parameters.get(name, {}), folder / f"{name}.ipynb"))
        except KitError:
            print("failed", flush=True)
            raise
        print(f"{time.monotonic() - began:5.0f} s   {done[-1]}", flush=True)
    return done
