"""The GPU path on a machine without a GPU: whole trainings on pretended `cuda` tensors, no waits, no mixed devices."""

from functools import cache

import pytest
import torch
from budget import BUDGETS
from pretended_gpu import CUDA, PretendedGpu, on_gpu
from pretended_graphs import PretendedGraph
from pretended_training import BF16, KINDS, T4, needs_no_gpu, tiny, trained, values_of

from kit.errors import KitError
from kit.parameters import check_cell
from kit.recipe import RECIPES
from kit.system.precision import default_device, precision
from kit.train.learner import Learner

pytestmark = [needs_no_gpu, pytest.mark.slow]


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


IN_THREE = ("paper", "quick", "leaderboard", "dropout-0.2")  # precisions; the other kinds in one, unless slow tests run


def recipes_and_precisions():
    for row in KINDS:
        yield row, "bf16", BF16
        for amp, capability in (("fp16", T4), ("fp32", BF16)):
            yield pytest.param(row, amp, capability, marks=() if row in IN_THREE else pytest.mark.slow)


@cache
def totals_on_the_cpu(row):
    return trained(tiny(row), "fp32", device=torch.device("cpu"))[0].take_totals()


@pytest.mark.parametrize("row, amp, capability", list(recipes_and_precisions()))
def test_a_recipe_trains_as_on_the_cpu_and_never_waits(row, amp, capability):
    recipe, waits = tiny(row), []

    def note(learner):  # GradScaler's scale is made in the first step
        if learner.steps > 1:
            waits.extend(gpu.waits)
        gpu.waits.clear()

    with PretendedGpu(capability) as gpu:
        PretendedGraph.replays = 0
        captured = trained(recipe, amp, between=note)
        assert captured[0].captured and PretendedGraph.replays == 4  # after three ordinary steps
        eager = trained(recipe, amp, eager=True)
        for ours, theirs in zip(values_of(*captured), values_of(*eager), strict=True):
            assert torch.equal(ours, theirs)
        found = captured[0].take_totals()
    assert not waits
    assert found == pytest.approx(totals_on_the_cpu(row), rel=3e-3 if amp == "fp32" else 0.1)


@pytest.mark.parametrize("row", BUDGETS)
def test_a_step_at_full_size_keeps_its_budget(row):
    recipe = RECIPES[row]
    with PretendedGpu(BF16, values=False) as gpu:
        learner = Learner(recipe, 10, [100] * recipe.epochs, CUDA, "auto", "off")
        learner._stepper.captures = False  # operators are counted one by one
        images = torch.empty(recipe.batch_size, 3, 32, 32, device="cuda").contiguous(memory_format=torch.channels_last)
        targets = torch.zeros(recipe.batch_size, dtype=torch.long, device="cuda")
        for _ in range(4):
            learner.step(images, targets)
        gpu.launches.clear()
        gpu.bytes.clear()
        learner.step(images, targets)  # of Lookahead's five the last, which costs most
    assert sum(gpu.launches.values()) <= BUDGETS[row].operators
    assert sum(gpu.bytes.values()) <= BUDGETS[row].megabytes * 1e6


def test_planted_faults_are_seen():
    with PretendedGpu(BF16) as gpu:
        there = on_gpu(torch.zeros(3))
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            there + torch.zeros(3)
        there.sum().item()
        there[torch.zeros(1, dtype=torch.long, device="cuda")] = 1
        assert [what for what, _line in gpu.waits] == ["_local_scalar_dense", "number put by index"]
        graph = torch.cuda.CUDAGraph()
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"), torch.cuda.graph(graph):
            there.sum().item()
