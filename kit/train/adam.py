"""Adam (Kingma & Ba 2015, arXiv:1412.6980) and AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

import torch
from torch import nn
from torch.optim import Adam, AdamW

from kit.recipe import Recipe

BETA2 = 0.999


def build(recipe: Recipe, model: nn.Module, _dtype: torch.dtype) -> Adam | AdamW:
    """torch's Adam or AdamW, with one kernel for all parameters; on a GPU in a form that CUDA graphs can record."""
    cls = AdamW if recipe.optimizer == "adamw" else Adam
    on_gpu = next(model.parameters()).is_cuda
    return cls(model.parameters(), recipe.lr, (recipe.momentum, BETA2), weight_decay=recipe.weight_decay, fused=True,
               capturable=on_gpu)  # fmt: skip
