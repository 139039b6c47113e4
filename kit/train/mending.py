"""Damaged files of a run folder: what the checkpoint knows is removed, so that a resume writes it again."""

from contextlib import suppress
from pathlib import Path

from kit.errors import KitError
from kit.run import WEIGHTS, Run
from kit.train.learner import Learner
from kit.train.log import RunLog


def damages(run: Run) -> dict[Path, str]:
    """The files of a run folder that cannot be read, and why; of a finished run also weights that are missing."""
    found = {}
    checks = {run.config_path: lambda: run.recipe, run.history_path: lambda: run.history,
              run.metrics_path: lambda: run.metrics}  # fmt: skip
    checks = {path: check for path, check in checks.items() if path.exists()}
    if run.finished:
        with suppress(KitError):  # without a recipe nobody can tell what the weights should be
            run.recipe  # noqa: B018
            checks |= {run.folder / name: (lambda which=which: run.model(which)) for which, name in WEIGHTS.items()}
    for path, check in checks.items():
        try:
            check()
        except KitError as error:
            found[path] = str(error)
    return found


def clear_damages(run: Run) -> None:
    """Remove damaged files, so that going on from the checkpoint writes them again; prints what it does.

    Raises:
        KitError: files are damaged and there is no checkpoint.
    """
    if not (found := damages(run)):
        return
    if run.load_checkpoint() is None:
        if run.finished or run.config_path in found:
            raise KitError(f"{next(iter(found.values()))}; it has no checkpoint: start over with resume False")
        return
    for path in found:
        print(f"{path} is damaged or missing: rebuilding it from the checkpoint", flush=True)
        path.unlink(missing_ok=True)
    run.metrics_path.unlink(missing_ok=True)  # the run counts as unfinished until all files are there


def rebuild_weights(run: Run, learner: Learner, log: RunLog) -> None:
    """Write the weights that a finished training lacks, from the last epoch's, which `learner` holds."""
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
