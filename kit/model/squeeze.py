"""The form `se`: basic blocks with squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507)."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit.model import basic
from kit.model.architecture import Architecture
from kit.model.basic import BasicBlock, head, stem

__all__ = ["SEBlock", "SqueezeExcite", "head", "layer", "stem"]  # stem and head are the basic form's


class SqueezeExcite(nn.Module):
    """Multiply each channel by a gate that is computed from the means of all channels; keeps (N, channels, H, W)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu(self.reduce(x.mean((2, 3))))).sigmoid()  # (N, channels)
        return x * gate[:, :, None, None]


class SEBlock(BasicBlock):
    """A basic block that weighs the channels of its residual before the skip connection is added."""

    def gate(self, channels: int) -> nn.Module:
        return SqueezeExcite(channels)


def layer(a: Architecture, index: int, in_channels: int) -> list[nn.Module]:
    """The blocks of one layer."""
    return basic.layer(a, index, in_channels, SEBlock)
