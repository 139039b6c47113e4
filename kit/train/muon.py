"""Muon for filters, with Nesterov's momentum for all else, in one optimizer.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); the form for convolutions, with weights of fixed norm, after
cifar10-airbench. torch.optim.Muon takes matrices only.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the quintic of the source: steepest at zero, singular values to about 1
ITERATIONS = 3


def orthogonalize(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """U S V^T with S near 1 for a matrix U D V^T, by three Newton-Schulz iterations.

    Args:
        matrix: float (rows, columns).
        dtype: precision of the iterations.

    Returns:
        float (rows, columns) in the type of `matrix`; singular values that are not tiny end between about 0.5 and 1.5.
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
    """Steps of orthogonal matrices for filters (4 dimensions); SGD with Nesterov's momentum for all other parameters.

    A filter bank (out, in, h, w) is one matrix (out, in * h * w). Before its step it is scaled to the norm sqrt(out);
    BatchNorm behind it makes that scale meaningless, so that the step size alone says how fast it turns. All other
    parameters shrink by lr * weight_decay a step, as in AdamW.

    Args:
        params: parameters, or groups with settings of their own.
        lr: step size, above 0.
        momentum: 0 up to 1.
        weight_decay: 0 or more; filters take none.
        dtype: precision of the iterations.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(self, params, lr: float = 0.2, momentum: float = 0.65, weight_decay: float = 0.0,
                 dtype: torch.dtype = torch.float32):  # fmt: skip
        if lr <= 0 or not 0 <= momentum < 1 or weight_decay < 0:
            raise ValueError(
                "lr has to be above 0, momentum from 0 up to 1 and weight_decay 0 or more, "
                f"not {lr}, {momentum} and {weight_decay}"
            )
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One step; returns what `closure`, which recomputes the loss, gives."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict) -> None:
        state, gradient = self.state[parameter], parameter.grad
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(buffer, alpha=group["momentum"])
        if parameter.ndim == 4:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
            update = orthogonalize(update.flatten(1), self.dtype).view_as(parameter)
        else:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"])
