"""What made a submission, and the name of its CSV."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.system.paths import workspace

if TYPE_CHECKING:  # this package is imported without torch, so that the command line answers at once
    from kit.analysis import Answers, Forecast
    from kit.run import Run

_LONGEST_NAME = 100  # characters; file systems take 255 bytes


def submission_path(runs: "Sequence[Run]") -> Path:
    """Where the CSV of these runs is written: submissions/<run>.csv, or <run>+<run>.csv if they are averaged.

    A name of more than 100 characters is cut, and ends in a hash of the whole.
    """
    name = "+".join(run.name for run in runs)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return workspace() / "submissions" / f"{name}.csv"


def describe(runs: "Sequence[Run]", weights: str, tta: str, source: "Answers",
             expectation: "Forecast | None" = None, amp: str = "auto") -> dict[str, Any]:  # fmt: skip
    """What is kept beside the CSV: runs, recipes, hashes of the weights, views, accuracy and expected scores.

    Args:
        runs: one run, or those that were averaged.
        weights: `last` or `best`.
        tta: the views of test-time augmentation.
        source: the answers of the runs together to the first run's validation images.
        expectation: of the score on the leaderboard.
        amp: the precision that predicted.
    """
    return {
        "run": "+".join(run.name for run in runs),
        "recipe": [run.config["recipe"] for run in runs],
        "weights": weights,
        "weights_sha256": [sha256(run.weights_path(weights)) for run in runs],
        "accuracy": round(100 * source.accuracy, 4),
        "split": runs[0].config["recipe"]["split"],
        "tta": tta,
        "amp": amp,
        "expected": expectation.as_record() if expectation else None,
    }


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
