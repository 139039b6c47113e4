"""Read images: CIFAR-10 in its known forms, the competition's test file, digits; and split them.

In: a folder, an archive, `auto` or `digits`. Out: uint8 images (N, 3, 32, 32), int64 labels (N,) and class names.
May import: errors, system.
"""

from kit.data.classnames import check_competition_classes
from kit.data.dataset import spread
from kit.data.loading import (
    CLASSES,
    Dataset,
    Split,
    classes_of,
    find_competition_test,
    load,
    load_competition_test,
    split,
    write_competition_test,
)
from kit.data.locations import COMPETITIONS, local_data

__all__ = [
    "CLASSES",
    "COMPETITIONS",
    "Dataset",
    "Split",
    "check_competition_classes",
    "classes_of",
    "find_competition_test",
    "load",
    "load_competition_test",
    "local_data",
    "split",
    "spread",
    "write_competition_test",
]
