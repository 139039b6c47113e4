"""The optimizer that a recipe asks for.

An optimizer is a module of this folder with a function `build(recipe, model, dtype)`, and a row of `recipe.OPTIMIZERS`,
which names the module. CUDA graphs replay its step without the host. Therefore it takes learning rates that are tensors
on the device, and its step changes nothing if its attribute `found_inf` (a float tensor on the device, set in fp16) is
1.
"""

from importlib import import_module

import torch
from torch.optim import Optimizer

from kit.lookahead import Lookahead
from kit.model import ResNet
from kit.recipe import OPTIMIZERS, Recipe


def build_optimizer(recipe: Recipe, model: ResNet, dtype: torch.dtype = torch.float32) -> Optimizer:
    """The recipe's optimizer for the parameters of `model`, inside Lookahead unless `lookahead_k` is 0.

    Args:
        recipe: has the optimizer and its settings.
        model: the network.
        dtype: precision of matrix products inside the optimizer; only Muon has such products.
    """
    inner = import_module(f"kit.train.{OPTIMIZERS[recipe.optimizer]}").build(recipe, model, dtype)
    return Lookahead(inner, recipe.lookahead_k, recipe.lookahead_alpha) if recipe.lookahead_k else inner
