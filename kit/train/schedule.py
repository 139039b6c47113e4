"""The learning rate of every step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from kit.recipe import Recipe


def lr_factor(recipe: Recipe, epoch_steps: Sequence[int], step: int) -> float:
    """The learning rate of `step` as a share of `recipe.lr`; `epoch_steps` holds the number of steps of each epoch.

    It rises linearly from zero during `warmup` epochs. Then it follows a half cosine to zero (Loshchilov & Hutter 2017,
    arXiv:1608.03983) or a straight line to zero, stays constant, or falls by 0.1 at 50 % and at 75 % of the run.
    """
    warmup, total = recipe.warmup * epoch_steps[0], sum(epoch_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "step":
        return 0.1 ** ((step >= total / 2) + (step >= total * 3 / 4))
    done = (step - warmup) / max(total - warmup, 1)
    if recipe.schedule == "linear":
        return max(1 - done, 0.0)
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2


class Schedule:
    """Sets the learning rates of an optimizer.

    On a GPU a rate is a tensor on the device, which a CUDA graph reads again at every replay; the host fills it without
    waiting. On a CPU it is a Python number.

    Args:
        recipe: has schedule and warm-up.
        optimizer: the present rates of its groups are their highest ones.
        epoch_steps: the number of steps of each epoch.
    """

    def __init__(self, recipe: Recipe, optimizer: Optimizer, epoch_steps: Sequence[int]):
        self._recipe, self._optimizer, self._epoch_steps = recipe, optimizer, list(epoch_steps)
        self._highest = [float(group["lr"]) for group in optimizer.param_groups]
        device = optimizer.param_groups[0]["params"][0].device
        self._on_device = [torch.zeros((), device=device) for _ in self._highest] if device.type == "cuda" else None

    def rates(self, step: int) -> list[float]:
        """The learning rate of each group of parameters at `step`, counted from 0."""
        factor = lr_factor(self._recipe, self._epoch_steps, step)
        return [highest * factor for highest in self._highest]

    def set(self, step: int) -> None:
        """Set the optimizer's learning rates to those of `step`."""
        rates = self.rates(step)
        if self._on_device is not None:
            for tensor, rate in zip(self._on_device, rates, strict=True):
                tensor.fill_(rate)
        settings: Sequence[Tensor | float] = self._on_device or rates
        for group, setting in zip(self._optimizer.param_groups, settings, strict=True):
            group["lr"] = setting
