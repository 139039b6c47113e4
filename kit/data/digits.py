"""scikit-learn's handwritten digits, which need no download, as they are and with noise."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

NOISE = 105  # of 255 gray levels: hard enough that a trained network leaves some mistakes to look at


def digits(noisy: bool = False) -> tuple[Tensor, Tensor]:
    """The 1,797 digits of 8x8 pixels and 17 gray levels, enlarged to 32x32 RGB.

    Args:
        noisy: add noise to each of the 8x8 pixels, uniform from -NOISE to NOISE; whole numbers of a fixed seed, so that
            every machine makes the same images.

    Returns:
        uint8 (1797, 3, 32, 32) and int64 (1797,).
    """
    table = torch.from_numpy(_table())  # (1797, 65): 64 pixels, 0..16, and the digit
    small = table[:, :64].float().view(-1, 1, 8, 8) * (255 / 16)  # (1797, 1, 8, 8), 0..255
    if noisy:
        noise = torch.randint(-128, 129, small.shape, generator=torch.Generator().manual_seed(0))
        small = (small + noise * NOISE / 128).clamp(0, 255)  # float32 holds every value exactly
    large = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous(), table[:, 64].long()


def _table() -> np.ndarray:
    """scikit-learn's table of digits, from its file: importing scikit-learn for it takes a second."""
    package = find_spec("sklearn")
    if package and package.origin:
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])
