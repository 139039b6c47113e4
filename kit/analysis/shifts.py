"""Made changes of the images: what a network is weak at, and how far an estimate of accuracy can be trusted.

MADE_SHIFTS are damage after Hendrycks and Dietterich 2019 (arXiv:1903.12261) and changes of framing, each in
three strengths that were written down before anything was measured on them. SMALL_CHANGES are what a good
network should hardly notice.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from kit.analysis.answers import Answers
from kit.analysis.calibration import wilson
from kit.predict import predict

Change = Callable[[Tensor, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class Shift:
    """A way of changing images, in several strengths.

    Attributes:
        name: what is done.
        unit: what a strength says, with a place for the number.
        strengths: from weak to strong.
        change: uint8 (N, 3, H, W), a strength and a generator to the same shape and type.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    change: Change

    def apply(self, images: Tensor, strength: float, seed: int = 0) -> Tensor:
        """The changed images; the same for the same seed. uint8 (N, 3, H, W) to the same."""
        return self.change(images.cpu(), strength, torch.Generator().manual_seed(seed))


def _in_floats(change: Change) -> Change:
    """Let `change` work on values from 0 to 1 and round its result back to uint8."""

    def changed(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        values = change(images.float() / 255, strength, generator)
        return values.clamp(0, 1).mul(255).round().to(torch.uint8)

    return changed


@_in_floats
def _blur(images: Tensor, sigma: float, _: torch.Generator) -> Tensor:
    return transforms.gaussian_blur(images, 2 * int(3 * sigma + 0.5) + 1, sigma)


@_in_floats
def _noise(images: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    return images + sigma * torch.randn(images.shape, generator=generator)


@_in_floats
def _impulses(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    hit = torch.rand(n, 1, height, width, generator=generator) < share
    salt = (torch.rand(n, 1, height, width, generator=generator) < 0.5).float()
    return torch.where(hit, salt, images)


def _jpeg(images: Tensor, quality: float, _: torch.Generator) -> Tensor:
    # Pillow's, for torchvision's is deprecated since 0.29.
    return torch.stack([_jpeg_one(image, int(quality)) for image in images])


def _jpeg_one(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    transforms.to_pil_image(image).save(file, "JPEG", quality=quality)
    return transforms.pil_to_tensor(Image.open(file))


def _contrast(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_contrast(images, factor)


def _brightness(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_brightness(images, factor)


def _saturation(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_saturation(images, factor)


def _hue(images: Tensor, turn: float, _: torch.Generator) -> Tensor:
    return transforms.adjust_hue(images, turn)


def _pixelate(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    small = transforms.resize(images, [int(side)] * 2, antialias=True)
    return transforms.resize(small, list(images.shape[2:]), transforms.InterpolationMode.NEAREST)


def _zoom_in(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    middle = transforms.center_crop(images, [int(side)] * 2)
    return transforms.resize(middle, list(images.shape[2:]), antialias=True)


def _zoom_out(images: Tensor, side: float, _: torch.Generator) -> Tensor:
    small = transforms.resize(images, [int(side)] * 2, antialias=True)
    before = (images.shape[2] - int(side)) // 2
    after = images.shape[2] - int(side) - before
    return transforms.pad(small, [before, before, after, after], padding_mode="edge")


@_in_floats
def _move(images: Tensor, distance: float, generator: torch.Generator) -> Tensor:
    """Move each image by `distance` pixels along both axes, in a random diagonal; the border is reflected."""
    d, side = int(distance), images.shape[2]
    padded = F.pad(images, (d,) * 4, mode="reflect")
    corners = torch.stack([padded[:, :, r : r + side, c : c + side] for r in (0, 2 * d) for c in (0, 2 * d)])
    return corners[torch.randint(4, (len(images),), generator=generator), torch.arange(len(images))]


def _rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    clockwise = torch.rand(len(images), generator=generator)[:, None, None, None] < 0.5
    left, right = (
        transforms.rotate(images, angle, transforms.InterpolationMode.BILINEAR) for angle in (degrees, -degrees)
    )
    return torch.where(clockwise, right, left)


@_in_floats
def _occlude(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """Put a grey square of `side` pixels at a random place wholly inside each image."""
    n, _, height, width = images.shape
    top = torch.randint(height - int(side) + 1, (n, 1, 1, 1), generator=generator)
    left = torch.randint(width - int(side) + 1, (n, 1, 1, 1), generator=generator)
    row, column = torch.arange(height)[:, None], torch.arange(width)
    inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
    return images.masked_fill(inside, 0.5)


def _mirror(images: Tensor, _: float, __: torch.Generator) -> Tensor:
    return images.flip(3)


def _turn_over(images: Tensor, _: float, __: torch.Generator) -> Tensor:
    return images.flip(2)


MADE_SHIFTS = (
    Shift("blur", "sigma {:g} px", (0.5, 0.8, 1.2), _blur),
    Shift("pixelate", "{:g} px a side", (24, 18, 13), _pixelate),
    Shift("noise", "sigma {:g}", (0.02, 0.05, 0.09), _noise),
    Shift("salt and pepper", "{:.0%}", (0.01, 0.03, 0.07), _impulses),
    Shift("JPEG", "quality {:g}", (60, 25, 10), _jpeg),
    Shift("less contrast", "x {:g}", (0.6, 0.35, 0.2), _contrast),
    Shift("brighter", "x {:g}", (1.4, 1.9, 2.6), _brightness),
    Shift("darker", "x {:g}", (0.6, 0.35, 0.2), _brightness),
    Shift("less colour", "x {:g}", (0.5, 0.2, 0.0), _saturation),
    Shift("other hues", "{:g} turn", (0.08, 0.2, 0.5), _hue),
    Shift("zoom in", "middle {:g} px", (26, 21, 16), _zoom_in),
    Shift("zoom out", "to {:g} px", (26, 20, 15), _zoom_out),
    Shift("off-centre", "{:g} px", (4, 8, 13), _move),
    Shift("rotation", "{:g} degrees", (12, 25, 45), _rotate),
    Shift("occlusion", "{:g} px a side", (8, 13, 19), _occlude),
)

SMALL_CHANGES = (
    Shift("moved", "{:g} px", (1, 2, 4), _move),
    Shift("mirrored left to right", "", (1,), _mirror),
    Shift("upside down", "", (1,), _turn_over),
    Shift("rotated", "{:g} degrees", (5, 10), _rotate),
    Shift("darker", "x {:g}", (0.9, 0.7), _brightness),
    Shift("brighter", "x {:g}", (1.1, 1.3), _brightness),
    Shift("grey", "", (0.0,), _saturation),
    Shift("blurred", "sigma {:g} px", (0.4, 0.6), _blur),
)

LARGE_CHANGES = ("upside down", "grey")  # of these; no photograph of the world is upside down


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
    return {
        (shift.name, shift.unit.format(strength)): Answers(
            predict(model, shift.apply(images, strength), **options), labels, classes
        )
        for shift in shifts
        for strength in shift.strengths
    }


def weaknesses(plain: Answers, changed: dict[tuple[str, str], Answers]) -> pd.DataFrame:
    """What each change costs.

    Args:
        plain: the answers about the unchanged images.
        changed: from `answers_under`.

    Returns:
        A row a change: change, strength, accuracy, accuracy_low, accuracy_high (Wilson, 95 %), and cost, the
        points of accuracy lost.
    """
    rows = []
    for (name, strength), answers in changed.items():
        low, high = wilson(answers.right.sum(), len(answers))
        cost = 100 * (plain.accuracy - answers.accuracy)
        rows.append((name, strength, answers.accuracy, low, high, cost))
    return pd.DataFrame(rows, columns=["change", "strength", "accuracy", "accuracy_low", "accuracy_high", "cost"])
