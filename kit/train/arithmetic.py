"""The arithmetic of a training, counted before it starts."""

from collections.abc import Sequence
from functools import cache

from kit.model import Architecture, draft, flops
from kit.recipe import Recipe

PASSES = 3  # forward, gradients of the maps, gradients of the weights: each costs about the same


def pflop_of_epochs(recipe: Recipe, classes: int, epoch_steps: Sequence[int]) -> list[float]:
    """Floating-point operations of each epoch in 10^15: 3 x those of a forward pass x the images that are shown.

    Images that `skip_easy` leaves out are not counted, and those of `resize` are counted at their size. Convolutions
    and linear layers alone are counted, as cifar10-airbench counts them; evaluations are not.

    Args:
        recipe: the network, the batch size and the sizes of the images.
        classes: number of classes.
        epoch_steps: the number of steps of each epoch.
    """
    network = recipe.architecture
    per_image = {side: PASSES * forward_flops(network, classes, side) / 1e15 for side in set(recipe.sides)}
    shown = recipe.batch_size * recipe.copies
    return [per_image[side] * n * shown for side, n in zip(recipe.sides, epoch_steps, strict=True)]


@cache
def forward_flops(architecture: Architecture, classes: int, side: int) -> int:
    """Floating-point operations of one image's forward pass; `side` is its height and width in pixels."""
    return flops(draft(architecture, classes), side)
