"""The basic form: He et al. 2015 (arXiv:1512.03385), as in kuangliu/pytorch-cifar for 32x32 images."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit.model.architecture import Architecture
from kit.model.norm import BatchNorm, ReLU, add_relu, relu


class BasicBlock(nn.Module):
    """ReLU(S(x) + F(x)); F is conv, BN, ReLU, dropout, conv, BN, and S the skip connection.

    S is the identity if the shapes agree, otherwise a convolution of size `skip_kernel` and BN.
    Takes (N, in_channels, H, W), returns (N, channels, H / stride, W / stride), rounded up.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        filter: int = 3,
        skip_kernel: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, filter, stride, padding=filter // 2, bias=False)
        self.bn1 = BatchNorm(channels)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(channels, channels, filter, padding=filter // 2, bias=False)
        self.bn2 = BatchNorm(channels)
        self.squeeze_excite = self.gate(channels)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, skip_kernel, stride, padding=skip_kernel // 2, bias=False)
            self.skip = nn.Sequential(conv, BatchNorm(channels))
        self.kind = f"2 conv {filter}x{filter}" + (f", stride {stride}" if stride > 1 else "")

    def gate(self, channels: int) -> nn.Module:
        """A module that weighs the channels of F(x), (N, channels, H, W); here it does nothing."""
        return nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = relu(self.bn1(self.conv1(x)))
        out = self.squeeze_excite(self.bn2(self.conv2(self.dropout(out))))
        return add_relu(out, self.skip(x))


class GlobalAvgPool(nn.AvgPool2d):
    """Average pool over the whole map, whatever its size; `kernel_size` is its size for 32x32 images."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, x.shape[2:])


def stem(a: Architecture) -> tuple[nn.Module, int]:
    """Convolution, BN and ReLU, (N, 3, 32, 32) to (N, channels, 32, 32); and the number of channels."""
    channels = a.channels[0]
    conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, BatchNorm(channels), ReLU()), channels


def layer(a: Architecture, index: int, in_channels: int, block: type[BasicBlock] = BasicBlock) -> list[nn.Module]:
    """The blocks of one layer. The first one changes the number of channels and has the stride."""
    channels, options = a.channels[index], (a.filter[index], a.skip_kernel[index], a.dropout)
    first = block(in_channels, channels, a.strides[index], *options)
    return [first, *(block(channels, channels, 1, *options) for _ in range(a.blocks[index] - 1))]


def head(a: Architecture, features: int, classes: int) -> tuple[nn.Module, nn.Linear]:
    """Average pool and classifier."""
    return GlobalAvgPool(a.pool) if a.pools_all else nn.AvgPool2d(a.pool), nn.Linear(features, classes)
