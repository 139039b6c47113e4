"""Random erasing beside torchvision's op, and RegMixup beside its formula."""

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare, ks_2samp
from torchvision.transforms import RandomErasing
from torchvision.transforms.functional import erase
from training_process import few_digits

from kit.augment import Pipeline, mixup, normalize
from kit.augment.erasing import RATIO, SCALE, draw_rectangles
from kit.errors import KitError
from kit.recipe import RECIPES, Recipe
from kit.train.batches import Batches
from kit.train.flops import pflop_of_epochs
from kit.train.learner import Learner

SMALL = RECIPES["digits"].replace(arch="4,8/1,1", batch_size=32, epochs=2, lookahead_k=0)
CPU = torch.device("cpu")


def boxes(rows, columns):
    """Top, left, height and width of each rectangle, int64 (N, 4)."""
    sizes = [spans[:, 0].sum(1) for spans in (rows, columns)]
    starts = [spans[:, 0].argmax(1) for spans in (rows, columns)]
    return torch.stack([*starts, *sizes], 1).long()


def test_a_pipeline_blanks_what_torchvision_erases():
    images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8)
    pipeline = Pipeline(crop=0, flip=False, erase=0.7)
    shown = pipeline(images, torch.Generator().manual_seed(1))
    drawn = boxes(*draw_rectangles(40, 32, 32, 0.7, generator=torch.Generator().manual_seed(1))).tolist()
    wanted = [erase(image, *box, v=torch.zeros(1)) for image, box in zip(normalize(images), drawn, strict=True)]
    torch.testing.assert_close(shown, torch.stack(wanted))
    assert 15 < sum(box[2] > 0 for box in drawn) < 40  # some, not all


def test_rectangles_are_distributed_as_torchvision_s():
    torch.manual_seed(2)
    ours = boxes(*draw_rectangles(20_000, 32, 32, 1.0, generator=torch.Generator().manual_seed(3))).double()
    image = torch.zeros(3, 32, 32)
    theirs = torch.tensor([RandomErasing.get_params(image, SCALE, RATIO, [0.0])[:4] for _ in range(5000)]).double()
    assert (ours[:, 2:] > 0).all() and (ours[:, 2:] < 32).all()
    for name, value in {"top": 0, "left": 1, "height": 2, "width": 3}.items():
        assert ks_2samp(ours[:, value], theirs[:, value]).pvalue > 0.001, name
    assert ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > 0.001
    assert ks_2samp(ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]).pvalue > 0.001


def test_the_probability_is_that_of_an_image():
    rows, columns = draw_rectangles(10_000, 32, 32, 0.3, generator=torch.Generator().manual_seed(4))
    erased = (rows.sum((1, 2)) > 0) & (columns.sum((1, 2)) > 0)
    count = int(erased.sum())
    assert chisquare([count, 10_000 - count], [3000, 7000]).pvalue > 0.001


def test_cutout_and_erasing_stand_beside_each_other():
    images = torch.full((200, 3, 32, 32), 255, dtype=torch.uint8)
    make = {"crop": 0, "flip": False}
    both = Pipeline(**make, cutout=8, erase=1.0)(images, torch.Generator().manual_seed(5))
    cut = Pipeline(**make, cutout=8)(images, torch.Generator().manual_seed(5))
    assert ((cut == 0) & (both != 0)).sum() == 0 and (both == 0).sum() > (cut == 0).sum()
    with pytest.raises(ValueError, match="erase must be 0 to 1"):
        Pipeline(erase=1.5)


def regmixup():
    data, recipe = few_digits(), SMALL.replace(regmixup_alpha=20.0, augment="none", cutout=0)
    batches = Batches(data.train_images, data.train_labels, recipe, 10)
    return recipe, batches, next(batches.epoch(0))


def test_regmixup_shows_each_batch_as_it_is_and_mixed():
    _, batches, (images, targets, rows) = regmixup()
    assert images.shape == (64, 3, 32, 32) and targets.shape == (64, 10) and rows.shape == (32,)
    assert images.is_contiguous(memory_format=torch.channels_last)
    clean, labels = normalize(batches.images[rows]), batches.labels[rows]
    torch.testing.assert_close(images[:32], clean)
    assert torch.equal(targets[:32], F.one_hot(labels, 10).float())
    partners = (images[32:, None] - clean[None]).flatten(2).norm(dim=2)
    assert (partners.argmin(1) != torch.arange(32)).any() and (targets[32:].amax(1) < 1).any()
    torch.testing.assert_close(targets[32:].sum(1), torch.ones(32))


def test_regmixup_s_step_goes_down_the_sum_of_both_losses():
    recipe, _, (images, targets, _) = regmixup()
    recipe = recipe.replace(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", warmup=0, lr=0.1)
    learner, same = (Learner(recipe, 10, [16, 16], CPU, "fp32", "off") for _ in range(2))
    model = same.model.train()
    logits = model(images)
    smoothing = recipe.label_smoothing
    clean = F.cross_entropy(logits[:32], targets[:32].argmax(1), label_smoothing=smoothing)
    mixed = F.cross_entropy(logits[32:], targets[32:], label_smoothing=smoothing)
    (clean + mixed).backward()
    before = [p.detach().clone() for p in model.parameters()]
    learner.step(images, targets)
    assert learner.take_totals()["train_loss"] == pytest.approx((clean + mixed).item(), rel=1e-5)
    for after, start, p in zip(learner.model.parameters(), before, model.parameters(), strict=True):
        torch.testing.assert_close(after.detach(), start - 0.1 * p.grad, rtol=1e-4, atol=1e-6)


def test_shares_of_alpha_20_are_near_a_half():
    images, labels = torch.zeros(4000, 1, 1, 1), torch.arange(4000) % 10
    _, targets = mixup(images, labels, 20.0, generator=torch.Generator().manual_seed(6))
    mixed = targets[targets.amax(1) < 1].amax(1)
    assert mixed.mean() == pytest.approx(0.5 + 0.0625, abs=0.01)  # mean distance of Beta(20, 20) from a half


def test_regmixup_costs_twice_the_arithmetic_and_excludes_other_mixing():
    plain, mixed = (pflop_of_epochs(SMALL.replace(regmixup_alpha=alpha), 10, [16, 16]) for alpha in (0.0, 20.0))
    assert mixed == pytest.approx([2 * value for value in plain])
    with pytest.raises(KitError, match="regmixup_alpha mixes images of its own, so it cannot be combined with mixup"):
        Recipe(regmixup_alpha=20.0, mixup_alpha=0.5)
    with pytest.raises(KitError, match=r"skip_easy needs a loss per image.*regmixup_alpha"):
        Recipe(regmixup_alpha=20.0, skip_easy=0.3)


def test_regmixup_goes_on_inside_an_epoch():
    _, batches, _ = regmixup()
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, start=5))
    assert len(whole) == len(rest) + 5 == 16
    for some, others in zip(whole[5:], rest, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(some, others, strict=True))
