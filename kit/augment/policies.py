"""AutoAugment for CIFAR-10, RandAugment and TrivialAugment on uint8 batches, drawn for every image.

    AutoAugment      Cubuk et al. 2019, https://arxiv.org/abs/1805.09501 (the 25 CIFAR-10 sub-policies)
    RandAugment      Cubuk et al. 2020, https://arxiv.org/abs/1909.13719
    TrivialAugment   Mueller & Hutter 2021, https://arxiv.org/abs/2103.10158 (the wide space)

Magnitudes, probabilities and pixels are those of torchvision's `AutoAugment(AutoAugmentPolicy.CIFAR10)`,
`RandAugment()` and `TrivialAugmentWide()` on uint8 CPU tensors (nearest neighbour, zero fill), called once per image.
The `draw_*` functions make a `Plan` on the host; `kit.augment.plans.apply` carries it out on the images' device.
"""

import torch
from torch import Tensor

from kit.augment.plans import NAMES, Plan, apply, check_images

# Two of (operation, probability, magnitude bin); a bin is one of ten equal steps, None if there is no magnitude.
CIFAR10_POLICY = (
    (("Invert", 0.1, None), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, None), ("Equalize", 0.9, None)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, None), ("Equalize", 0.5, None)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, None), ("AutoContrast", 0.4, None)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, None)),
    (("Equalize", 0.2, None), ("AutoContrast", 0.6, None)),
    (("Equalize", 0.2, None), ("Equalize", 0.6, None)),
    (("Color", 0.9, 9), ("Equalize", 0.6, None)),
    (("AutoContrast", 0.8, None), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, None)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, None), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, None), ("Invert", 0.1, None)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, None)),
)

