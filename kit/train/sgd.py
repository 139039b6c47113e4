"""SGD with momentum, also in Nesterov's form, with one kernel for all parameters."""

import torch
from torch import nn
from torch.optim import SGD

from kit.recipe import Recipe


def build(recipe: Recipe, model: nn.Module, _dtype: torch.dtype) -> SGD:
    """torch's SGD; its fused kernel reads the learning rate and `found_inf` on the device."""
    optimizer = SGD(model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay,
                    nesterov=recipe.optimizer == "nesterov", fused=True)  # fmt: skip
    for parameter in model.parameters():  # the fused kernel leaves it uninitialised if it skips the first step
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
