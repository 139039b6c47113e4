"""Run the notebooks headlessly, in order, through papermill."""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from kit.errors import KitError
from kit.system import files, progress
from kit.system.interrupt import PassedOn
from kit.system.machine import environment_of_child
from kit.system.paths import ROOT
from kit.workflow.streaming import Stream


def notebook_path(name: str) -> Path:
    """The notebook called `name`.

    Raises:
        KitError: the kit stands alone, without its notebooks.
    """
    path = ROOT / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise KitError(f"{path} is missing: run this from a clone of the repository, which holds the notebooks")
    return path


def execute(name: str, parameters: Mapping[str, Any], output: str | Path, log: TextIO | Stream | None = None) -> Path:
    """Run a notebook and leave the executed copy at `output`, also if it fails.

    SIGTERM and SIGINT reach the notebook's kernel, where a training saves and ends.

    Args:
        name: explore, train, misclassification, submit or ablation.
        parameters: values for its parameters cell.
        output: where the executed notebook goes.
        log: where what the notebook prints goes as well, as it comes.

    Raises:
        KitError: a cell failed; the sentence names the notebook, the cell's error and the executed copy.
    """
    source, output = notebook_path(name), Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    enter_cell = log.enter_cell if isinstance(log, Stream) else None
    try:
        with files.replacing(output) as part, _quiet():
            try:
                papermill.execute_notebook(
                    source, part, dict(parameters), progress_bar=False, cwd=str(Path.cwd()), stdout_file=log,
                    stderr_file=log, start_timeout=300, kernel_manager_class=OwnKernelManager,
                    kernel_name="python3", language="python", on_cell_start=enter_cell,
                )  # fmt: skip
            except (PapermillExecutionError, DeadKernelError):
                os.replace(part, output)
                raise
    except PapermillExecutionError as error:
        reason = error.evalue if error.ename == "Stopped" else f"{name} failed with {error.ename}: {error.evalue}"
        raise KitError(f"{reason} (see {output})") from None
    except DeadKernelError:
        raise KitError(f"the process of {name} was stopped, or lacked memory (see {output})") from None
    return output


class OwnKernelManager(AsyncKernelManager):
    """Starts this interpreter as the kernel, and passes this process's SIGTERM and SIGINT on to it, as one SIGTERM.

    The kernels that the machine or the notebook names may lie in an environment that is gone or that lacks the kit's
    packages, so they are not looked at.

    A kernel leads a session of its own, so that no interrupt of a terminal reaches it, and it ignores SIGINT between
    cells. SIGTERM asks a training to save and end, and ends every other work at once.
    """

    _signals: PassedOn | None = None

    @property
    def kernel_spec(self) -> KernelSpec:
        """ipykernel in the interpreter that runs this."""
        if self._kernel_spec is None:
            self._kernel_spec = KernelSpec(**get_kernel_dict())
        return self._kernel_spec

    async def start_kernel(self, **arguments: Any) -> None:  # type: ignore[override]  # run_sync hides the base's type
        """Start the kernel, which finds this kit; heed signals from then on if this is the main thread."""
        environment = environment_of_child()
        environment.pop("JPY_SESSION_NAME", None)  # this kernel's notebook is open nowhere
        await super().start_kernel(**{"env": environment, **arguments})
        self._signals = PassedOn(lambda: getattr(self.provisioner, "pid", None))
        self._signals.begin()

    async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]  # as above
        """Stop passing signals on."""
        if self._signals is not None:
            self._signals.end()
        await super().cleanup_resources(restart)


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
    """Run notebooks in order, stopping at the first failure: a line each, with the train notebook's rows as they come.

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
        watching = nullcontext() if progress.quiet() else Stream(everything=name == "train")
        try:
            with watching as stream:
                done.append(execute(name, parameters.get(name, {}), folder / f"{name}.ipynb", log=stream))
        except KitError:
            print("failed", flush=True)
            raise
        again = f"{name:18}" if stream and stream.begun else ""
        print(f"{again}{time.monotonic() - began:5.0f} s   {done[-1]}", flush=True)
    return done