# RandAugment and TrivialAugment choose from these; AutoAugment also has Invert, and never plans Identity.
CHOICES = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness"),
    *("Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
SIGNED = frozenset(
    ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
)


def autoaugment(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a CIFAR-10 sub-policy for every image and apply it.

    Args:
        images: uint8 (N, 3, H, W) on any device, any memory format; left unchanged.
        generator: a CPU generator; None is torch's default one.

    Returns:
        uint8 (N, 3, H, W) on the same device.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape.
    """
    check_images(images)
    height, width = images.shape[2:]
    return apply(images, draw_autoaugment(len(images), height, width, generator))


def randaugment(
    images: Tensor, num_ops: int = 2, magnitude: int = 9, generator: torch.Generator | None = None
) -> Tensor:
    """Apply `num_ops` operations, drawn uniformly from `CHOICES` for every image, all at one magnitude.

    Args:
        images: uint8 (N, 3, H, W) on any device, any memory format; left unchanged.
        num_ops: operations per image, one after the other; 0 or more.
        magnitude: bin 0 (no change) to 30 (the largest).
        generator: a CPU generator; None is torch's default one.

    Returns:
        uint8 (N, 3, H, W) on the same device.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape, or `num_ops` or `magnitude` is out of range.
    """
    check_images(images)
    height, width = images.shape[2:]
    return apply(images, draw_randaugment(len(images), height, width, generator, num_ops, magnitude))


def trivialaugment(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Apply one operation to every image, drawn uniformly from `CHOICES`, at one of 31 magnitudes of the wide space.

    Args:
        images: uint8 (N, 3, H, W) on any device, any memory format; left unchanged.
        generator: a CPU generator; None is torch's default one.

    Returns:
        uint8 (N, 3, H, W) on the same device.

    Raises:
        TypeError: `images` is not uint8.
        ValueError: `images` has another shape.
    """
    check_images(images)
    height, width = images.shape[2:]
    return apply(images, draw_trivialaugment(len(images), height, width, generator))


def draw_autoaugment(count: int, height: int, width: int, generator: torch.Generator | None = None) -> Plan:
    """Draw AutoAugment's plan for `count` images of `height` x `width` pixels: two stages."""
    chosen = torch.randint(len(CIFAR10_POLICY), (count,), generator=generator)
    coins = torch.rand(count, 2, generator=generator)
    signs = torch.randint(2, (count, 2), generator=generator) * 2 - 1
    operations, probabilities, magnitudes, signed = (table[chosen] for table in _policy_tables(height, width))
    magnitudes = torch.where(signed, magnitudes * signs, magnitudes)
    applied = coins <= probabilities
    return Plan(torch.where(applied, operations, NAMES.index("Identity")), magnitudes)


def draw_randaugment(
    count: int,
    height: int,
    width: int,
    generator: torch.Generator | None = None,
    num_ops: int = 2,
    magnitude: int = 9,
) -> Plan:
    """Draw RandAugment's plan for `count` images of `height` x `width` pixels: `num_ops` stages.

    Raises:
        ValueError: `num_ops` is negative, or `magnitude` is not 0 to 30.
    """
    if num_ops < 0 or not 0 <= magnitude <= 30:
        raise ValueError(f"RandAugment takes num_ops of 0 or more and magnitude 0 to 30, not {num_ops} and {magnitude}")
    bins = torch.full((count, num_ops), magnitude)
    return _draw_evenly(_standard_space(31, height, width), bins, generator)


def draw_trivialaugment(count: int, height: int, width: int, generator: torch.Generator | None = None) -> Plan:
    """Draw TrivialAugment's plan for `count` images: one stage, which no size changes."""
    return _draw_evenly(_wide_space(31), torch.randint(31, (count, 1), generator=generator), generator)


def _draw_evenly(space: dict[str, Tensor], bins: Tensor, generator: torch.Generator | None) -> Plan:
    """Choose an operation and a sign for every entry of `bins`, int64 (N, S)."""
    choice = torch.randint(len(CHOICES), bins.shape, generator=generator)
    signs = torch.randint(2, bins.shape, generator=generator) * 2 - 1
    magnitudes = torch.stack([space[name] for name in CHOICES])[choice, bins]
    signed = torch.tensor([name in SIGNED for name in CHOICES])[choice]
    operations = torch.tensor([NAMES.index(name) for name in CHOICES])[choice]
    return Plan(operations, torch.where(signed, magnitudes * signs, magnitudes))


def _policy_tables(height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`CIFAR10_POLICY` as four (25, 2) tables: operation, probability, magnitude, whether the sign is random."""
    space = _standard_space(10, height, width)
    entries = [entry for sub_policy in CIFAR10_POLICY for entry in sub_policy]
    operations = torch.tensor([NAMES.index(name) for name, _, _ in entries])
    probabilities = torch.tensor([probability for _, probability, _ in entries])
    magnitudes = torch.stack([space[name][bin or 0] for name, _, bin in entries])
    signed = torch.tensor([name in SIGNED for name, _, _ in entries])
    return operations.view(-1, 2), probabilities.view(-1, 2), magnitudes.view(-1, 2), signed.view(-1, 2)


def _standard_space(bins: int, height: int, width: int) -> dict[str, Tensor]:
    """Magnitudes of AutoAugment and RandAugment, float64 (bins,) for each operation."""
    return _space(bins, shear=0.3, across=150 / 331 * width, down=150 / 331 * height, degrees=30, blend=0.9, bits=4)


def _wide_space(bins: int) -> dict[str, Tensor]:
    """Magnitudes of TrivialAugment's wide space, float64 (bins,) for each operation."""
    return _space(bins, shear=0.99, across=32, down=32, degrees=135, blend=0.99, bits=6)


def _space(
    bins: int, shear: float, across: float, down: float, degrees: float, blend: float, bits: int
) -> dict[str, Tensor]:
    def steps(last: float) -> Tensor:
        return torch.linspace(0, last, bins).double()  # rounded to float32 first, as in torchvision

    return {
        **{
            "ShearX": steps(shear),
            "ShearY": steps(shear),
            "TranslateX": steps(across),
            "TranslateY": steps(down),
        },
        "Rotate": steps(degrees),
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), steps(blend)),
        "Posterize": 8 - (torch.arange(bins) / ((bins - 1) / bits)).round().double(),
        "Solarize": torch.linspace(255, 0, bins).double(),
        **dict.fromkeys(("Identity", "AutoContrast", "Equalize", "Invert"), torch.zeros(bins).double()),
    }
