"""Random augmentation of whole batches, drawn for every image, and the pipeline that a recipe describes.

Every function takes and returns batches on any device. All randomness comes from one CPU `torch.Generator` (None means
torch's default one), so the same seed draws the same augmentation on every device, and the host never waits.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import torch
from torch import Tensor

from kit.augment.augmentations import POLICIES, read_words
from kit.augment.crop import random_crop, random_flip
from kit.augment.erasing import draw_rectangles
from kit.augment.jitter import color_jitter, draw_color_jitter, draw_rotation, random_rotation
from kit.augment.mixing import cutmix, mixup
from kit.augment.plans import Plan, apply, check_images
from kit.augment.todevice import send

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
STD = (0.2023, 0.1994, 0.2010)  # mean over the images of each image's deviation, as in the paper's notebook

SLICE = 256  # images normalised at a time on a CPU: their float32 values stay in a core's cache


def cutout(images: Tensor, holes: int = 1, length: int = 8, generator: torch.Generator | None = None) -> Tensor:
    """Fill squares of each image with zero, the mean of normalised images.

    DeVries & Taylor 2017, arXiv:1708.04552. A centre may be any pixel, and the border cuts squares off, as in the
    authors' code.

    Args:
        images: float (N, C, H, W), normalised; left unchanged.
        holes: squares per image, 0 or more; they may overlap.
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
    """float32 (N, 1, H, W): 0 inside a square, 1 elsewhere."""
    return (1 - torch.einsum("nhy,nhx->nyx", rows, columns)).clamp_(min=0)[:, None]


def normalize(images: Tensor) -> Tensor:
    """Turn pixels into the model's input: (value / 255 - `MEAN`) / `STD`, channel by channel.

    Args:
        images: uint8 (N, 3, H, W), any memory format.

    Returns:
        float32 (N, 3, H, W) in channels_last memory format.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape.
    """
    check_images(images)
    return _normalize(images)


def _normalize(images: Tensor, squares: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Normalise, then blank `squares` (from `_draw_squares` or `draw_rectangles`), if there are any.

    A CPU works in slices: float32 values take four times the memory, and are slow if they leave the cache.
    """
    result = torch.empty(images.shape, device=images.device, memory_format=torch.channels_last)
    scale = send(1 / (255 * torch.tensor(STD)), images.device)[:, None, None]
    shift = send(torch.tensor(MEAN) / torch.tensor(STD), images.device)[:, None, None]
    if squares is not None:
        squares = send(squares[0], images.device), send(squares[1], images.device)
    size = SLICE if images.device.type == "cpu" else max(1, len(images))
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        values = images[part].float().mul_(scale).sub_(shift)
        if squares is not None:
            values.mul_(_kept(*(spans[part] for spans in squares)))
        for channel in range(3):  # faster on a CPU than one transposing copy
            result[part, channel] = values[:, channel]
    return result


def _draw_policy(policy: str, count: int, height: int, width: int, generator: torch.Generator | None = None) -> Plan:
    """The plan of a policy of POLICIES for `count` images of `height` x `width` pixels."""
    module, function = POLICIES[policy]
    return getattr(import_module(f"kit.augment.{module}"), function)(count, height, width, generator)


@dataclass(frozen=True)
class Pipeline:
    """The augmentation of a training, in the order of the paper's transforms.

    Crop, flip, policy, colour jitter and rotation work on uint8; the images are then normalised to float, and Cutout
    and random erasing blank parts of them. Calling it with uint8 (N, 3, H, W) and a CPU generator gives float32
    (N, 3, H, W), normalised, channels_last. Memory grows with N. Good chunks are about 2,000 images on a CPU, so that
    they stay in the cache, and 4,000 to 50,000 on a GPU, so that its few hundred launches are shared by many images.

    Attributes:
        crop: pixels of padding before the random crop; 0 leaves it out.
        padding: "zero" or "reflect".
        flip: whether to mirror half of the images.
        policy: None, or a word of POLICIES, such as "autoaugment".
        jitter: strength for brightness, contrast and saturation, and half of it for hue; 0 (off) to 1.
        rotation: largest angle in degrees; 0 (off) to 180.
        cutout: side of Cutout's squares in pixels; 0 leaves it out.
        holes: squares per image.
        erase: probability that random erasing blanks a rectangle.

    Raises:
        ValueError: a setting has another value.
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
            KitError: a word is unknown, or two words cannot be combined.
        """
        words = read_words(augment)
        return cls(words.crop, words.padding, words.flip, words.policy, jitter, rotation, cutout, erase=erase)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Augment and normalise: uint8 (N, 3, H, W) to float32 (N, 3, H, W), channels_last.

        Raises:
            TypeError: `images` is not uint8.
            ValueError: `images` has another shape.
        """
        images = self.augment(images, generator)
        (count, _, height, width), blanked = images.shape, []
        if self.cutout:
            blanked.append(_draw_squares(count, self.holes, self.cutout, height, width, generator))
        if self.erase:
            blanked.append(draw_rectangles(count, height, width, self.erase, generator=generator))
        if not blanked:
            return _normalize(images)
        rows, columns = (torch.cat(spans, dim=1) for spans in zip(*blanked, strict=True))
        return _normalize(images, (rows, columns))

    def augment(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The part before normalising and Cutout: uint8 (N, 3, H, W) to uint8 (N, 3, H, W), for display.

        Raises:
            TypeError: `images` is not uint8.
            ValueError: `images` has another shape.
        """
        check_images(images)
        if self.crop:
            images = random_crop(images, self.crop, self.padding, generator)
        if self.flip:
            images = random_flip(images, generator=generator)
        count, _, height, width = images.shape
        for plan in self._draw_plans(count, height, width, generator):
            images = apply(images, plan)
        return images

    def _draw_plans(self, count: int, height: int, width: int, generator: torch.Generator | None) -> list[Plan]:
        plans = []
        if self.policy:
            plans.append(_draw_policy(self.policy, count, height, width, generator))
        if self.jitter:
            strength = self.jitter
            plans.append(draw_color_jitter(count, strength, strength, strength, strength / 2, generator))
        if self.rotation:
            plans.append(draw_rotation(count, self.rotation, generator))
        return plans
