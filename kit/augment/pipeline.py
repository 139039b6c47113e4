"""Random augmentation of whole batches, drawn for every image, and the pipeline that a recipe builds.

Every function takes and returns batches on any device. All randomness comes from one CPU
`torch.Generator` (None: torch's default one), so the same seed draws the same augmentation whatever the
device, and nothing waits for it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kit.augment.crop import random_crop, random_flip
from kit.augment.erasing import draw_rectangles
from kit.augment.jitter import color_jitter, draw_color_jitter, draw_rotation, random_rotation
from kit.augment.mixing import cutmix, mixup
from kit.augment.operations import Plan, apply, check_images
from kit.augment.policies import draw_autoaugment, draw_randaugment, draw_trivialaugment
from kit.augment.transfer import send
from kit.augment.words import read_words

__all__ = [
    "MEAN",
    "STD",
    "Pipeline",
    "color_jitter",
    "cutmix",
    "cutout",
    "mixup",
    "normalize",
    "random_crop",
    "random_flip",
    "random_rotation",
]

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)  # the mean of the images' own deviations, as the paper's notebook has it

SLICE = 256  # images whose float32 values stay in a core's cache while they are normalised


def cutout(images: Tensor, holes: int = 1, length: int = 8, generator: torch.Generator | None = None) -> Tensor:
    """Fill squares of each image with zero, the mean of normalised images.

    DeVries & Taylor 2017, arXiv:1708.04552. A centre may be any pixel, so that squares are cut off at the
    border, as in the authors' code.

    Args:
        images: float (N, C, H, W), normalised; left unchanged.
        holes: squares an image, 0 or more; they may overlap.
        length: side in pixels; an odd one counts as the even one below it.
        generator: a CPU generator.

    Returns:
        float (N, C, H, W).

    Raises:
        TypeError: `images` is not a float tensor.
    """
    if not images.is_floating_point():
        raise TypeError(
            f"Cutout fills normalised float images with their mean, zero, not {images.dtype}; normalize first"
        )
    height, width = images.shape[2:]
    squares = _draw_squares(len(images), holes, length, height, width, generator)
    return images * _kept(*(send(spans, images.device) for spans in squares)).to(images.dtype)


def _draw_squares(
    count: int, holes: int, length: int, height: int, width: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """The rows, float32 (N, holes, H), and the columns, (N, holes, W), of each square: 1 inside, 0 outside."""

    def spans(size: int) -> Tensor:
        centres = torch.randint(size, (count, holes, 1), generator=generator)
        place = torch.arange(size)
        return ((place >= centres - length // 2) & (place < centres + length // 2)).float()

    return spans(height), spans(width)


def _kept(rows: Tensor, columns: Tensor) -> Tensor:
    """float32 (N, 1, H, W): 0 where a square's rows and columns meet, 1 elsewhere."""
    return (1 - torch.einsum("nhy,nhx->nyx", rows, columns)).clamp_(min=0)[:, None]


def normalize(images: Tensor) -> Tensor:
    """Turn pixels into what the model reads: value / 255, minus `MEAN`, over `STD`, channel by channel.

    Args:
        images: uint8 (N, 3, H, W), any memory format.

    Returns:
        float32 (N, 3, H, W) in channels_last memory format.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: the shape of `images` is another.
    """
    check_images(images)
    return _normalize(images)


