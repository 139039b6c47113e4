"""The paper's own way of training, kept as the yardstick of `python -m kit bench`.

This is how its authors' notebook works: one image at a time through PIL in the workers of a DataLoader, float32, NCHW,
and the host waiting for the loss and for every parameter's gradient norm at each step. It is fixed: nothing here is
made faster, and nothing slower. Network, Lookahead and hyper-parameters are the kit's, so that only the way differs.
"""

from collections.abc import Callable, Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from kit.augment import MEAN, STD
from kit.lookahead import Lookahead
from kit.model import build
from kit.recipe import Recipe
from kit.system.machine import usable_cores


class Cutout:
    """Blank one square of a normalised image (3, H, W), as DeVries & Taylor's code does (arXiv:1708.04552)."""

    def __init__(self, holes: int = 1, length: int = 8):
        self.holes, self.length = holes, length

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        mask = torch.ones(height, width)
        for _ in range(self.holes):
            y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
            top, left = max(y - self.length // 2, 0), max(x - self.length // 2, 0)
            mask[top : y + self.length // 2, left : x + self.length // 2] = 0
        return image * mask


def plain_transform() -> transforms.Compose:
    """PIL image to normalised float32 (3, 32, 32)."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def training_transform() -> transforms.Compose:
    """The paper's augmentation: crop, flip, AutoAugment, normalise, Cutout."""
    crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
    policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
    return transforms.Compose([crop, flip, policy, plain_transform(), Cutout(1, 8)])


class PILImages(Dataset):
    """uint8 images (N, 3, 32, 32) that PIL opens and `transform` changes one by one, as torchvision's CIFAR10 does."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Callable[[Image.Image], Tensor]):
        self.data, self.labels, self.transform = (
            images.permute(0, 2, 3, 1).numpy(),
            labels.tolist(),
            transform,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.labels[index]


class PaperWay:
    """A network that trains and predicts in the paper's way.

    Args:
        recipe: gives network, batch size and the settings of SGD, Lookahead and label smoothing.
        device: where to compute.
        workers: processes of a DataLoader; default: one a core.
    """

    def __init__(self, recipe: Recipe, device: torch.device, workers: int | None = None):
        self.device, self.batch_size = device, recipe.batch_size
        self.workers = usable_cores() if workers is None else workers
        self.model = build(recipe.architecture).to(device)
        sgd = torch.optim.SGD(self.model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
        self.optimizer = Lookahead(sgd, recipe.lookahead_k, recipe.lookahead_alpha) if recipe.lookahead_k else sgd
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def batches(self, images: Tensor, labels: Tensor, training: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of uint8 images (N, 3, 32, 32) and labels (N,) on the host, augmented and shuffled for training."""
        dataset = PILImages(images, labels, training_transform() if training else plain_transform())
        yield from DataLoader(dataset, self.batch_size, shuffle=training, drop_last=training,
                              num_workers=self.workers, pin_memory=self.device.type == "cuda")  # fmt: skip

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, float, float]:
        """One training step; loss, share of right answers and gradient norm."""
        self.model.train()
        images, labels = images.to(self.device), labels.to(self.device)
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.criterion(logits, labels)
        loss.backward()
        norm = sum(p.grad.norm(2).item() ** 2 for p in self.model.parameters() if p.grad is not None) ** 0.5
        self.optimizer.step()
        return loss.item(), (logits.argmax(1) == labels).float().mean().item(), norm

    @torch.no_grad()
    def classify(self, images: Tensor) -> list[int]:
        """The class that the network gives each normalised image (n, 3, 32, 32)."""
        self.model.eval()
        return self.model(images.to(self.device)).argmax(1).tolist()
