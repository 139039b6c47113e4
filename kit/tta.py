"""Test-time augmentation: the words of `tta`, and the views of an image that they stand for. No torch is needed."""

from itertools import product

from kit.augment import read_words
from kit.errors import KitError

ADAPTIVE = "adaptive"
TTA_VIEWS = {"none": 1, "flip": 2, "flip+shift": 10, ADAPTIVE: 18}  # of adaptive: if the flip leaves doubt
MAX_SHIFT = 4  # pixels: as far as the random crop of training moves an image

# (flip, rows down, columns right), nearest first and opposite shifts beside each other, so that any number of
# views stays nearly centred: the first 2 are the flip, the first 10 add the four neighbours by one pixel.
_SHIFTS = sorted(
    product(range(-MAX_SHIFT, MAX_SHIFT + 1), repeat=2),
    key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, max(shift, (-shift[0], -shift[1]))),
)
VIEWS = [(flip, down, right) for down, right in _SHIFTS for flip in (False, True)]


def views_of(tta: str | int) -> list[tuple[bool, int, int]]:
    """The views of test-time augmentation: mirrored or not, and pixels down and to the right.

    Raises:
        KitError: `tta` is no name of TTA_VIEWS and no number of views from 1 to 162.
    """
    text = str(tta)
    count = TTA_VIEWS.get(text) or (int(text) if text.isdecimal() and len(text) < 4 else 0)
    if not 1 <= count <= len(VIEWS):
        names = ", ".join(TTA_VIEWS)
        raise KitError(f"tta has to be {names} or a number of views from 1 to {len(VIEWS)}, not {tta!r}")
    return VIEWS[:count]


def chosen_views(tta: str, augment: str) -> str:
    """The word that `tta` stands for: `auto` is flip if training mirrors images, and none otherwise.

    Args:
        tta: auto, or what `views_of` takes.
        augment: the recipe's augmentation.

    Raises:
        KitError: `tta` or `augment` is not one of their words.
    """
    if tta == "auto":
        return "flip" if read_words(augment).mirrors else "none"
    views_of(tta)
    return tta
