"""The images that a submission labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import KitError
from kit.system import paths

if TYPE_CHECKING:  # this room is imported without torch, so that the command line answers at once
    from torch import Tensor

    from kit.data import Dataset
    from kit.run import Run


@dataclass(frozen=True, eq=False)
class ToLabel:
    """Images to label.

    Attributes:
        images: uint8 (N, 3, 32, 32).
        ids: int64 (N,).
        source: where they come from, in words.
        from_competition: whether they are the competition's, so that a CSV is wanted.
    """

    images: "Tensor"
    ids: "Tensor"
    source: str
    from_competition: bool


def find_test_file(test_file: str, data: str) -> Path | None:
    """The competition's test file that `images_to_label` will read, None if there is none.

    Args:
        test_file: the file; `auto` looks for it in the place that `data` names.
        data: where the images come from, as given to kit.data.load.

    Raises:
        KitError: a file is named that does not exist.
    """
    from kit.data import find_competition_test

    if test_file == "auto":
        return find_competition_test(data)
    path = paths.given(test_file)
    if not path.is_file():
        raise KitError(f"test_file {test_file} does not exist: give the competition's file, or auto")
    return path


def images_to_label(test_file: str, data: str, dataset: "Dataset", runs: "Sequence[Run]" = ()) -> ToLabel:
    """The test images of the competition, or those of the data set if the competition's file is not found.

    Args:
        test_file: the file; `auto` looks for it in the place that `data` names.
        data: where the images come from, as given to kit.data.load.
        dataset: the data set from there; its test images are used if there is no competition file.
        runs: the runs that will predict; each has to be trained on `dataset`.

    Raises:
        KitError: a file is named that does not exist or cannot be read, a run was trained on other images, or the
            classes of `dataset` are not certainly the competition's, so that its numbers would be wrong.
    """
    import torch

    from kit.data import check_competition_classes, load_competition_test

    for run in runs:
        run.check_images(dataset)
    path = find_test_file(test_file, data)
    if path is None:
        words = f"no competition file was found, so the data's {len(dataset.test_images):,} test images are predicted"
        return ToLabel(dataset.test_images, torch.arange(len(dataset.test_images)), words, False)
    check_competition_classes(dataset.classes)
    test = load_competition_test(path)
    return ToLabel(test.images, test.ids, f"{len(test.ids):,} images of {path}", True)
