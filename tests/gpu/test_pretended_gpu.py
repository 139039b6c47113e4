"""The GPU path on a machine without a GPU: whole trainings on pretended `cuda` tensors, no waits, no mixed devices."""

import pytest
import torch
from pretended_gpu import CUDA, PretendedGpu
from pretended_graphs import PretendedGraph

from kit.errors import KitError
from kit.parameters import check_cell
from kit.recipe import RECIPES
from kit.system.precision import default_device, precision
from kit.train.batches import Batches
from kit.train.distributed import ALONE
from kit.train.learner import Learner
from kit.train.selection import Selection

pytestmark = pytest.mark.skipif(
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


@pytest.mark.parametrize("capability", [BF16, T4], ids=["bf16", "fp16"])
@pytest.mark.parametrize("row", ROWS)
def test_the_host_never_waits_inside_an_epoch(row, capability):
    images, labels = images_and_labels()
    with PretendedGpu(capability) as gpu:
        batches = Batches(images, labels, recipe_of(row), 10, CUDA)
        selection = batches.selection
        learner = Learner(batches.recipe, 10, selection.steps, CUDA, "auto", "off", selection=selection)
        for step, batch in enumerate(batches.epoch(0)):
            if step == 3:  # GradScaler has its scale, and what follows is captured
                gpu.waits.clear()
            learner.step(*batch)
    assert not gpu.waits


def test_a_gpu_that_torch_has_no_kernels_for_is_refused_by_the_first_cell():
    with PretendedGpu((6, 0)):
        with pytest.raises(KitError, match=r"no kernels for this GPU, NVIDIA Pretended \(compute capability 6.0"):
            default_device()
        with pytest.raises(KitError, match="no kernels for this GPU"):
            check_cell("train", {"data": "digits"}, set())
    for capability in ((7, 5), (8, 9), (9, 0)):  # 8.9 runs the machine code of 8.0
        with PretendedGpu(capability):
            assert default_device() == CUDA


def test_bfloat16_is_refused_without_its_tensor_cores():
    with PretendedGpu(T4), pytest.raises(KitError, match="amp bf16 needs a GPU of compute capability 8"):
        precision(CUDA, "bf16")
    with PretendedGpu(T4), pytest.raises(KitError, match="amp bf16 needs"):
        check_cell("train", {"data": "digits", "amp": "bf16"}, set())
    with PretendedGpu((8, 0)):
        assert precision(CUDA, "bf16") == torch.bfloat16


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


@pytest.mark.parametrize("row, amp, capability", [
    *((row, "bf16", BF16) for row in CAPTURED), *((row, "fp16", T4) for row in CAPTURED), ("paper", "fp32", BF16),
])  # fmt: skip
def test_a_captured_step_is_the_eager_step(row, amp, capability):
    PretendedGraph.replays = 0
    with PretendedGpu(capability):
        captured, eager = (trained(tiny(row), amp, eager=way) for way in (False, True))
        assert captured[0].captured and PretendedGraph.replays == 6  # after three ordinary steps
        for ours, theirs in zip(values_of(*captured), values_of(*eager), strict=True):
            assert torch.equal(ours, theirs)
        assert captured[0].take_totals() == eager[0].take_totals()
