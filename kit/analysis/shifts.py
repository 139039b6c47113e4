"""Change images on purpose, to see what a network is weak at.

SMALL_CHANGES hardly change the answers of a good network; LARGE_CHANGES names those of them that do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.analysis.answers import Answers
from kit.analysis.calibration import wilson
from kit.predict import predict
from kit.system.progress import over

Change = Callable[[Tensor, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class Shift:
    """A way of changing images, in several strengths.

    Attributes:
        name: what changes.
        unit: a strength in words, with `{}` for the number.
        strengths: from weak to strong.
        change: function of uint8 images (N, 3, H, W), a strength and a generator; returns images of the same form.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    change: Change

    def apply(self, images: Tensor, strength: float, seed: int = 0) -> Tensor:
        """The changed images, uint8 (N, 3, H, W); the same seed gives the same images."""
        return self.change(images.cpu(), strength, torch.Generator().manual_seed(seed))


def in_floats(change: Change) -> Change:
    """A change of uint8 images from one of float images with values from 0 to 1; the result is rounded."""

    def changed(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        values = change(images.float() / 255, strength, generator)
        return values.clamp(0, 1).mul(255).round().to(torch.uint8)

    return changed


def _transforms() -> ModuleType:
    from torchvision.transforms.v2 import functional  # takes two seconds, and a CSV is made without it

    return functional


@in_floats
def blur(images: Tensor, sigma: float, _: torch.Generator) -> Tensor:
    """Gaussian blur; `sigma` in pixels."""
    return _transforms().gaussian_blur(images, 2 * int(3 * sigma + 0.5) + 1, sigma)


def brightness(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    """Multiply all values by `factor`."""
    return _transforms().adjust_brightness(images, factor)


def saturation(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    """Blend with the grey image: a factor of 0 is grey, 1 changes nothing."""
    return _transforms().adjust_saturation(images, factor)


@in_floats
def move(images: Tensor, distance: float, generator: torch.Generator) -> Tensor:
    """Move each image by `distance` pixels along both axes in a random direction; the border is reflected."""
    d, side = int(distance), images.shape[2]
    padded = F.pad(images, (d,) * 4, mode="reflect")
    corners = torch.stack([padded[:, :, r : r + side, c : c + side] for r in (0, 2 * d) for c in (0, 2 * d)])
    return corners[torch.randint(4, (len(images),), generator=generator), torch.arange(len(images))]


def rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Rotate each image by `degrees`, to the left or to the right at random."""
    transforms, clockwise = _transforms(), torch.rand(len(images), generator=generator)[:, None, None, None] < 0.5
    left, right = (
        transforms.rotate(images, angle, transforms.InterpolationMode.BILINEAR) for angle in (degrees, -degrees)
    )
    return torch.where(clockwise, right, left)


def _mirror(images: Tensor, _: float, __: torch.Generator) -> Tensor:
    return images.flip(3)


def _turn_over(images: Tensor, _: float, __: torch.Generator) -> Tensor:
    return images.flip(2)


SMALL_CHANGES = (
    Shift("moved", "{:g} px", (1, 2, 4), move),
    Shift("mirrored left to right", "", (1,), _mirror),
    Shift("upside down", "", (1,), _turn_over),
    Shift("rotated", "{:g} degrees", (5, 10), rotate),
    Shift("darker", "x {:g}", (0.9, 0.7), brightness),
    Shift("brighter", "x {:g}", (1.1, 1.3), brightness),
    Shift("grey", "", (0.0,), saturation),
    Shift("blurred", "sigma {:g} px", (0.4, 0.6), blur),
)

LARGE_CHANGES = ("upside down", "grey")  # these may cost a good network much


def answers_under(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    shifts: Sequence[Shift],
    **options,
) -> dict[tuple[str, str], Answers]:
    """The network's answers under every strength of every shift, by (name, strength with its unit).

    Args:
        images: uint8 (N, 3, 32, 32).
        labels: int64 (N,).
        **options: as for `kit.predict.predict`.
    """
    changes = [(shift, strength) for shift in shifts for strength in shift.strengths]
    return {
        (shift.name, shift.unit.format(strength)): Answers(
            predict(model, shift.apply(images, strength), **options), labels, classes
        )
        for shift, strength in over(changes, "predicting changed images", "changes")
    }


def weaknesses(plain: Answers, changed: dict[tuple[str, str], Answers]) -> pd.DataFrame:
    """The accuracy that each change costs.

    Args:
        plain: the answers about the unchanged images.
        changed: from `answers_under`.

    Returns:
        One row per change: change, strength, accuracy, accuracy_low, accuracy_high (Wilson, 95 %), and cost, the points
        of accuracy lost.
    """
    rows = []
    for (name, strength), answers in changed.items():
        low, high = wilson(answers.right.sum(), len(answers))
        cost = 100 * (plain.accuracy - answers.accuracy)
        rows.append((name, strength, answers.accuracy, low, high, cost))
    return pd.DataFrame(rows, columns=["change", "strength", "accuracy", "accuracy_low", "accuracy_high", "cost"])
