"""Write a submission, check it, and say what it is made of."""

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kit.analysis import Answers, Forecast
from kit.data import Dataset, find_competition_test, load_competition_test
from kit.errors import KitError
from kit.run import Run
from kit.system import files

HEADER = ("ID", "Labels")
FEWEST, MOST = 0.07, 0.14  # shares of the predictions that a class of a balanced test set is expected to get
MEAN_SHIFT = 0.06  # of the range 0..1: natural photos stay within, swapped layouts or scaled values do not
SPREAD_RATIO = 1.35  # largest ratio, either way, of the test images' deviation or roughness to training's


def parse_header(text: str) -> tuple[str, str]:
    """Read the CSV's header from text such as `ID,Labels`.

    Raises:
        KitError: the text is not two different words joined by a comma.
    """
    words = tuple(w.strip() for w in text.split(","))
    if len(words) != 2 or not all(words) or words[0] == words[1]:
        raise KitError(f"header has to be two different words joined by a comma, such as ID,Labels, not {text!r}")
    return words


@dataclass(frozen=True, eq=False)
class ToLabel:
    """Images to label: uint8 (N, 3, 32, 32), int64 ids (N,), where they come from, and whether a CSV is wanted."""

    images: Tensor
    ids: Tensor
    source: str
    from_competition: bool


def images_to_label(test_file: str, data: str, dataset: Dataset) -> ToLabel:
    """The competition's test images, or the data set's own where the competition's file is not at hand.

    Args:
        test_file: the file, or auto to look for it where `data` is.
        data: where the images come from, as given to kit.data.load.
        dataset: what came from there; its test images stand in.

    Raises:
        KitError: a file is named that is not there or cannot be read.
    """
    path = find_competition_test(data) if test_file == "auto" else Path(test_file)
    if path is None:
        words = f"no competition file was found, so the data's {len(dataset.test_images):,} test images are predicted"
        return ToLabel(dataset.test_images, torch.arange(len(dataset.test_images)), words, False)
    test = load_competition_test(path)
    return ToLabel(test.images, test.ids, f"{len(test.ids):,} images of {path}", True)


def write_submission(path: str | Path, ids: Tensor, labels: Tensor, *, header: Sequence[str] = HEADER,
                     about: dict[str, Any] | None = None, sample: str | Path | None = None) -> Path:  # fmt: skip
    """Write one row an image, in the order of `ids`, and a JSON beside it that says where it comes from.

    Args:
        path: the CSV to write.
        ids: int64 (N,), as in the competition's test file.
        labels: int64 (N,), 0 to 9.
        header: names of the two columns.
        about: what to keep beside it: run, recipe, weights' hash, accuracy, split.
        sample: a sample_submission.csv to agree with.

    Raises:
        KitError: the ids or labels cannot be a submission, or the sample disagrees.
    """
    if len(ids) != len(labels):
        raise KitError(f"a submission needs one label an id, not {len(labels):,} labels for {len(ids):,} ids")
    table = pd.DataFrame({header[0]: ids.tolist(), header[1]: labels.tolist()})
    _check(table, tuple(header), ids.tolist(), sample)
    content = table.to_csv(index=False, lineterminator="\n").encode()
    described = {"file": Path(path).name, "sha256": hashlib.sha256(content).hexdigest(), "rows": len(table)}
    files.write_json(Path(path).with_suffix(".json"), described | (about or {}))
    files.write_bytes(path, content)
    return Path(path)


def check_submission(path: str | Path, *, ids: Tensor | Sequence[int] | None = None, header: Sequence[str] = HEADER,
                     sample: str | Path | None = None) -> pd.DataFrame:  # fmt: skip
    """Read a submission and make sure that Kaggle can score it.

    Args:
        path: the CSV.
        ids: the ids that it has to hold, in this order; None asks only that they are unique whole numbers.
        header: the names that its two columns have to have.
        sample: a sample_submission.csv to agree with.

    Returns:
        The table, one row an image.

    Raises:
        KitError: unreadable, wrong header, wrong row count, missing or duplicate ids, labels outside 0..9, or a sample
            that disagrees.
    """
    table = _read(path)
    _check(table, tuple(header), None if ids is None else torch.as_tensor(ids).tolist(), sample)
    return table


