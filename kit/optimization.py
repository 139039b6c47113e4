"""The optimizer, the learning-rate schedule and the averaged weights that a recipe asks for."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kit.lookahead import Lookahead
from kit.recipe import Recipe


def build_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """SGD, Nesterov's, Adam or AdamW as fused kernels, inside Lookahead where `lookahead_k` is not 0."""
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer in ("sgd", "nesterov"):
        nesterov = recipe.optimizer == "nesterov"
        inner = SGD(parameters, momentum=recipe.momentum, nesterov=nesterov, **common)
    else:
        cls = {"adam": Adam, "adamw": AdamW}[recipe.optimizer]
        inner = cls(parameters, betas=(recipe.momentum, 0.999), **common)
    return Lookahead(inner, recipe.lookahead_k, recipe.lookahead_alpha) if recipe.lookahead_k else inner


def lr_factor(recipe: Recipe, steps_per_epoch: int, step: int) -> float:
    """The learning rate at `step` as a share of `recipe.lr`.

    Linear from zero over `warmup` epochs; then a half cosine to zero (Loshchilov & Hutter 2017, arXiv:1608.03983), a
    constant, or steps by 0.1 at 50 % and 75 % of the run.
    """
    warmup, total = recipe.warmup * steps_per_epoch, recipe.epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "step":
        return 0.1 ** ((step >= total / 2) + (step >= total * 3 / 4))
    done = (step - warmup) / max(total - warmup, 1)
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2


def build_schedule(recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int) -> LambdaLR:
    """`lr_factor` as a scheduler to be advanced after every step."""
    return LambdaLR(optimizer, lambda step: lr_factor(recipe, steps_per_epoch, step))


def build_ema(recipe: Recipe, model: nn.Module) -> AveragedModel | None:
    """An exponential moving average of weights and BatchNorm statistics, or None where `ema` is 0."""
    if not recipe.ema:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
