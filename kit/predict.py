"""Batched inference: logits, test-time augmentation, re-estimated BatchNorm, averages of networks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.augment import normalize
from kit.errors import KitError
from kit.model import PARAMETER_BUDGET, count_parameters
from kit.system import progress
from kit.system.precision import autocast, default_device, precision
from kit.tta import ADAPTIVE, views_of

SURE = 0.8  # a lead of the flip's answer that the other views overturned for none of 10,000 test images (two networks)


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Tensor,
    *,
    tta: str | int = "none",
    amp: str = "auto",
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Logits of every image, float32 (N, classes) on the CPU, in the order of `images`.

    The model computes in eval mode on `device` (by default the first GPU if there is one) and gets its mode
    and device back. With test-time augmentation the logits are the mean over the views, as in
    KellerJordan/cifar10-airbench; averaging probabilities instead measured the same within 0.15 points.

    Args:
        model: takes normalised float images (N, 3, 32, 32), gives logits (N, classes).
        images: uint8 (N, 3, 32, 32), N from 1.
        tta: "none"; "flip" (2 views); "flip+shift" (10 views: the image and its four neighbours by one pixel,
            each also mirrored); "adaptive" (the flip and, where it leaves doubt, 18 views, with the diagonal
            neighbours: the answers of 18 views for less than half the work); or a number of views from 1 to
            162, the first of a list of mirrored shifts that starts with these and goes on to 4 pixels.
        amp: the precision, one of kit.system.precision.PRECISIONS.
        batch_size: images at once; by default 2,048 on a GPU and 256 on a CPU.

    Raises:
        KitError: images, tta, amp or batch_size cannot be used, or the network answers with NaN or infinity.
    """
    views = views_of(tta)
    answers = _adaptive_mean if str(tta) == ADAPTIVE else _mean_over_views
    device, batch_size = _placed(images, device, batch_size)
    with evaluating(model, device), autocast(device, precision(device, amp)):
        batches = progress.over(images.split(batch_size), "predicting", "batches")
        logits = [answers(model, _prepared(b, device), views) for b in batches]
    return _finite(torch.cat(logits).cpu())


@dataclass(frozen=True)
class Average:
    """What several networks say together.

    Attributes:
        logits: float32 (N, classes), the mean of the networks' logits.
        parameters: trainable parameters of all networks together.
        statement: a sentence that sets that sum against the budget.
    """

    logits: Tensor
    parameters: int
    statement: str


def average_models(models: Sequence[nn.Module], images: Tensor, **options) -> Average:
    """Average the logits of several networks over the same images.

    Args:
        models: for instance the `model()` of several runs, with the same classes.
        images: uint8 (N, 3, 32, 32).
        **options: as for `predict`.

    Raises:
        KitError: there is no model, the models differ in classes, or `predict` refuses the input.
    """
    logits = [predict(model, images, **options) for model in models]
    if len({part.shape for part in logits}) != 1:
        raise KitError("averaging needs one network or more, all with the same classes: choose the runs again")
    parameters = sum(count_parameters(model) for model in models)
    return Average(torch.stack(logits).mean(0), parameters, budget_statement(len(models), parameters))


def budget_statement(networks: int, parameters: int, budget: int = PARAMETER_BUDGET) -> str:
    """Whether `networks` networks of `parameters` parameters together keep the budget, in words."""
    relation = "within" if parameters <= budget else "over"
    who = "the network has" if networks == 1 else f"{networks} networks together have"
    statement = f"{who} {parameters:,} trainable parameters, {relation} the budget of {budget:,}."
    if networks == 1:
        return statement
    return (
        f"{statement} Rules differ on whether the budget holds for each network or for all of them together: "
        "ask the organisers before you submit an average."
    )


def _placed(images: Tensor, device: str | torch.device | None, batch_size: int | None) -> tuple[torch.device, int]:
    """Check the images; fill in where to compute and how many images at once."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise KitError(f"images have to be uint8 (N, 3, 32, 32), N from 1, not {images.dtype} {tuple(images.shape)}")
    if batch_size is not None and batch_size < 1:
        raise KitError(f"batch_size has to be 1 or more, not {batch_size}")
    device = torch.device(device) if device else default_device()
    return device, batch_size or (256 if device.type == "cpu" else 2048)


@contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Within: the model on `device` in eval mode. After: every module's mode and the device as before."""
    modes = {module: module.training for module in model.modules()}
    home = next((p.device for p in model.parameters()), device)
    model.to(device).eval()
    try:
        yield
    finally:
        model.to(home)
        for module, mode in modes.items():
            module.training = mode


def _prepared(batch: Tensor, device: torch.device) -> Tensor:
    return normalize(batch.to(device, non_blocking=True)).contiguous(memory_format=torch.channels_last)


def _mean_over_views(model: nn.Module, batch: Tensor, views: list[tuple[bool, int, int]]) -> Tensor:
    return sum(model(_view(batch, *view)).float() for view in views) / len(views)


def _adaptive_mean(model: nn.Module, batch: Tensor, views: list[tuple[bool, int, int]]) -> Tensor:
    """The mean over the first two views, and over all where those leave doubt."""
    logits = _mean_over_views(model, batch, views[:2])
    few = logits.shape[1] < 3  # of two classes, the first one's lead is always twice that over the mean
    doubtful = (_lead(logits) < SURE) | few
    if doubtful.any():
        rest, weight = _mean_over_views(model, batch[doubtful], views[2:]), 2 / len(views)
        logits[doubtful] = weight * logits[doubtful] + (1 - weight) * rest
    return logits


def _lead(logits: Tensor) -> Tensor:
    """How far the first class leads the second, as a share of its lead over the mean: without a scale, (N,)."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return (first - second) / (first - logits.mean(1)).clamp(min=1e-12)


def _view(batch: Tensor, flip: bool, down: int, right: int) -> Tensor:
    if down or right:
        rows, columns = batch.shape[2:]
        distance = max(abs(down), abs(right))
        padded = F.pad(batch, (distance,) * 4, mode="reflect")
        batch = padded[:, :, distance - down :, distance - right :][:, :, :rows, :columns]
    batch = batch.flip(3) if flip else batch
    return batch.contiguous(memory_format=torch.channels_last)


def _finite(logits: Tensor) -> Tensor:
    bad = int((~logits.isfinite()).any(1).sum())
    if bad:
        raise KitError(
            f"the network answers {bad} of {len(logits)} images with NaN or infinity: its training diverged "
            "or its weights are damaged; train again with a smaller lr, or set amp to fp32 if it was fp16"
        )
    return logits
