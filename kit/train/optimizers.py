"""The optimizer, the learning-rate schedule and the averaged weights that a recipe asks for."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kit.lookahead import Lookahead
from kit.recipe import Recipe
from kit.train.muon import Muon

# The learning rates of shifts and classifier as shares of that of Muon's filters, for each image of a batch, since the
# source sums the loss over it. After Jordan's and Hiverge's records (github.com/hiverge/cifar10-speedrun).
SHIFT_SHARE, CLASSIFIER_SHARE, OTHER_MOMENTUM = 0.28, 2.64, 0.825


def build_optimizer(recipe: Recipe, model: nn.Module, dtype: torch.dtype = torch.float32) -> Optimizer:
    """SGD, Nesterov's, Adam or AdamW as fused kernels, or Muon in `dtype`; in Lookahead unless `lookahead_k` is 0."""
    parameters = model.parameters()
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimizer == "muon":
        inner = _build_muon(recipe, model, dtype)
    elif recipe.optimizer in ("sgd", "nesterov"):
        nesterov = recipe.optimizer == "nesterov"
        inner = SGD(parameters, momentum=recipe.momentum, nesterov=nesterov, **common)
        for p in model.parameters():  # the fused kernel leaves them unset where GradScaler skips its first step
            inner.state[p]["momentum_buffer"] = torch.zeros_like(p)
    else:
        cls = {"adam": Adam, "adamw": AdamW}[recipe.optimizer]
        inner = cls(parameters, betas=(recipe.momentum, 0.999), **common)
    return Lookahead(inner, recipe.lookahead_k, recipe.lookahead_alpha) if recipe.lookahead_k else inner


def _build_muon(recipe: Recipe, model: nn.Module, dtype: torch.dtype) -> Muon:
    """Filters at the recipe's rate; shifts and classifier at rates of their own, which shrink alike a step."""

    def group(lr: float, chosen: list[nn.Parameter]) -> dict:
        return {"params": chosen, "lr": lr, "momentum": OTHER_MOMENTUM, "weight_decay": recipe.weight_decay / lr}

    trained = [p for p in model.parameters() if p.requires_grad]
    features = model.classifier.in_features
    filters = {"params": [p for p in trained if p.ndim == 4], "lr": recipe.lr, "momentum": recipe.momentum}
    shifts = group(recipe.lr * SHIFT_SHARE * recipe.batch_size, [p for p in trained if p.ndim == 1])
    head = group(recipe.lr * CLASSIFIER_SHARE * recipe.batch_size / features**2, [p for p in trained if p.ndim == 2])
    return Muon([filters, shifts, head], dtype=dtype)


def lr_factor(recipe: Recipe, epoch_steps: Sequence[int], step: int) -> float:
    """The learning rate at `step` as a share of `recipe.lr`, where each epoch has its number of `epoch_steps`.

    Linear from zero over `warmup` epochs; then a half cosine to zero (Loshchilov & Hutter 2017, arXiv:1608.03983), a
    straight line to zero, a constant, or steps by 0.1 at 50 % and 75 % of the run.
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


def build_schedule(recipe: Recipe, optimizer: Optimizer, epoch_steps: Sequence[int]) -> LambdaLR:
    """`lr_factor` as a scheduler to be advanced after every step."""
    return LambdaLR(optimizer, lambda step: lr_factor(recipe, epoch_steps, step))


class AveragedWeights:
    """An exponential moving average of a network's weights and BatchNorm statistics (Polyak & Juditsky 1992).

    The average is torch.optim.swa_utils' own; its AveragedModel around it copies a counter to the device at every step,
    which makes the host wait.

    Attributes:
        module: a network with the averages, which begin at the weights that `model` has now.

    Args:
        model: the network in training; its tensors are read at every update.
        decay: share of the average that an update keeps, above 0 and below 1.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module, self._average = copy.deepcopy(model).requires_grad_(False), get_ema_multi_avg_fn(decay)
        pairs = zip(self.module.state_dict().values(), model.state_dict().values(), strict=True)
        self._averages, self._sources = zip(*((a, s) for a, s in pairs if a.is_floating_point()), strict=True)

    def update(self) -> None:
        """Move the averages towards the network's present values."""
        self._average(self._averages, self._sources, None)


def build_ema(recipe: Recipe, model: nn.Module) -> AveragedWeights | None:
    """The averaged weights that `ema` asks for, or None where it is 0."""
    return AveragedWeights(model, recipe.ema) if recipe.ema else None
