"""Predicted time of an epoch on GPUs that are not here: a roofline over the counted kernels of a training step.

A kernel takes as long as the slowest of three: moving its bytes, making its operations, and starting (Williams,
Waterman & Patterson 2009, doi:10.1145/1498765.1498785). The step is replayed from a CUDA graph, so that the host costs
nothing. Augmentation, evaluation and the time until the first step are not in it.

The kernels are torch's own, as with `compile off`. torch.compile fuses some of them: the paper's step then moves 4.6 GB
instead of 6.15 (inductor's count with torch 2.14; added are the optimizer, and the gradients that two convolutions read
but inductor counts once), so the figures are high for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kit.bench.counting import Kernel, count_step
from kit.recipe import Recipe
from kit.train import steps_of_epochs

TRAINING_IMAGES = 50_000
KERNEL_SECONDS = 2e-6  # the shortest kernel in a CUDA graph, with the gap to the next
MEMORY_SHARE = 0.88  # of the bandwidth in the data sheet, which copies reach
PRODUCT_SHARES = (0.8, 0.4)  # of the peak in the data sheet: convolutions that go well, and those that do not


@dataclass(frozen=True)
class Card:
    """A GPU as NVIDIA's data sheet has it: bytes per second of its memory, and 16-bit operations per second."""

    bandwidth: float
    peak: float


# 16-bit tensor cores, without structured sparsity, with which NVIDIA's sheets print twice as much from Ampere on.
# Compared on 26 November 2026 with copies of NVIDIA's sheets, since nvidia.com could not be read here:
# T4 sysrqmts.com/en/gpus/nvidia/tesla/t4 (256 bits at 10 Gbit/s); A100 the page "NVIDIA A100 40GB with NVLINK" of
# Paderborn's PC2; H100 archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html; H200 glennklockwood.com/garden/processors
# (the peaks of an H100 SXM) and aiwiki.ai/wiki/nvidia_h200 (its memory).
CARDS = {
    "T4": Card(320e9, 65e12),  # float16: it has no bfloat16
    "A100": Card(1555e9, 312e12),  # 40 GB, as on Colab; the 80 GB of the SXM form have 2039e9 bytes per second
    "H100": Card(3350e9, 989e12),  # SXM; the PCIe form has 2000e9 bytes per second and 756e12 operations
    "H200": Card(4800e9, 989e12),  # SXM
}


@dataclass(frozen=True)
class Prediction:
    """Predicted figures of one recipe.

    Attributes:
        recipe: its name.
        kernels: in a step, at the size of image that most steps have.
        gigabytes: that such a step reads and writes, in 10^9 bytes.
        gflop: operations of such a step, in 10^9.
        padding: share of `gigabytes` that channels cost which are no multiples of eight.
        seconds: for each of CARDS, the least and the most seconds of an epoch, as a mean over all epochs.
    """

    recipe: str
    kernels: int
    gigabytes: float
    gflop: float
    padding: float
    seconds: dict[str, tuple[float, float]]


def step_seconds(kernels: Iterable[Kernel], card: Card, product_share: float) -> float:
    """Seconds of a step: the sum over its kernels of the largest of their three times."""
    bandwidth, peak = MEMORY_SHARE * card.bandwidth, product_share * card.peak
    return sum(max(kernel.bytes / bandwidth, kernel.flops / peak, KERNEL_SECONDS) for kernel in kernels)


def predict_epoch(name: str, recipe: Recipe) -> Prediction:
    """Figures of `recipe`, called `name`, on CIFAR-10's 50,000 training images."""
    steps_of = dict.fromkeys(recipe.sides, 0)
    for side, steps in zip(recipe.sides, steps_of_epochs(recipe, TRAINING_IMAGES), strict=True):
        steps_of[side] += steps
    kernels_of = {side: count_step(recipe, side) for side in steps_of}
    usual = kernels_of[max(steps_of, key=lambda side: steps_of[side])]
    seconds = {}
    for card_name, card in CARDS.items():
        least, most = (
            sum(steps * step_seconds(kernels_of[side], card, share) for side, steps in steps_of.items())
            for share in PRODUCT_SHARES
        )
        seconds[card_name] = (least / recipe.epochs, most / recipe.epochs)
    moved = sum(kernel.bytes for kernel in usual)
    padding = sum(kernel.padding for kernel in usual) / moved
    return Prediction(name, len(usual), moved / 1e9, sum(kernel.flops for kernel in usual) / 1e9, padding, seconds)


def card_named(device: str) -> str | None:
    """The row of CARDS that a device's name means, such as `NVIDIA H100 80GB HBM3`; None if there is none."""
    words = device.replace("-", " ").split()
    return next((name for name in CARDS if name in words), None)


def table(predictions: Iterable[Prediction]) -> str:
    """The figures as lines of text."""
    rows = list(predictions)
    lines = [
        "predicted, not measured: seconds of an epoch, without augmentation and evaluation",
        f"{'recipe':24}{'kernels':>9}{'GB':>7}{'GFLOP':>8}" + "".join(f"{name:>14}" for name in CARDS),
    ]
    for row in rows:
        times = "".join(f"{span(row.seconds[name]):>14}" for name in CARDS)
        lines.append(f"{row.recipe:24}{row.kernels:9}{row.gigabytes:7.2f}{row.gflop:8.0f}{times}")
    lines.append("kernels, GB and GFLOP of one step; the two times: convolutions reach 80 % and 40 % of the peak")
    for row in rows:
        if row.padding:
            lines.append(
                f"{row.recipe}: some layers have channels that are no multiples of 8, which tensor cores need, so that "
                f"cuDNN copies their maps to padded ones: {row.padding:.0%} of the bytes above"
            )
    return "\n".join(lines)


def span(seconds: tuple[float, float]) -> str:
    """`0.87-1.19`: least and most, with three digits of the larger."""
    digits = 2 if seconds[1] < 10 else 1 if seconds[1] < 100 else 0
    return "-".join(f"{value:.{digits}f}" for value in seconds)


def as_json(prediction: Prediction) -> dict[str, Any]:
    """The figures for `--json`."""
    return {
        "predicted": True,
        "kernels_per_step": prediction.kernels,
        "bytes_per_step": prediction.gigabytes * 1e9,
        "flop_per_step": prediction.gflop * 1e9,
        "padding_share": prediction.padding,
        "seconds_per_epoch": {name: list(seconds) for name, seconds in prediction.seconds.items()},
    }
