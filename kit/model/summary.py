"""The parts of a network, and the arithmetic for one image."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from kit.model.architecture import IMAGE_SIDE
from kit.model.parameterbudget import count_parameters
from kit.model.resnet import ResNet


@dataclass(frozen=True)
class LayerSummary:
    """One part of a network: name, kind, output shape (channels, height, width), trainable parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@torch.no_grad()
def summarize(model: ResNet, side: int = IMAGE_SIDE) -> list[LayerSummary]:
    """List stem, blocks, pool and classifier, with output shapes for images of `side` pixels."""
    parts: dict[str, nn.Module] = {"stem": model.stem}
    for i, layer in enumerate(model.layers, 1):
        parts |= {f"layer {i}, block {j}": block for j, block in enumerate(layer.children(), 1)}
    parts |= {"pool": model.pool, "classifier": model.classifier}
    was_training = model.training
    model.eval()
    x = torch.zeros(1, 3, side, side, device=next(model.parameters()).device)
    rows = []
    for name, part in parts.items():
        x = part(x.flatten(1) if part is model.classifier else x)
        rows.append(LayerSummary(name, _kind(part), tuple(x.shape[1:]), count_parameters(part)))
    model.train(was_training)
    return rows


def _kind(part: nn.Module) -> str:
    """The kind of a part, in words; a block has it as attribute `kind`."""
    if isinstance(kind := getattr(part, "kind", None), str):
        return kind
    if isinstance(part, nn.AvgPool2d | nn.MaxPool2d):
        return f"{'average' if isinstance(part, nn.AvgPool2d) else 'max'} pool {part.kernel_size}x{part.kernel_size}"
    if isinstance(part, nn.Linear):
        return "linear"
    side = next(m for m in part.modules() if isinstance(m, nn.Conv2d)).kernel_size[0]
    return f"conv {side}x{side}"


def flops(model: ResNet, side: int = IMAGE_SIDE) -> int:
    """Floating-point operations of one image's forward pass: twice the multiply-adds of convolutions and linear layers.

    `side` is the height and width of the image in pixels.
    """
    total, hooks = 0, []

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.get_parameter("weight")
        total += 2 * weight.numel() * prod(output.shape[2:])

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(count))
    summarize(model, side)
    for hook in hooks:
        hook.remove()
    return total
