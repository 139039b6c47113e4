"""Residual networks for 32x32 images, described by the design variables of the paper.

A network is channels C_i and blocks per layer, filter size F_i, skip kernel size K_i and pool size P. After He et
al. 2015 (arXiv:1512.03385) in the CIFAR form of kuangliu/pytorch-cifar; squeeze-and-excitation after Hu et al. 2018
(arXiv:1709.01507).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.model.pooled import PATCH, PooledBlock, ResidualConv, WhiteningStem

PARAMETER_BUDGET = 5_000_000
IMAGE_SIDE = 32


@dataclass(frozen=True)
class Architecture:
    """The design variables of one network.

    Attributes:
        channels: C_i, the channels of each layer.
        blocks: blocks in each layer.
        filter: F_i, the odd size of the square filters of each layer.
        skip_kernel: K_i, the odd size of each layer's skip convolution (where shapes change).
        pool: P, the size of the average pool after the last layer; None pools the whole map.
        dropout: probability between the two convolutions of a block, 0 up to 1.
        strides: stride of the first block of each layer; None is 1, then 2 for every further layer.
        squeeze_excite: whether each block weighs its channels by squeeze-and-excitation.
        pooled: the form for short trainings: a whitening stem, and layers of a PooledBlock, in place of a stride, and
            ResidualConvs. Takes filters of 3 and no dropout.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    filter: int | tuple[int, ...] = 3
    skip_kernel: int | tuple[int, ...] = 1
    pool: int | None = None
    dropout: float = 0.0
    strides: tuple[int, ...] | None = None
    squeeze_excite: bool = False
    pooled: bool = False


ARCHITECTURES = {
    # The rows of the paper's Table 1. Its third row prints blocks 4,3,2,1 beside the parameters of 4,3,2,2.
    "paper": Architecture((64, 128, 256), (4, 5, 3)),  # 4,992,586 parameters
    "table1-1111": Architecture((64, 128, 256, 512), (1, 1, 1, 1)),  # 4,903,242
    "table1-2222": Architecture((64, 128, 230, 270), (2, 2, 2, 2)),  # 4,995,102
    "table1-4322": Architecture((64, 128, 192, 230), (4, 3, 2, 2)),  # 4,236,302
    "table1-4321": Architecture((64, 128, 192, 230), (4, 3, 2, 1)),  # 3,283,182, as printed
    "se": Architecture((64, 128, 256), (4, 4, 3), squeeze_excite=True),  # the best team's shape
    # For CPUs.
    "fast": Architecture((64, 256, 256), (1, 1, 1), pooled=True),
    "small": Architecture((32, 64, 128), (1, 1, 1)),
    "tiny": Architecture((16, 32, 64), (1, 1, 1)),
}


class SqueezeExcite(nn.Module):
    """Weigh each channel by a gate computed from all channels' means (Hu et al. 2018), reduction 16."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu(self.reduce(x.mean((2, 3))))).sigmoid()
        return x * gate[:, :, None, None]


class BasicBlock(nn.Module):
    """ReLU(S(x) + F(x)) where F is conv, BN, ReLU, dropout, conv, BN and S the skip connection.

    S is the identity where shapes agree, otherwise a convolution of size `skip_kernel` and BN.
    Takes (N, in_channels, H, W), returns (N, channels, H / stride, W / stride).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        filter: int = 3,
        skip_kernel: int = 1,
        dropout: float = 0.0,
        squeeze_excite: bool = False,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, filter, stride, padding=filter // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(channels, channels, filter, padding=filter // 2, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.squeeze_excite = SqueezeExcite(channels) if squeeze_excite else nn.Identity()
        self.skip = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, skip_kernel, stride, padding=skip_kernel // 2, bias=False)
            self.skip = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.squeeze_excite(self.bn2(self.conv2(self.dropout(out))))
        return F.relu(out.add_(self.skip(x)), inplace=True)