def _read(path: str | Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise KitError(f"{path} does not exist: write it with the submit notebook first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        reason = str(error).strip()
        raise KitError(f"{path} is not a CSV file ({reason}): write it again with the submit notebook") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes a surplus first field for a row's name
        raise KitError(f"{path} has rows with more fields than its header: write it again with the submit notebook")
    return table


def _check(table: pd.DataFrame, header: tuple[str, ...], ids: list[int] | None, sample: str | Path | None) -> None:
    if tuple(table.columns) != header:
        raise KitError(f"the header has to be {','.join(header)}, not {','.join(map(str, table.columns))}")
    found, labels = (_whole_numbers(table[name]) for name in header)
    if sample is not None:
        expected = _read(sample)
        if tuple(expected.columns) != header:
            raise KitError(f"{sample} has the header {','.join(expected.columns)}, this submission {','.join(header)}")
        ids = _whole_numbers(expected[header[0]]).tolist() if ids is None else ids
        if sorted(ids) != sorted(_whole_numbers(expected[header[0]])):
            raise KitError(f"{sample} lists other ids than the test file: use the sample of the same competition")
    if ids is not None and len(found) != len(ids):
        raise KitError(f"a submission needs {len(ids):,} rows, one an image, not {len(found):,}")
    values, counts = np.unique(found, return_counts=True)
    if len(found) == 0 or (counts > 1).any():
        what = f"id {values[counts > 1][0]} is there twice" if len(found) else "it has no rows"
        raise KitError(f"a submission needs exactly one row an id: {what}")
    if ids is not None and set(ids) != set(values.tolist()):
        raise KitError(f"id {min(set(ids) - set(values.tolist()))} is missing: a submission needs one row for every id")
    if ids is not None and found.tolist() != list(ids):
        raise KitError("the ids are not in the order of the test file: keep the file's order")
    if outside := sorted(set(labels.tolist()) - set(range(10))):
        raise KitError(f"labels have to be 0 to 9, not {outside[0]}")


def _whole_numbers(column: pd.Series) -> np.ndarray:
    try:
        return column.astype("int64").to_numpy()
    except (ValueError, TypeError, OverflowError):
        bad = next(v for v in column if not re.fullmatch(r"\s*-?[0-9]{1,18}\s*", str(v)))
        raise KitError(f"column {column.name} has to hold whole numbers, not {bad!r}") from None


def warn_of_unlikely_labels(labels: Tensor, classes: Sequence[str]) -> pd.Series:
    """Images a class among `labels`; a warning for each class that is oddly rare or frequent in a balanced test set."""
    counts = torch.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if not FEWEST <= count / len(labels) <= MOST:
            warnings.warn(
                f"{name} is predicted on {100 * count / len(labels):.1f} % of the images, where a balanced set has "
                f"about {100 / len(classes):.0f} %: check the images' layout and normalisation", stacklevel=2,
            )  # fmt: skip
    return pd.Series(counts.tolist(), index=list(classes), name="images")


def warn_of_unlike_images(images: Tensor, training_images: Tensor) -> pd.DataFrame:
    """Compare uint8 test images with training's; a warning where they are too unlike to be read and scaled rightly.

    Returns:
        Rows training and test; channel means and deviations (0..1), and roughness, the mean step between neighbouring
        pixels (0..1), which a swapped layout raises while it keeps means and deviations.
    """
    table = pd.DataFrame({"training": _look(training_images), "test": _look(images)}, index=list(_LOOK)).T
    shift = (table.loc["test"] - table.loc["training"]).abs().filter(like="mean").max()
    ratio = (table.loc["test"] / table.loc["training"]).drop(list(_LOOK[:3]))
    factor = max(ratio.max(), 1 / ratio.min()) if ratio.min() > 0 else float("inf")
    if shift > MEAN_SHIFT or factor > SPREAD_RATIO:
        warnings.warn(
            f"the test images are unlike the training images (a channel mean differs by {shift:.2f}, deviation or "
            f"roughness by a factor of {factor:.2f}): check that they are 0..255 RGB in the right layout",
            stacklevel=2,
        )
    return table


_LOOK = ("mean red", "mean green", "mean blue", "deviation red", "deviation green", "deviation blue", "roughness")


def _look(images: Tensor) -> list[float]:
    some = images[:: max(len(images) // 5000, 1)].float().div(255)
    rough = some.diff(dim=3).abs().mean().item()
    return [*some.mean((0, 2, 3)).tolist(), *some.std((0, 2, 3)).tolist(), rough]


def describe(runs: Sequence[Run], weights: str, tta: str, source: Answers,
             expectation: Forecast | None = None) -> dict[str, Any]:  # fmt: skip
    """What made a submission: runs, recipes, weights with their hashes, views, what these reach, and expected scores.

    Args:
        runs: one, or those that were averaged.
        weights: last or best.
        tta: the views.
        source: what all this together answers to the first run's validation images.
        expectation: of the leaderboard's score.
    """
    return {
        "run": "+".join(run.name for run in runs),
        "recipe": [run.config["recipe"] for run in runs],
        "weights": weights,
        "weights_sha256": [sha256(run.weights_path(weights)) for run in runs],
        "accuracy": round(100 * source.accuracy, 4),
        "split": runs[0].config["recipe"]["split"],
        "tta": tta,
        "expected": expectation.as_record() if expectation else None,
    }


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
