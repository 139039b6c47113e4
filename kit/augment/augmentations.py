"""The words of a recipe's `augment`, such as `crop+flip+autoaugment`, read and checked without torch."""

from dataclasses import dataclass
from typing import Literal

from kit.errors import KitError

CROPS = ("crop", "reflect", "shift")  # by 4 pixels over black, by 4 over mirrored edges, by 2 over mirrored edges
FLIPS = ("flip", "alternate")  # half of the images at random; every image in every second epoch
POLICIES = {  # by word, the module of kit/augment/ and its function that draws a plan for a batch
    "autoaugment": ("policies", "draw_autoaugment"),
    "randaugment": ("policies", "draw_randaugment"),
    "trivialaugment": ("policies", "draw_trivialaugment"),
}
AUGMENTATIONS = (*CROPS, *FLIPS, *POLICIES)
MEANING = "none, or any of " + ", ".join(AUGMENTATIONS) + " joined by +"


@dataclass(frozen=True)
class Augmentations:
    """The augmentations that a recipe's `augment` names.

    Attributes:
        crop: pixels of padding before the random crop; 0 leaves it out.
        padding: black, or the image mirrored about its edge.
        flip: whether half of the images are mirrored, at random.
        alternate: whether every image is mirrored in every second epoch (Jordan 2024, arXiv:2404.00498).
        policy: a name of POLICIES, or None.
    """

    crop: int
    padding: Literal["zero", "reflect"]
    flip: bool
    alternate: bool
    policy: str | None

    @property
    def mirrors(self) -> bool:
        """Whether training sees mirrored images."""
        return self.flip or self.alternate


def read_words(text: str) -> Augmentations:
    """Read `none`, or words joined by +.

    Raises:
        KitError: a word is unknown, or two words cannot be combined.
    """
    words = {word for word in text.replace(" ", "").split("+") if word != "none"}
    if unknown := [word for word in sorted(words) if word not in AUGMENTATIONS]:
        raise KitError(f"augment has to be {MEANING}, not {text!r} ({unknown[0]!r} is unknown)")
    for group in (CROPS, FLIPS):
        if len(both := sorted(words.intersection(group))) > 1:
            raise KitError(f"augment takes one of {', '.join(sorted(group))}, not {' and '.join(both)}")
    policies = [word for word in POLICIES if word in words]
    if len(policies) > 1:
        raise KitError(f"augment takes one policy of {', '.join(POLICIES)}, not {' and '.join(policies)}")
    return Augmentations(
        crop=2 if "shift" in words else 4 if words.intersection(CROPS) else 0,
        padding="reflect" if words.intersection(("reflect", "shift")) else "zero",
        flip="flip" in words,
        alternate="alternate" in words,
        policy=policies[0] if policies else None,
    )
