"""Muon for filters and SGD with Nesterov's momentum for all other parameters, in one optimizer.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); the form for convolutions, with weights of fixed norm, is that
of cifar10-airbench. torch.optim.Muon takes matrices only.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kit.model import ResNet
from kit.recipe import Recipe

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the source's polynomial, which moves singular values to about 1
ITERATIONS = 3
# Learning rates of shifts and classifier, relative to that of the filters and per image of a batch, since the source
# sums the loss over the batch. From the records of Jordan and Hiverge (github.com/hiverge/cifar10-speedrun).
SHIFT_SHARE, CLASSIFIER_SHARE, OTHER_MOMENTUM = 0.28, 2.64, 0.825


def orthogonalize(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """U S V^T with S near 1 for a matrix U D V^T, by three Newton-Schulz iterations.

    Args:
        matrix: float (rows, columns).
        dtype: precision of the iterations.

    Returns:
        float (rows, columns) in the type of `matrix`; its singular values are about 0.5 to 1.5, unless they were tiny.
    """
    a, b, c = COEFFICIENTS
    wide = len(matrix) <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = (x / (x.norm() + 1e-7)).to(dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.T).to(matrix.dtype)


class Muon(Optimizer):
    """Muon for filters (4 dimensions), and SGD with Nesterov's momentum for all other parameters.

    The update of a filter bank (out, in, h, w), as a matrix (out, in * h * w), is made orthogonal. Before each step the
    bank is scaled to the norm sqrt(out). Its scale has no effect, since BatchNorm follows; with a fixed norm the
    learning rate alone decides how fast its direction changes. All other parameters shrink by lr * weight_decay per
    step, as in AdamW.

    Args:
        params: parameters, or groups with their own settings.
        lr: step size, above 0.
        momentum: 0 up to 1.
        weight_decay: 0 or more; filters take none.
        dtype: precision of the iterations.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.2,
        momentum: float = 0.65,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ):
        if lr <= 0 or not 0 <= momentum < 1 or weight_decay < 0:
            raise ValueError(
                "lr has to be above 0, momentum from 0 up to 1 and weight_decay 0 or more, "
                f"not {lr}, {momentum} and {weight_decay}"
            )
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step, and return the loss that `closure` computes, if there is one.

        If the attribute `found_inf` exists (float tensor on the device) and is 1, nothing changes. GradScaler sets it
        if gradients are infinite; the host does not read it.
        """
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        found_inf = getattr(self, "found_inf", None)
        taken = None if found_inf is None else found_inf == 0  # bool, a scalar
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group, taken)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict, taken: Tensor | None) -> None:
        state, lr, momentum = self.state[parameter], group["lr"], group["momentum"]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        if taken is not None:  # a skipped step uses no gradient, keeps its momentum and does not move
            gradient = torch.where(taken, gradient, 0.0)
            lr = lr * taken
        kept = momentum if taken is None else torch.where(taken, momentum, 1.0)
        buffer = state["momentum_buffer"].mul_(kept).add_(gradient)
        update = gradient.add(buffer, alpha=momentum)
        if parameter.ndim == 4:
            scale = len(parameter) ** 0.5 / parameter.norm()
            parameter.mul_(scale if taken is None else torch.where(taken, scale, 1.0))
            update = orthogonalize(update.flatten(1), self.dtype).view_as(parameter)
        else:
            parameter.mul_(1 - lr * group["weight_decay"])
        if isinstance(lr, Tensor):
            parameter.addcmul_(update, lr, value=-1)
        else:
            parameter.add_(update, alpha=-lr)


def build(recipe: Recipe, model: ResNet, dtype: torch.dtype) -> Muon:
    """Filters get the recipe's learning rate; shifts and classifier have other rates, and the same decay per step."""

    def group(lr: float, chosen: list[nn.Parameter]) -> dict:
        return {"params": chosen, "lr": lr, "momentum": OTHER_MOMENTUM, "weight_decay": recipe.weight_decay / lr}

    trained = [p for p in model.parameters() if p.requires_grad]
    features = model.classifier.in_features
    filters = {"params": [p for p in trained if p.ndim == 4], "lr": recipe.lr, "momentum": recipe.momentum}
    shifts = group(recipe.lr * SHIFT_SHARE * recipe.batch_size, [p for p in trained if p.ndim == 1])
    head = group(recipe.lr * CLASSIFIER_SHARE * recipe.batch_size / features**2, [p for p in trained if p.ndim == 2])
    return Muon([filters, shifts, head], dtype=dtype)
