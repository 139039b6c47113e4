"""Count the arithmetic of a training before it starts."""

from collections.abc import Sequence
from functools import cache

from kit.model import Architecture, draft, flops
from kit.recipe import Recipe

PASSES = 3  # forward, gradients of the maps, gradients of the weights: each takes about the same arithmetic


def pflop_of_epochs(recipe: Recipe, classes: int, epoch_steps: Sequence[int]) -> list[float]:
    """Floating-point operations of each epoch in 10^15: 3 x operations of a forward pass x images shown.

    Images that `skip_easy` leaves out do not count, and resized images count at their size. Like in cifar10-airbench,
    only convolutions and linear layers count, and evaluations do not.

    Args:
        recipe: has the network, the batch size and the sizes of the images.
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
