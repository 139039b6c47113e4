"""The form `pooled`, for short trainings: a whitening stem, and blocks that max-pool.

After the networks of cifar10-airbench (Jordan 2024, arXiv:2404.00498), here with a skip connection in every block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.model.architecture import Architecture

PATCH = 2  # side of the whitened patches
KEEP = 0.56  # share of its running statistics that BatchNorm keeps per step: short trainings need recent ones


class WhiteningStem(nn.Module):
    """SiLU of the principal components of each 2x2 patch with both signs, every component scaled to unit variance.

    The filters are computed from the training images by `fit` and never trained. Takes normalised (N, 3, H, W), returns
    (N, 24, H - 1, W - 1). Page 2020 (github.com/davidcpage/cifar10-fast), with both signs as in airbench.
    """

    channels = 2 * 3 * PATCH**2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, self.channels, PATCH, bias=False).requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the filters from normalised float images (N, 3, H, W); `eps` is added to every variance."""
        patches = F.unfold(images.float(), PATCH).transpose(1, 2).flatten(0, 1).double()
        variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
        white = (components / (variances + eps).sqrt()).T.reshape(-1, 3, PATCH, PATCH)
        self.conv.weight.copy_(torch.cat([white, -white]))

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x))


class PooledBlock(nn.Module):
    """SiLU(h + BN(conv(h))) with h = SiLU(BN(pool(conv(x)))): pooling halves the image, rounding down.

    BatchNorm learns a shift, but no scale, since the next convolution could undo it. Convolutions start as identities
    for as many channels as input and output share. Takes (N, in_channels, H, W), returns (N, channels, H // 2, W // 2).
    """

    kind = "conv 3x3, max pool, conv 3x3"

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1, self.bn1 = _conv(in_channels, channels), _shift_only(channels)
        self.conv2, self.bn2 = _conv(channels, channels), _shift_only(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.bn1(F.max_pool2d(self.conv1(x), 2)))
        return F.silu(h + self.bn2(self.conv2(h)))


class ResidualConv(nn.Module):
    """SiLU(x + BN(conv(x))), every further block of a layer; keeps the shape (N, channels, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv, self.bn = _conv(channels, channels), _shift_only(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.bn(self.conv(x)))


def _conv(fan_in: int, fan_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:fan_in])
    return conv


def _shift_only(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, momentum=1 - KEEP)
    norm.weight.requires_grad_(False)
    return norm


class GlobalMaxPool(nn.MaxPool2d):
    """Max pool over the whole map, whatever its size; `kernel_size` is its size for 32x32 images."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, x.shape[2:])


def stem(a: Architecture) -> tuple[nn.Module, int]:
    """The whitening stem, (N, 3, 32, 32) to (N, 24, 31, 31); and its number of channels."""
    return WhiteningStem(), WhiteningStem.channels


def layer(a: Architecture, index: int, in_channels: int) -> list[nn.Module]:
    """A block that halves the image, and further blocks that keep its shape."""
    channels = a.channels[index]
    return [PooledBlock(in_channels, channels), *(ResidualConv(channels) for _ in range(a.blocks[index] - 1))]


def head(a: Architecture, features: int, classes: int) -> tuple[nn.Module, nn.Linear]:
    """Max pool and classifier. The weights start near zero, so that the first steps change the filters."""
    classifier = nn.Linear(features, classes, bias=False)
    nn.init.normal_(classifier.weight, std=1 / features)
    return GlobalMaxPool(a.pool) if a.pools_all else nn.MaxPool2d(a.pool), classifier