class ResNet(nn.Module):
    """A residual network; float images (N, 3, 32, 32), normalised, to float logits (N, classes).

    Raises:
        ValueError: the design variables contradict each other or leave no image to pool.
    """

    def __init__(self, architecture: Architecture, classes: int = 10):
        super().__init__()
        a = _checked(architecture)
        self.architecture = a
        self.stem = WhiteningStem() if a.pooled else _stem(a.channels[0])
        widths = (WhiteningStem.channels if a.pooled else a.channels[0], *a.channels)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(*_layer(a, index, fan_in, fan_out))
                for index, (fan_in, fan_out) in enumerate(pairwise(widths))
            )
        )
        self.pool = nn.MaxPool2d(a.pool) if a.pooled else nn.AvgPool2d(a.pool)
        features = a.channels[-1] * (_last_side(a) // a.pool) ** 2
        self.classifier = nn.Linear(features, classes, bias=not a.pooled)
        if a.pooled:  # near zero, so that the first steps are the filters'
            nn.init.normal_(self.classifier.weight, std=1 / features)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.pool(self.layers(self.stem(images))).flatten(1))


def _stem(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _layer(a: Architecture, index: int, fan_in: int, fan_out: int) -> list[nn.Module]:
    further = range(a.blocks[index] - 1)
    if a.pooled:
        return [PooledBlock(fan_in, fan_out), *(ResidualConv(fan_out) for _ in further)]
    options = (a.filter[index], a.skip_kernel[index], a.dropout, a.squeeze_excite)
    first = BasicBlock(fan_in, fan_out, a.strides[index], *options)
    return [first, *(BasicBlock(fan_out, fan_out, 1, *options) for _ in further)]


def _last_side(a: Architecture) -> int:
    side = IMAGE_SIDE - PATCH + 1 if a.pooled else IMAGE_SIDE
    for stride in a.strides:
        side = side // stride if a.pooled else -(-side // stride)
    return side


def _checked(a: Architecture) -> Architecture:
    """Spell out every default of `a` and refuse what cannot be built."""
    layers = len(a.channels)
    strides = a.strides or (2 if a.pooled else 1,) + (2,) * (layers - 1)
    filters, skips = (v if isinstance(v, tuple) else (v,) * layers for v in (a.filter, a.skip_kernel))
    for name, values in (("blocks", a.blocks), ("filter", filters), ("skip_kernel", skips), ("strides", strides)):
        if len(values) != layers or min(values, default=0) < 1:
            raise ValueError(f"{name} has to be {layers} whole numbers from 1, one a layer, not {values}")
    for name, values in (("filter", filters), ("skip_kernel", skips)):
        if any(v % 2 == 0 for v in values):
            raise ValueError(f"{name} has to be odd, so that the image keeps its size, not {values}")
    if min(a.channels, default=0) < 1:
        raise ValueError(f"channels have to be whole numbers from 1, not {a.channels}")
    if a.pooled and (a.strides or a.dropout or a.squeeze_excite or {*filters} != {3}):
        raise ValueError("a pooled network takes filters of 3, no strides, dropout or squeeze-excite")
    if not 0 <= a.dropout < 1:
        raise ValueError(f"dropout has to be from 0 up to 1, not {a.dropout}")
    full = replace(a, filter=filters, skip_kernel=skips, strides=strides)
    side = _last_side(full)
    if side < 1:
        raise ValueError(f"a pooled network has at most 4 layers, each of which halves the image, not {layers}")
    if not 1 <= (a.pool or side) <= side:
        raise ValueError(f"pool has to be from 1 to {side}, the size of the last layer's map, not {a.pool}")
    return replace(full, pool=a.pool or side)


def parse(text: str) -> Architecture:
    """Read an architecture: a name of ARCHITECTURES, or channels and blocks spelt out as `64,128,256/4,5,3`.

    `+se` after either adds squeeze-and-excitation, `+pooled` takes the form for short trainings.

    Raises:
        ValueError: the text is neither; the message lists what is allowed.
    """
    base, _, extra = text.strip().partition("+")
    try:
        changes = {"": {}, "se": {"squeeze_excite": True}, "pooled": {"pooled": True}}[extra]
        if base in ARCHITECTURES:
            found = ARCHITECTURES[base]
        else:
            channels, blocks = (tuple(int(v) for v in part.split(",")) for part in base.split("/"))
            found = Architecture(channels, blocks)
    except (ValueError, KeyError):
        names = ", ".join(ARCHITECTURES)
        raise ValueError(
            f"arch {text!r} is not known: use one of {names}, or channels and blocks such as 64,128,256/4,5,3"
        ) from None
    return replace(found, **changes)


def build(
    arch: str | Architecture = "paper",
    filter: int | Sequence[int] | None = None,
    skip_kernel: int | Sequence[int] | None = None,
    pool: int | None = None,
    dropout: float | None = None,
    classes: int = 10,
) -> ResNet:
    """Build a network by name or by its design variables; what is None keeps the architecture's own value.

    Raises:
        ValueError: the architecture is unknown or cannot be built.
    """
    architecture = parse(arch) if isinstance(arch, str) else arch
    given = {"filter": filter, "skip_kernel": skip_kernel, "pool": pool, "dropout": dropout}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    return ResNet(replace(architecture, **given), classes)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters of `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def check_budget(model: nn.Module, budget: int = PARAMETER_BUDGET) -> int:
    """Return the number of trainable parameters.

    Raises:
        ValueError: there are more than `budget`.
    """
    count = count_parameters(model)
    if count > budget:
        raise ValueError(
            f"the network has {count:,} trainable parameters and the competition allows {budget:,}: "
            "choose fewer channels or blocks"
        )
    return count


@dataclass(frozen=True)
class LayerSummary:
    """One line of a network's drawing: name, what it is, output shape (channels, height, width), parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@torch.no_grad()
def summarize(model: ResNet) -> list[LayerSummary]:
    """List stem, blocks, pool and classifier with their output shapes and trainable parameters."""
    parts = {"stem": model.stem}
    for i, layer in enumerate(model.layers, 1):
        parts |= {f"layer {i}, block {j}": block for j, block in enumerate(layer, 1)}
    parts |= {"pool": model.pool, "classifier": model.classifier}
    was_training = model.training
    model.eval()
    x, rows = torch.zeros(1, 3, IMAGE_SIDE, IMAGE_SIDE, device=next(model.parameters()).device), []
    for name, part in parts.items():
        x = part(x.flatten(1) if part is model.classifier else x)
        rows.append(LayerSummary(name, _kind(part), tuple(x.shape[1:]), count_parameters(part)))
    model.train(was_training)
    return rows


def _kind(part: nn.Module) -> str:
    if isinstance(part, BasicBlock):
        conv, size = part.conv1, part.conv1.kernel_size[0]
        stride = f", stride {conv.stride[0]}" if conv.stride[0] > 1 else ""
        return f"2 conv {size}x{size}{stride}"
    if isinstance(part, PooledBlock):
        return "conv 3x3, max pool, conv 3x3"
    if isinstance(part, nn.AvgPool2d | nn.MaxPool2d):
        return f"{'average' if isinstance(part, nn.AvgPool2d) else 'max'} pool {part.kernel_size}x{part.kernel_size}"
    if isinstance(part, nn.Linear):
        return "linear"
    side = next(m for m in part.modules() if isinstance(m, nn.Conv2d)).kernel_size[0]
    return f"conv {side}x{side}"


def flops(model: ResNet) -> int:
    """Multiply-add operations times two of one image's forward pass, in the convolutions and linear layers."""
    total, hooks = 0, []

    def count(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        nonlocal total
        total += 2 * module.weight.numel() * prod(output.shape[2:])

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(count))
    summarize(model)
    for hook in hooks:
        hook.remove()
    return total
