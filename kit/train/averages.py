"""Averaged weights: an exponential moving average of a network in training."""

import copy

from torch.optim.swa_utils import get_ema_multi_avg_fn

from kit.model import ResNet
from kit.recipe import Recipe


class AveragedWeights:
    """An exponential moving average of a network's weights and BatchNorm statistics (Polyak & Juditsky 1992).

    The arithmetic is from torch.optim.swa_utils. Its AveragedModel is not used: at every step it copies a counter to
    the device, and the host waits for the copy.

    Attributes:
        module: a network with the averages; they start from the present weights of `model`.

    Args:
        model: the network in training; every update reads its tensors.
        decay: share of the average that each update keeps, above 0 and below 1.
    """

    def __init__(self, model: ResNet, decay: float):
        self.module, self._average = copy.deepcopy(model).requires_grad_(False), get_ema_multi_avg_fn(decay)
        pairs = zip(self.module.state_dict().values(), model.state_dict().values(), strict=True)
        self._averages, self._sources = zip(*((a, s) for a, s in pairs if a.is_floating_point()), strict=True)

    def update(self) -> None:
        """Move the averages towards the present weights."""
        self._average(self._averages, self._sources, None)


def build_ema(recipe: Recipe, model: ResNet) -> AveragedWeights | None:
    """The averaged weights of a recipe, or None if its `ema` is 0."""
    return AveragedWeights(model, recipe.ema) if recipe.ema else None
