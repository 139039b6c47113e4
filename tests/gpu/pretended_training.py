"""Small trainings on the pretended GPU, for the tests of this folder."""

import pytest
import torch
from kinds import different_rows
from pretended_gpu import CUDA, GpuTensor

from kit.recipe import RECIPES
from kit.train.batches import Batches
from kit.train.distributed import ALONE
from kit.train.learner import Learner
from kit.train.selection import Selection

needs_no_gpu = pytest.mark.skipif(
    torch.version.cuda is None or torch.cuda.is_available(), reason="needs a CUDA build of torch, and no GPU"
)

BF16, T4 = (9, 0), (7, 5)  # compute capabilities: `auto` is bfloat16 on the first and float16 on the second
SMALL = {"batch_size": 64, "epochs": 4, "warmup": 1.0}
ARCHS = {"basic": "4,8,8/1,1,1", "pooled": "4,8,8/1,1,2+pooled", "se": "4,8,8/1,1,1+se"}  # by form
NOT_ROWS = {  # what no recipe has, and a user may choose
    "nesterov": ("paper", {"optimizer": "nesterov", "ema": 0.9}),
    "adamw": ("paper", {"optimizer": "adamw", "lookahead_k": 0}),
    "muon-lookahead": ("quick", {"lookahead_k": 3}),
}
KINDS = [*different_rows(), *NOT_ROWS]


def tiny(row, **changes):
    """The recipe `row`, or one of NOT_ROWS, with a small network; a low rate, so that rounding does not grow."""
    base, others = NOT_ROWS.get(row, (row, {}))
    recipe = RECIPES[base]
    small = SMALL | {"arch": ARCHS[recipe.architecture.form], "lr": recipe.lr / 10}
    return recipe.replace(**small | others | changes)


def images_and_labels(count=640):
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def trained(recipe, amp, steps=7, device=CUDA, eager=False, between=lambda _learner: None):
    """A learner and its selection after some steps on a device; `between` is called after each of them."""
    batches = Batches(*images_and_labels(64 * steps), recipe.replace(skip_easy=0.0), 10, device)
    selection = Selection(recipe, 64 * steps, device, ALONE)
    learner = Learner(recipe, 10, [steps] * recipe.epochs, device, amp, "off", selection=selection)
    learner.fit_stem(batches.images[:64])
    if eager:
        learner._stepper.captures = False
    for x, y, rows in batches.epoch(0):
        learner.step(x, y, rows)
        between(learner)
    return learner, selection


def values_of(learner, selection):
    """All that a step changes, as tensors on the host."""
    tensors = [*learner.model.state_dict().values(), learner.totals, selection._seen]
    tensors += [] if learner.ema is None else list(learner.ema.module.state_dict().values())
    return [(tensor.inner if isinstance(tensor, GpuTensor) else tensor).detach().clone() for tensor in tensors]
