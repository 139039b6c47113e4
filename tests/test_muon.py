"""Muon: orthogonal steps against the singular value decomposition, all else against torch's SGD."""

import pytest
import torch

from kit.model.resnet import build
from kit.recipe import Recipe
from kit.train.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalize
from kit.train.optimizers import build_optimizer


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12), (1, 5)])
def test_a_matrix_keeps_its_singular_vectors_and_gets_the_quintics_singular_values(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / matrix.norm()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(orthogonalize(matrix, torch.float64), u @ s.diag() @ v, atol=1e-6, rtol=0)


def test_singular_values_end_near_one_in_bfloat16():
    torch.manual_seed(2)
    spread = torch.linalg.svdvals(orthogonalize(torch.randn(64, 576), torch.bfloat16))
    assert spread.min() > 0.5 and spread.max() < 1.3


def test_vectors_and_matrices_move_as_in_torchs_nesterov_with_decoupled_decay():
    torch.manual_seed(3)
    ours, theirs = (
        [torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).requires_grad_(), torch.ones(5).requires_grad_()]
        for _ in range(2)
    )
    muon = Muon(ours, lr=0.1, momentum=0.8, weight_decay=0.5)
    sgd = torch.optim.SGD(theirs, lr=0.1, momentum=0.8, nesterov=True)
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        with torch.no_grad():
            for other in theirs:
                other.mul_(1 - 0.1 * 0.5)
        muon.step(), sgd.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_filter_bank_is_normed_and_steps_by_lr_in_every_singular_direction():
    torch.manual_seed(4)
    filters = torch.randn(6, 2, 3, 3).requires_grad_()
    start = filters.detach() * 6**0.5 / filters.detach().norm()
    filters.grad = torch.randn_like(filters)
    Muon([filters], lr=0.25, momentum=0.5).step()
    moved = (start - filters.detach()).flatten(1) / 0.25
    torch.testing.assert_close(moved, orthogonalize(filters.grad.flatten(1)), atol=1e-5, rtol=0)
    assert 0.5 < torch.linalg.svdvals(moved).min() <= torch.linalg.svdvals(moved).max() < 1.3


def test_the_state_goes_through_a_checkpoint():
    def trained(steps, optimizer, filters):
        for step in range(*steps):
            filters.grad = torch.randn(filters.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()

    whole, parts = (torch.ones(4, 2, 3, 3).requires_grad_() for _ in range(2))
    trained((0, 6), Muon([whole]), whole)
    first = Muon([parts])
    trained((0, 3), first, parts)
    second = Muon([parts])
    second.load_state_dict(first.state_dict())
    trained((3, 6), second, parts)
    assert torch.equal(whole, parts)


def test_a_recipe_gives_filters_its_rate_and_all_else_a_rate_for_its_batch():
    recipe = Recipe(
        arch="fast", optimizer="muon", lr=0.2, momentum=0.65, batch_size=100, lookahead_k=0, weight_decay=0.01
    )
    network = build(recipe.architecture)
    optimizer = build_optimizer(recipe, network)
    filters, shifts, head = optimizer.param_groups
    assert {p.ndim for p in filters["params"]} == {4} and filters["lr"] == 0.2 and filters["weight_decay"] == 0
    assert {p.ndim for p in shifts["params"]} == {1} and [p.ndim for p in head["params"]] == [2]
    for group in (shifts, head):
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.01)
    assert shifts["lr"] == pytest.approx(0.2 * 0.28 * 100)
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert trained == sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("wrong", [{"lr": 0}, {"momentum": 1}, {"weight_decay": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="lr has to be above 0"):
        Muon([torch.ones(1)], **wrong)
