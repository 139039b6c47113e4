"""Selection: the images that each epoch shows; a recipe may leave out some that the network knows already.

After Jiang et al. 2019 (Selective-Backprop, arXiv:1910.00762) and Qin et al. 2023 (InfoBatch, arXiv:2303.04947): easy
images are found by the losses that training computes anyway, and the first epochs and the last one show all images.
Here a fixed number is left out, so that the length of every epoch is known beforehand, and no gradient is rescaled.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.errors import KitError
from kit.recipe import Recipe
from kit.train.distributed import World
from kit.train.randomness import stream

LEFT_OUT_OF_EASY = 0.7  # share of the easy images; the others are shown, to see whether they are still easy
WHOLE_FIRST = 1 / 3  # share of the epochs, at the beginning, that show every image


def steps_of_epochs(recipe: Recipe, images: int) -> list[int]:
    """The number of full batches of each epoch on a training set of so many images."""
    return [(images - out) // recipe.batch_size for out in _left_out(recipe, images)]


def lacks_a_batch(recipe: Recipe, images: int) -> str:
    """The refusal if an epoch on so many training images has no full batch; empty if each has one."""
    shown = images - max(_left_out(recipe, images))
    if shown >= recipe.batch_size:
        return ""
    return f"batch_size has to be at most the {shown:,} training images of an epoch, not {recipe.batch_size}"


def _left_out(recipe: Recipe, images: int) -> list[int]:
    """How many images each epoch leaves out."""
    whole_first, out = max(round(WHOLE_FIRST * recipe.epochs), 1), int(recipe.skip_easy * images)
    return [out if whole_first <= epoch < recipe.epochs - 1 else 0 for epoch in range(recipe.epochs)]


class Selection:
    """Which of a training set's images each epoch shows, and in which order.

    Attributes:
        steps: the number of full batches of each epoch.

    Args:
        recipe: has `skip_easy`, epochs, batch size and seed.
        images: size of the training set, N.
        device: where the losses are kept.
        world: the processes that share every batch.

    Raises:
        KitError: the batch is larger than an epoch.
    """

    def __init__(self, recipe: Recipe, images: int, device: torch.device, world: World):
        self.recipe, self.world = recipe, world
        self._left_out, self.steps = _left_out(recipe, images), steps_of_epochs(recipe, images)
        if refusal := lacks_a_batch(recipe, images):
            raise KitError(refusal)
        self._known = torch.full((images,), torch.inf, device=device)  # each image's last loss before this epoch
        self._seen = torch.zeros(
            2, images, device=device
        )  # in this epoch: each image's loss, and how often it was shown

    def steps_into(self, epoch: int, steps: int) -> int:
        """The number of steps done in `epoch`, if `steps` are done in the whole run."""
        return steps - sum(self.steps[:epoch])

    def order(self, epoch: int) -> Tensor:
        """The rows of the epoch's full batches, int64 (steps * batch_size,), the same on every process.

        Images that fill no whole batch are left out of this epoch.
        """
        generator = stream("order", self.recipe.seed, epoch)
        order = torch.randperm(len(self._known), generator=generator)
        if out := self._left_out[epoch]:
            easy = self._known.argsort(stable=True)[: int(out / LEFT_OUT_OF_EASY)].cpu()
            shown = torch.ones(len(order), dtype=torch.bool)
            shown[easy[torch.randperm(len(easy), generator=generator)[:out]]] = False
            order = order[shown[order]]
        return order[: self.steps[epoch] * self.recipe.batch_size]

    def record(self, rows: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Record the loss of every image of a batch, without waiting for the device.

        Args:
            rows: int64 (n,), the positions of its images in the training set.
            logits: float32 (n, classes).
            targets: int64 (n,), the classes.
        """
        if self.recipe.skip_easy:
            # `seen[1, rows] = 1` would copy the number to the device and wait for the copy.
            self._seen[0].index_copy_(0, rows, F.cross_entropy(logits, targets, reduction="none"))
            self._seen[1].index_fill_(0, rows, 1)

    def end_epoch(self) -> None:
        """Use this epoch's losses to choose the next epoch's images; every process has to call it."""
        if not self.recipe.skip_easy:
            return
        losses, times = self.world.total(self._seen)
        self._known = torch.where(times > 0, losses, self._known)
        self._seen.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The state for `load_state_dict`; every process has to call it."""
        return {"known": self._known, "seen": self.world.total(self._seen.clone())} if self.recipe.skip_easy else {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from the answer of `state_dict`."""
        if state:
            self._known.copy_(state["known"])
            if self.world.leads:  # the state is the sum over all processes
                self._seen.copy_(state["seen"])
