"""Batches: the training images on the device, shuffled, augmented and mixed in chunks.

Every random number depends on its purpose and on (seed, epoch, place in the epoch, rank), never on earlier draws. A
resumed run therefore needs no generator states: from its epoch and step on it gets the same batches.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.augment import Pipeline, cutmix, mirror, mixup, resize, send
from kit.errors import KitError
from kit.recipe import Recipe
from kit.train.distributed import ALONE, World
from kit.train.randomness import stream
from kit.train.selection import Selection

CPU = torch.device("cpu")
CHUNK_IMAGES = 2048  # augmented at a time: enough to hide kernel launches, few enough to bound memory


class Batches:
    """Batches of one training set.

    Attributes:
        selection: the images that each epoch shows.

    Args:
        images: uint8 (N, 3, 32, 32); kept on the device, or on the host if the device has too little memory.
        labels: int64 (N,).
        recipe: has batch size, augmentation, mixing and seed.
        classes: number of classes.
        device: where the batches go.
        world: the processes that share every batch, and the rank of this one.

    Raises:
        KitError: the batch is larger than an epoch, or cannot be shared equally.
    """

    def __init__(self, images: Tensor, labels: Tensor, recipe: Recipe, classes: int,
                 device: torch.device = CPU, world: World = ALONE):  # fmt: skip
        if recipe.batch_size % world.size:
            raise KitError(f"batch_size {recipe.batch_size} cannot be shared by {world.size} processes: use a multiple")
        self.recipe, self.classes, self.world = recipe, classes, world
        self.selection = Selection(recipe, len(images), device, world)
        self.images, self.labels = _place(images, device), labels.to(device)
        self.device = self.labels.device  # `cuda` has become `cuda:0`
        self.pipeline = Pipeline.from_words(
            recipe.augment, jitter=recipe.jitter, rotation=recipe.rotation, cutout=recipe.cutout, erase=recipe.erase
        )
        self.mirrored_first = torch.rand(len(images), generator=stream("mirror", recipe.seed)) < 0.5

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield this rank's batches of an epoch, from step `start` on.

        Yields:
            images: float32 (n, 3, side, side), normalised, with the epoch's image size.
            targets: int64 classes (n,); float32 shares (n, classes) if the recipe mixes images.
            rows: int64 (n,), the positions of the images in the training set.
        """
        local = self.recipe.batch_size // self.world.size
        order = self.selection.order(epoch).view(-1, self.world.size, local)[:, self.world.rank]
        stride = max(CHUNK_IMAGES // local, 1)
        firsts = range(start - start % stride, len(order), stride)
        chunks = ((first, *self._gather(order[first : first + stride].flatten(), epoch)) for first in firsts)
        for first, images, labels, rows in _one_ahead(chunks):
            generator = stream("augmentation", self.recipe.seed, epoch, first, self.world.rank)
            images, targets = self.augmented(images, labels, generator)
            images = resize(images, self.recipe.sides[epoch])
            shown = local * self.recipe.copies
            batches = zip(images.split(shown), targets.split(shown), rows.split(local), strict=True)
            yield from (batch for step, batch in enumerate(batches, first) if step >= start)

    def _gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        on_device = send(rows, self.device)
        if self.images.device == self.device:
            images = self.images.index_select(0, on_device)
        else:
            images = send(self.images.index_select(0, rows), self.device)
        if self.recipe.augmentations.alternate:
            images = mirror(images, self.mirrored_first[rows] ^ bool(epoch % 2))
        return images, self.labels[on_device], on_device

    def augmented(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment and mix a chunk: uint8 images (n, 3, 32, 32) and labels (n,) to normalised images and targets."""
        images = self.pipeline(images, generator)
        if self.recipe.regmixup_alpha:
            return self._beside_mixed(images, labels, generator)
        mixes = [(mix, alpha) for mix, alpha in ((mixup, self.recipe.mixup_alpha), (cutmix, self.recipe.cutmix_alpha))
                 if alpha]  # fmt: skip
        if not mixes:
            return images, labels
        size = -(
            -len(images) // len(mixes)
        )  # images are in random order, so Mixup takes one half of a chunk and CutMix the other
        parts = zip(mixes, images.split(size), labels.split(size), strict=False)
        mixed = [mix(x, y, alpha, classes=self.classes, generator=generator) for (mix, alpha), x, y in parts]
        images, targets = (torch.cat(part) for part in zip(*mixed, strict=True))
        return images, targets

    def _beside_mixed(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each batch followed by the same batch mixed (RegMixup adds the two losses); twice as many images."""
        local = self.recipe.batch_size // self.world.size
        parts = []
        for x, y in zip(images.split(local), labels.split(local), strict=True):
            parts.append((x, F.one_hot(y, self.classes).float()))
            parts.append(mixup(x, y, self.recipe.regmixup_alpha, classes=self.classes, generator=generator))
        mixed, targets = (torch.cat(part) for part in zip(*parts, strict=True))
        return mixed.contiguous(memory_format=torch.channels_last), targets


def _place(images: Tensor, device: torch.device) -> Tensor:
    """Copy `images` to the device, unless they would take more than a quarter of its free memory."""
    if device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(device)[0] // 4:
        return images
    return images.to(device)


def _one_ahead(chunks: Iterator[tuple]) -> Iterator[tuple]:
    """Prepare the next chunk before the present one is used, so that its copy overlaps."""
    current = next(chunks, None)
    while current is not None:
        following = next(chunks, None)
        yield current
        current = following