def _normalize(images: Tensor, squares: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Normalise, then blank `squares` (from `_draw_squares` or `draw_rectangles`), if given.

    On a CPU in slices: float32 values are four times the memory, and out of the cache they are slow.
    """
    result = torch.empty(images.shape, device=images.device, memory_format=torch.channels_last)
    scale = send(1 / (255 * torch.tensor(STD)), images.device)[:, None, None]
    shift = send(torch.tensor(MEAN) / torch.tensor(STD), images.device)[:, None, None]
    squares = squares and tuple(send(spans, images.device) for spans in squares)
    size = SLICE if images.device.type == "cpu" else max(1, len(images))
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        values = images[part].float().mul_(scale).sub_(shift)
        if squares:
            values.mul_(_kept(*(spans[part] for spans in squares)))
        for channel in range(3):  # faster on a CPU than one transposing copy
            result[part, channel] = values[:, channel]
    return result


POLICIES = {
    "autoaugment": draw_autoaugment,
    "randaugment": draw_randaugment,
    "trivialaugment": lambda count, height, width, generator: draw_trivialaugment(count, generator),
}


@dataclass(frozen=True)
class Pipeline:
    """The augmentation of a training run, in the order of the paper's transforms.

    Crop, flip, policy, colour jitter, rotation on uint8; then to float, normalised, Cutout and random erasing. Calling
    it with uint8 (N, 3, H, W) and a CPU generator gives float32 (N, 3, H, W), normalised, in
    channels_last memory format. Memory grows with N, so give it chunks: about 2,000 images on a CPU,
    where they stay in the cache, and 4,000 to 50,000 on a GPU, where each of the few hundred launches
    then costs nothing an image.

    Attributes:
        crop: pixels of padding before the random crop; 0 leaves it out.
        padding: "zero" or "reflect".
        flip: whether to mirror half of the images.
        policy: None, "autoaugment", "randaugment" or "trivialaugment".
        jitter: strength of brightness, contrast and saturation, half of it of hue; 0 (off) to 1.
        rotation: largest angle in degrees; 0 (off) to 180.
        cutout: side of Cutout's squares in pixels; 0 leaves it out.
        holes: squares an image.
        erase: probability that random erasing blanks a rectangle.

    Raises:
        ValueError: a setting is not one of the above.
    """

    crop: int = 4
    padding: Literal["zero", "reflect"] = "zero"
    flip: bool = True
    policy: str | None = None
    jitter: float = 0.0
    rotation: float = 0.0
    cutout: int = 0
    holes: int = 1
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.policy is not None and self.policy not in POLICIES:
            raise ValueError(f"policy must be None or one of {', '.join(POLICIES)}, not {self.policy!r}")
        if self.padding not in ("zero", "reflect"):
            raise ValueError(f"padding must be 'zero' or 'reflect', not {self.padding!r}")
        for name, largest in (
            ("crop", None),
            ("jitter", 1),
            ("rotation", 180),
            ("cutout", None),
            ("holes", None),
            ("erase", 1),
        ):
            value = getattr(self, name)
            if value < 0 or (largest is not None and value > largest):
                allowed = "0 or more" if largest is None else f"0 to {largest}"
                raise ValueError(f"{name} must be {allowed}, not {value}")

    @classmethod
    def from_words(
        cls, augment: str, *, jitter: float = 0.0, rotation: float = 0.0, cutout: int = 0, erase: float = 0.0
    ) -> "Pipeline":
        """The pipeline of a recipe's `augment`, such as `crop+flip+autoaugment`, and its other settings.

        Raises:
            KitError: a word is unknown, or two words exclude each other.
        """
        words = read_words(augment)
        return cls(words.crop, words.padding, words.flip, words.policy, jitter, rotation, cutout, erase=erase)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Augment and normalise: uint8 (N, 3, H, W) to float32 (N, 3, H, W), channels_last.

        Raises:
            TypeError: `images` is not uint8.
            ValueError: the shape of `images` is another.
        """
        images = self.augment(images, generator)
        blanked = []
        if self.cutout:
            blanked.append(_draw_squares(len(images), self.holes, self.cutout, *images.shape[2:], generator))
        if self.erase:
            blanked.append(draw_rectangles(len(images), *images.shape[2:], self.erase, generator=generator))
        if not blanked:
            return _normalize(images)
        rows, columns = (torch.cat(spans, dim=1) for spans in zip(*blanked, strict=True))
        return _normalize(images, (rows, columns))

    def augment(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The part before normalising and Cutout: uint8 (N, 3, H, W) to uint8 (N, 3, H, W), to look at.

        Raises:
            TypeError: `images` is not uint8.
            ValueError: the shape of `images` is another.
        """
        check_images(images)
        if self.crop:
            images = random_crop(images, self.crop, self.padding, generator)
        if self.flip:
            images = random_flip(images, generator=generator)
        for plan in self._draw_plans(len(images), *images.shape[2:], generator):
            images = apply(images, plan)
        return images

    def _draw_plans(self, count: int, height: int, width: int, generator: torch.Generator | None) -> list[Plan]:
        plans = []
        if self.policy:
            plans.append(POLICIES[self.policy](count, height, width, generator=generator))
        if self.jitter:
            plans.append(draw_color_jitter(count, *[self.jitter] * 3, self.jitter / 2, generator))
        if self.rotation:
            plans.append(draw_rotation(count, self.rotation, generator))
        return plans
