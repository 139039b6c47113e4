"""The parameter budget of the competition."""

import torch
from torch import nn

from kit.errors import KitError
from kit.model.architecture import Architecture
from kit.model.resnet import ResNet

PARAMETER_BUDGET = 5_000_000


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters of `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def check_budget(model: nn.Module, budget: int = PARAMETER_BUDGET) -> int:
    """Return the number of trainable parameters.

    Raises:
        KitError: there are more than `budget`.
    """
    count = count_parameters(model)
    if count > budget:
        raise KitError(
            f"the network has {count:,} trainable parameters and the competition allows {budget:,}: "
            "choose fewer channels or blocks"
        )
    return count


def draft(architecture: Architecture, classes: int = 10) -> ResNet:
    """A network that has no memory for its weights (torch's device `meta`), to count its parameters.

    Raises:
        KitError: the network is too large even to count.
    """
    try:
        with torch.device("meta"):
            return ResNet(architecture, classes)
    except (RuntimeError, TypeError, OverflowError):
        raise KitError(f"arch {architecture} is too large: give fewer channels or smaller filters") from None
