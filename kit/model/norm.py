"""BatchNorm, ReLU and addition of the basic form.

On a CPU, without torch.compile, and with several processes these are torch's own operators. In a training that
torch.compile makes kernels for, their gradients are written such that the kernels, whose time is that of the GPU's
memory, read and write each map as seldom as they can:

- A ReLU finds from its input where its gradient is zero. The kernel reads what the input is computed from anyway, but
  not the output.
- BatchNorm keeps scale and shift in one tensor. What depends on more than four tensors and is used more than once is
  written to memory by inductor (torch 2.14): that is right for the gradient at the end of a block, but not within it.
- Sums over images come before sums over pixels. The first ones are then small enough to be made by the kernel that
  writes the gradient of the ReLU; the second ones are made together.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """torch's BatchNorm2d, with a gradient of its own in compiled training on a GPU."""

    running_mean: Tensor
    running_var: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and fuses(x)):
            return super().forward(x)
        out, mean, variance = Normalize.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():  # num_batches_tracked stays as it is: nothing reads it, and each would be a kernel
            n = x.numel() // x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
        return out


class ReLU(nn.Module):
    """`relu` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


def relu(x: Tensor) -> Tensor:
    """ReLU; it may overwrite `x`."""
    return F.threshold(x, 0, 0) if fuses(x) else F.relu(x, inplace=True)


def add_relu(x: Tensor, skip: Tensor) -> Tensor:
    """ReLU(x + skip); it may overwrite `x`."""
    return AddReLU.apply(x, skip) if fuses(x) else F.relu(x.add_(skip), inplace=True)


def fuses(x: Tensor) -> bool:
    """Whether torch.compile is making kernels for one GPU. Older versions cannot split such gradients for several."""
    return torch.compiler.is_compiling() and x.is_cuda and not torch.distributed.is_initialized()


class Normalize(torch.autograd.Function):
    """BatchNorm with the statistics of the batch (Ioffe & Szegedy 2015, arXiv:1502.03167).

    Takes (N, C, H, W), scale and shift (C,), and eps; returns the normalised maps and the mean and variance (C,).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        table = torch.stack([scale, bias - mean * scale, mean, inverse])[..., None, None]  # (4, C, 1, 1)
        ctx.save_for_backward(x, table)
        ctx.mark_non_differentiable(mean, variance)
        return (x * table[0] + table[1]).to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, table = ctx.saved_tensors
        scale, _, mean, inverse = table
        normalised = (x - mean) * inverse
        of_bias, of_weight = channel_sums(gradient.float(), gradient * normalised)
        of_x = scale * (gradient - (of_bias + normalised * of_weight) * (x.shape[1] / x.numel()))
        return of_x.to(x.dtype), of_weight.flatten(), of_bias.flatten(), None


def channel_sums(*maps: Tensor) -> Tensor:
    """Sums over images and pixels, each (N, C, H, W), to (number of maps, C, 1, 1)."""
    return torch.stack([x.permute(0, 2, 3, 1).sum(0) for x in maps]).sum((1, 2))[..., None, None]


class AddReLU(torch.autograd.Function):
    """ReLU(x + y)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return (x + y).relu()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        gradient = torch.where(x > -y, gradient, 0)
        return gradient, gradient
