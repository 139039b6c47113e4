"""Random erasing: blank a rectangle of random size and shape in some of the images."""

import math

import torch
from torch import Tensor

TRIES = 10  # rectangles drawn per image, as in torchvision; if none fits, the image is not erased
SCALE, RATIO = (0.02, 0.33), (0.3, 3.3)  # torchvision's defaults, which are the paper's


def draw_rectangles(
    count: int,
    height: int,
    width: int,
    probability: float,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw rectangles for a whole batch as torchvision's RandomErasing does (Zhong et al. 2020, arXiv:1708.04896).

    Args:
        count: number of images, N.
        height, width: of the images in pixels.
        probability: the probability that an image is erased, 0 to 1.
        scale: range of the rectangle's area as a share of the image.
        ratio: range of height / width, drawn evenly on a logarithmic scale.
        generator: a CPU generator.

    Returns:
        The rows, float32 (N, 1, H), and the columns, (N, 1, W), of each rectangle: 1 inside, 0 outside.
    """
    area = torch.empty(TRIES, count).uniform_(*scale, generator=generator) * height * width
    shape = torch.empty(TRIES, count).uniform_(*map(math.log, ratio), generator=generator).exp()
    tall, wide = (area * shape).sqrt().round(), (area / shape).sqrt().round()  # (TRIES, N)
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(0, keepdim=True)
    erased = fits.any(0) & (torch.rand(count, generator=generator) < probability)

    def spans(sizes: Tensor, full: int) -> Tensor:
        size = sizes.gather(0, first)[0] * erased
        start = (torch.rand(count, generator=generator) * (full - size + 1)).floor()
        place = torch.arange(full)
        return ((place >= start[:, None]) & (place < (start + size)[:, None])).float()[:, None]

    return spans(tall, height), spans(wide, width)
