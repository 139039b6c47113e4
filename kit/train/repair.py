"""Mend a run folder: damaged files are removed, and a resume writes them again from the checkpoint."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from kit.errors import KitError
from kit.run import WEIGHTS, Run
from kit.train.learner import Learner
from kit.train.log import RunLog


def damages(run: Run) -> dict[Path, str]:
    """The files of a run folder that cannot be read, and why; for a finished run also those that are missing."""
    found: dict[Path, str] = {}
    checks: dict[Path, Callable[[], object]] = {
        run.config_path: lambda: run.recipe,
        run.history_path: lambda: run.history,
        run.metrics_path: lambda: run.metrics,
    }
    checks = {path: partial(_read_existing, path, check) for path, check in checks.items()
              if run.finished or path.exists()}  # fmt: skip
    if run.finished and has_readable_config(run):  # weights can be checked only if the recipe is known
        checks |= {run.folder / name: partial(run.model, which) for which, name in WEIGHTS.items()}
    for path, check in checks.items():
        try:
            check()
        except KitError as error:
            found[path] = str(error)
    return found


def _read_existing(path: Path, read: Callable[[], object]) -> None:
    """Read a file that has to be there.

    Raises:
        KitError: it is missing, or `read` refuses it.
    """
    if not path.exists():
        raise KitError(f"{path} is missing")
    read()


def has_readable_config(run: Run) -> bool:
    """Whether the run's recipe can be read."""
    try:
        run.recipe  # noqa: B018
    except KitError:
        return False
    return True


def clear_damages(run: Run, damaged: Mapping[Path, str]) -> None:
    """Remove damaged files, so that a resume writes them again; print their names.

    Args:
        run: the run that is to go on.
        damaged: the answer of `damages`.

    Raises:
        KitError: files are damaged and there is no checkpoint.
    """
    if not damaged:
        return
    if run.load_checkpoint() is None:
        if run.finished or run.config_path in damaged:
            raise KitError(f"{next(iter(damaged.values()))}; it has no checkpoint: start over with resume False")
        return
    for path in damaged:
        print(f"{path} is damaged or missing: rebuilding it from the checkpoint", flush=True)
        path.unlink(missing_ok=True)
    run.metrics_path.unlink(missing_ok=True)  # so that the run is unfinished until all files are there


def rebuild_weights(run: Run, learner: Learner, log: RunLog) -> None:
    """Write the weights that are missing after the last epoch, from those that `learner` holds."""
    with learner.weights_to_judge() as model:
        if not (run.folder / WEIGHTS["last"]).is_file():
            log.keep_weights("last", model)
        if not (run.folder / WEIGHTS["best"]).is_file():
            if log.best == log.rows[-1]:
                log.keep_weights("best", model)
            else:
                remedy = "use the last epoch's, or start over with resume False"
                print(f"the checkpoint has no weights of the best epoch: {remedy}", flush=True)
    log.write_weights()
