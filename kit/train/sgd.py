"""SGD with momentum, and with Nesterov's form of it, as one kernel for all parameters."""

import torch
from torch import nn
from torch.optim import SGD

from kit.recipe import Recipe


def build(recipe: Recipe, model: nn.Module, _dtype: torch.dtype) -> SGD:
    """torch's own, whose fused kernel reads the rate and `found_inf` on the device."""
    optimizer = SGD(model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay,
                    nesterov=recipe.optimizer == "nesterov", fused=True)  # fmt: skip
    for parameter in model.parameters():  # if the first step is skipped, the fused kernel leaves it uninitialised
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer
