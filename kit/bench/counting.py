"""What a training step asks of a GPU: its kernels, each with the bytes it moves and the operations it makes.

Forward and backward pass run on tensors without values (torch's device `meta`), and every operator is counted as the
kernels that it is on a GPU. Optimizer, averages and bookkeeping are counted from the number of weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kit.model import ResNet, count_parameters, draft
from kit.recipe import Recipe
from kit.train import build_optimizer

ALIGNED = 8  # tensor cores take 16-bit channels in eights
OPTIMIZER_PASSES = {"sgd": 5, "nesterov": 5, "adam": 7, "adamw": 7}  # tensors of float32 read or written per weight
NORM_PASSES, EMA_PASSES = 1, 3
LOOKAHEAD_PASSES = 7  # in each cycle: slow weights taken (2), moved (3), and given back (2)


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes:
        name: the operator that it belongs to.
        bytes: what it reads and writes.
        flops: multiply-add operations times two, with channels rounded up to multiples of ALIGNED.
        padding: bytes that copies to such channels read and write besides; part of `bytes`.
    """

    name: str
    bytes: float
    flops: float = 0.0
    padding: float = 0.0


def count_step(recipe: Recipe, side: int, dtype: torch.dtype = torch.bfloat16, classes: int = 10) -> list[Kernel]:
    """The kernels of one training step of `recipe` on images of `side` pixels.

    Args:
        recipe: gives network, batch size, loss, optimizer and averages.
        side: height and width of the images.
        dtype: precision of convolutions and linear layers, with two bytes, or float32. Weights are float32.
        classes: number of classes.
    """
    shown = recipe.batch_size * recipe.copies
    mixes = recipe.mixup_alpha or recipe.cutmix_alpha or recipe.regmixup_alpha
    model = _lowered(draft(recipe.architecture, classes), dtype)
    images = torch.empty(shown, 3, side, side, dtype=dtype, device="meta")
    with _Counter() as counter:
        targets = torch.empty(shown, classes, device="meta") if mixes else torch.empty(shown, device="meta").long()
        loss = F.cross_entropy(model(images).float(), targets, label_smoothing=recipe.label_smoothing)
        loss.backward()
    return [*counter.kernels, *_casts(model, images), *_updates(recipe, classes, dtype)]


def _lowered(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`model` with convolutions and linear layers in `dtype`, as autocast computes them; norms stay float32."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
    return model


def _casts(model: nn.Module, images: Tensor) -> Iterator[Kernel]:
    """Weights and images to the lower precision, and gradients of the weights back to float32."""
    if images.dtype == torch.float32:
        return
    yield Kernel("cast", images.numel() * (4 + images.itemsize))
    for parameter in model.parameters():
        if parameter.dtype != torch.float32:
            moved = parameter.numel() * (4 + parameter.itemsize)
            yield Kernel("cast", moved)
            if parameter.requires_grad:
                yield Kernel("cast", moved)


def _updates(recipe: Recipe, classes: int, dtype: torch.dtype) -> Iterator[Kernel]:
    """Gradient norm, optimizer, Lookahead and averaged weights; all weights are read and written together."""
    model = draft(recipe.architecture, classes)
    weights = 4 * count_parameters(model)  # bytes of a pass
    yield Kernel("gradient norm", NORM_PASSES * weights)
    if recipe.optimizer in OPTIMIZER_PASSES:
        yield Kernel("optimizer", OPTIMIZER_PASSES[recipe.optimizer] * weights)
    else:
        yield from _optimizer_step(recipe, model, dtype)
    if recipe.lookahead_k:
        yield Kernel("lookahead", LOOKAHEAD_PASSES * weights / recipe.lookahead_k)
    if recipe.ema:
        yield Kernel("averages", EMA_PASSES * weights)


def _optimizer_step(recipe: Recipe, model: ResNet, dtype: torch.dtype) -> list[Kernel]:
    """The kernels of an optimizer that is not one kernel, such as Muon."""
    optimizer = build_optimizer(recipe.replace(lookahead_k=0), model, dtype)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()  # makes its state
    with _Counter() as counter:
        optimizer.step()
    return counter.kernels


class _Counter(TorchDispatchMode):
    """Within: lists the kernels of every operator."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        if not func.is_view and not name.startswith(("empty", "new_empty", "detach")):
            self.kernels += _KINDS.get(name, _once)(name, func, args, out)
        return out


def _size(value: Any) -> int:
    """Bytes of all tensors in `value`."""
    return sum(x.numel() * x.element_size() for x in tree_leaves(value) if isinstance(x, Tensor))


def _once(name: str, func: Any, args: tuple, out: Any) -> list[Kernel]:
    """One kernel that reads every input and writes every output."""
    return [Kernel(name, _size(args) + _size(out))]


def _product(name: str, func: Any, args: tuple, out: Tensor) -> list[Kernel]:
    """A product of matrices, (m, k) x (k, n), with or without a matrix that is added."""
    inner = args[-2].shape[1]
    return [Kernel(name, _size(args) + _size(out), 2 * out.numel() * inner)]


def _convolution(name: str, func: Any, args: tuple, out: Tensor) -> list[Kernel]:
    x, w = args[:2]
    return [_convolving(name, (x, w, out), x, w, out)]


def _convolution_backward(name: str, func: Any, args: tuple, out: tuple) -> list[Kernel]:
    """A kernel for the gradient of the maps, where it is wanted, and one for that of the filters."""
    y, x, w = args[:3]
    read = zip(out[:2], (w, x), strict=True)  # the gradient of the maps takes the filters, that of the filters the maps
    return [_convolving(name, (y, other, gradient), x, w, y) for gradient, other in read if gradient is not None]


def _convolving(name: str, moved: tuple[Tensor, ...], x: Tensor, w: Tensor, y: Tensor) -> Kernel:
    """One convolution of x (n, in, h, w) and w (out, in, k, k) to y (n, out, h, w), or one of its gradients."""
    padding = 0
    if x.itemsize == 2 and x.shape[1] > 3:  # cuDNN has kernels of its own for images
        padding = sum(2 * _size(t) for t in moved if t.ndim == 4 and t.shape[1] % ALIGNED)
    inner = _aligned(w.shape[1]) if x.shape[1] > 3 else w.shape[1]
    operations = 2 * y.numel() // w.shape[0] * _aligned(w.shape[0]) * inner * prod(w.shape[2:])
    return Kernel(name, _size(moved) + padding, operations, padding)


def _aligned(channels: int) -> int:
    return -(-channels // ALIGNED) * ALIGNED


def _norm(name: str, func: Any, args: tuple, out: tuple) -> list[Kernel]:
    """BatchNorm reads its input for the statistics, and again to normalise it."""
    x = _size(args[0])
    return [Kernel(name, x), Kernel(name, 0), Kernel(name, x + _size(out[0]))]


def _norm_backward(name: str, func: Any, args: tuple, out: tuple) -> list[Kernel]:
    """Its backward pass reads gradient and input for two sums, and again for the gradient of the input."""
    both = _size(args[:2])
    return [Kernel(name, both), Kernel(name, both + _size(out[0]))]


_KINDS: dict[str, Callable[[str, Any, tuple, Any], list[Kernel]]] = {
    "convolution": _convolution, "convolution_backward": _convolution_backward, "mm": _product, "addmm": _product,
    "native_batch_norm": _norm, "native_batch_norm_backward": _norm_backward,
}  # fmt: skip
