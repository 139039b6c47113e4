"""Small trainings on the pretended GPU, for the tests of this folder."""

import pytest
import torch
from pretended_gpu import CUDA

from kit.recipe import RECIPES
from kit.train.batches import Batches
from kit.train.distributed import ALONE
from kit.train.learner import Learner
from kit.train.selection import Selection

needs_no_gpu = pytest.mark.skipif(
    torch.version.cuda is None or torch.cuda.is_available(), reason="needs a CUDA build of torch, and no GPU"
)

SMALL = {"arch": "4,8,8/1,1,1", "batch_size": 64, "epochs": 2}
POOLED = SMALL | {"arch": "4,8,8/1,1,2+pooled", "epochs": 4}
SQUEEZED = SMALL | {"arch": "4,8,8/1,1,1+se", "warmup": 1.0}
ROWS = {
    "paper": SMALL, "quick": POOLED, "leaderboard": SQUEEZED, "t4": SQUEEZED, "mixup-cutout": SMALL,
    "dropout-0.2": SMALL, "lookahead-adam": SMALL, "table2-jitter-rotation": SMALL,
}  # fmt: skip
BF16, T4 = (9, 0), (7, 5)  # compute capabilities: `auto` is bfloat16 on the first and float16 on the second


def recipe_of(row, **changes):
    return RECIPES[row].replace(**ROWS[row] | changes)


def images_and_labels(count=640):
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8), torch.randint(10, (count,))


CAPTURED = ROWS | {"nesterov": SMALL, "adamw": SMALL, "muon-lookahead": POOLED}
NOT_ROWS = {
    "nesterov": {"optimizer": "nesterov", "ema": 0.9},
    "adamw": {"optimizer": "adamw", "lr": 0.001, "lookahead_k": 0},
    "muon-lookahead": {"lookahead_k": 3},
}


def tiny(row):
    if row in NOT_ROWS:
        base = "quick" if row == "muon-lookahead" else "paper"
        return RECIPES[base].replace(**CAPTURED[row] | NOT_ROWS[row])
    return recipe_of(row)


def trained(recipe, amp, steps=9, eager=False, between=lambda _learner: None):
    """A learner after some steps on the pretended GPU, as values on the host, and the learner."""
    torch.manual_seed(3)
    images, labels = images_and_labels(64 * steps)
    batches = Batches(images, labels, recipe.replace(skip_easy=0.0), 10, CUDA)
    selection = Selection(recipe, len(images), CUDA, ALONE)
    learner = Learner(recipe, 10, [steps] * recipe.epochs, CUDA, amp, "off", selection=selection)
    if eager:
        learner._stepper.captures = False
    for x, y, rows in batches.epoch(0):
        learner.step(x, y, rows)
        between(learner)
    return learner, selection


def values_of(learner, selection):
    tensors = [*learner.model.state_dict().values(), learner.totals, selection._seen]
    tensors += [] if learner.ema is None else list(learner.ema.module.state_dict().values())
    return [tensor.inner.clone() for tensor in tensors]
