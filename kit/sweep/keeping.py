"""Records that are kept: what a finished run tells of itself, copied to where it can be committed."""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from kit.ablation import RESULTS, settings_of
from kit.errors import KitError
from kit.run import Run
from kit.system import files

_KIND = "classes", "images", "way"  # where one of them differs, the figures are of another experiment
_COPIED = ("history.csv", "metrics.json")


def keep_record(trained: Run, results: Path | None = None) -> Path:
    """Copy a finished run's config, history and metrics to `results` (default: notebooks/results), whole or not at all.

    An earlier record of the same recipe on the same classes is replaced. Paths of this machine are shortened to their
    last part.

    Raises:
        KitError: another recipe's record, or one of other images, has the name; or a file cannot be read or written.
    """
    target = (results or RESULTS) / trained.name
    _refuse_another(trained, Run(target.resolve()))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".keeping-", dir=target.parent, ignore_cleanup_errors=True) as beside:
            _copy(trained, Path(beside, "new"))
            _exchange(Path(beside, "new"), target, Path(beside, "old"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise KitError(
            f"cannot keep {trained.folder} as {target}: {reason}; free some space or choose a checkout you can write to"
        ) from error
    return target


def without_folders(text: str) -> str:
    """The text with every absolute path shortened to its last part."""
    return re.sub(r"(?<![\w.])/(?:[^/\s]+/)*([^/\s]+)", r"\1", text)


def _refuse_another(trained: Run, kept: Run) -> None:
    if not kept.config_path.is_file():
        return
    remedy = "move it away, or give the run another name"
    if settings_of(kept) != settings_of(trained):
        raise KitError(f"{kept.folder} is the record of another recipe: {remedy}")
    before, now = kept.config, trained.config
    if any(before.get(name) != now.get(name) for name in _KIND):
        raise KitError(f"{kept.folder} is the record of other images or of another way of training: {remedy}")


def _copy(trained: Run, folder: Path) -> None:
    config = trained.config
    config |= {name: without_folders(config[name]) for name in ("data", "command")}
    files.write_json(folder / "config.json", config)
    for name in _COPIED:
        files.write_bytes(folder / name, (trained.folder / name).read_bytes())


def _exchange(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the place of `target`, which goes to `old`, or comes back where that fails."""
    replaced = target.exists()
    if replaced:
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if replaced:
            os.replace(old, target)
        raise
