"""Mixup and CutMix: mix each image with another one of its batch, in a proportion drawn for each image."""

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor

from kit.augment.todevice import send


def mixup(
    images: Tensor, labels: Tensor, alpha: float, classes: int = 10, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Blend each image with a partner, and their labels in the same proportion (Zhang et al. 2018, arXiv:1710.09412).

    `F.cross_entropy` with these targets is Mixup's loss, share * loss(label) + (1 - share) * loss(partner's).

    Args:
        images: float (N, C, H, W); left unchanged.
        labels: int64 (N,), 0 to classes - 1, on the same device.
        alpha: above 0; each image's share is drawn from Beta(alpha, alpha).
        classes: number of classes.
        generator: a CPU generator; None is torch's default one.

    Returns:
        The mixed images, float (N, C, H, W), and targets, float32 (N, classes), with rows that sum to 1.

    Raises:
        TypeError: `images` is not a float tensor.
        ValueError: `alpha` is not above 0.
    """
    _check(images, alpha)
    partner = send(torch.randperm(len(images), generator=generator), images.device)
    share = send(_draw_shares(len(images), alpha, generator).float(), images.device)
    mixed = images[partner].lerp_(images, share.to(images.dtype)[:, None, None, None])
    return mixed, _targets(labels, partner, share, classes)


def cutmix(
    images: Tensor, labels: Tensor, alpha: float, classes: int = 10, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Replace a rectangle of each image by its partner's, and mix the labels in proportion to the areas.

    Yun et al. 2019, arXiv:1905.04899. The rectangle has the image's proportions. Its centre may be any pixel, so that
    the border can cut it; the labels are mixed by the area that is really replaced.

    Args:
        images: (N, C, H, W) of any dtype; left unchanged.
        labels: int64 (N,), 0 to classes - 1, on the same device.
        alpha: above 0; the share of each image that is kept is drawn from Beta(alpha, alpha).
        classes: number of classes.
        generator: a CPU generator; None is torch's default one.

    Returns:
        The mixed images, (N, C, H, W), and targets, float32 (N, classes), with rows that sum to 1.

    Raises:
        ValueError: `alpha` is not above 0.
    """
    _check_alpha(alpha)
    partner = send(torch.randperm(len(images), generator=generator), images.device)
    side = (1 - _draw_shares(len(images), alpha, generator)).sqrt()
    rows, columns = (_draw_span(side, size, generator) for size in images.shape[2:])
    share = 1 - rows.float().mean(1) * columns.float().mean(1)
    box = send(rows, images.device)[:, None, :, None] & send(columns, images.device)[:, None, None, :]
    mixed = torch.where(box, images[partner], images)
    return mixed, _targets(labels, partner, send(share, images.device), classes)


def _check(images: Tensor, alpha: float) -> None:
    if not images.is_floating_point():
        raise TypeError(f"Mixup blends float images, not {images.dtype}; normalize them first")
    _check_alpha(alpha)


def _check_alpha(alpha: float) -> None:
    if not alpha > 0:
        raise ValueError(f"alpha of the Beta distribution must be above 0, not {alpha}; or train without mixing")


def _draw_shares(count: int, alpha: float, generator: torch.Generator | None) -> Tensor:
    """float64 (N,) from Beta(alpha, alpha), by inverting its distribution: torch's sampler takes no generator."""
    uniform = torch.rand(count, dtype=torch.float64, generator=generator)
    return torch.from_numpy(betaincinv(alpha, alpha, uniform.numpy()))


def _draw_span(side: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    """bool (N, size): True for `side` * size pixels about a random centre, cut off at the border."""
    centre = torch.randint(size, side.shape, generator=generator)[:, None]
    half = (side * size).long()[:, None] // 2
    place = torch.arange(size)
    return (place >= centre - half) & (place < centre + half)


def _targets(labels: Tensor, partner: Tensor, share: Tensor, classes: int) -> Tensor:
    own = F.one_hot(labels, classes).float()
    return own[partner].lerp_(own, share[:, None])
