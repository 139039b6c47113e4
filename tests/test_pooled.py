"""The network for short trainings: whitening against the covariance, blocks by hand, and a run that resumes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kit.augment.pipeline import normalize
from kit.data.loading import load
from kit.model.architecture import Architecture
from kit.model.parameterbudget import check_budget, count_parameters
from kit.model.pooled import PooledBlock, WhiteningStem
from kit.model.resnet import build
from kit.model.summary import flops
from kit.recipe import Recipe
from kit.run import Run
from kit.train import loop as training
from kit.train.batches import Batches
from kit.train.loop import train

FAST = {"arch": "16,32,32/1,1,2+pooled", "optimizer": "muon", "lr": 0.05, "momentum": 0.65, "schedule": "linear",
        "augment": "shift+alternate", "cutout": 0, "lookahead_k": 0, "batch_size": 64, "epochs": 2}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_the_stem_gives_uncorrelated_components_of_unit_variance_in_both_signs():
    torch.manual_seed(1)
    images = F.avg_pool2d(torch.randn(200, 3, 33, 33), 2, stride=1)  # neighbours correlate
    stem = WhiteningStem()
    stem.fit(images, eps=0.0)
    components = stem.conv(images).transpose(0, 1).flatten(1)
    second_moments = components @ components.T / components.shape[1]
    torch.testing.assert_close(second_moments[:12, :12], torch.eye(12), atol=1e-3, rtol=0)
    torch.testing.assert_close(components[12:], -components[:12])
    assert stem(images).shape == (200, 24, 31, 31) and count_parameters(stem) == 0


def test_a_block_is_conv_pool_norm_conv_norm_with_a_skip():
    torch.manual_seed(2)
    block, x = PooledBlock(4, 6).eval(), torch.randn(2, 4, 9, 9)
    h = F.silu(block.bn1(F.max_pool2d(F.conv2d(x, block.conv1.weight, padding=1), 2)))
    wanted = F.silu(h + block.bn2(F.conv2d(h, block.conv2.weight, padding=1)))
    torch.testing.assert_close(block(x), wanted)
    assert wanted.shape == (2, 6, 4, 4)
    assert count_parameters(block) == 9 * (4 * 6 + 6 * 6) + 2 * 6
    torch.testing.assert_close(F.conv2d(x, block.conv1.weight, padding=1)[:, :4], x)  # starts as the identity


def test_further_blocks_of_a_layer_are_residual_convolutions():
    torch.manual_seed(3)
    network = build("8,16/1,3+pooled").eval()
    (first,), (_, *further) = network.layers
    assert isinstance(first, PooledBlock) and len(further) == 2
    x = torch.randn(2, 16, 7, 7)
    for block in further:
        torch.testing.assert_close(block(x), F.silu(x + block.bn(F.conv2d(x, block.conv.weight, padding=1))))
    assert flops(network) - flops(build("8,16/1,1+pooled")) == 2 * 2 * 9 * 16 * 16 * 7**2
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_fast_keeps_the_budget_and_has_the_work_counted_by_hand():
    network = build("fast")
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert check_budget(network) == convolutions + 2 * (64 + 256 + 256) + 2560
    places = 31**2 * 24 * 64 + 15**2 * (64 * 64 + 64 * 256) + 7**2 * (256 * 256 + 256 * 256) + 3**2 * 256 * 256
    assert flops(network) == 2 * (9 * places + 31**2 * 24 * 12 + 2560)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dropout": 0.1},
        {"filter": 5},
        {"strides": (1, 2)},
        {"filter": (3, 1)},
    ],
)
def test_what_a_pooled_network_cannot_take_is_refused(wrong):
    with pytest.raises(ValueError, match="pooled network takes filters of 3"):
        build(Architecture.of(**{"channels": (8, 16), "blocks": (1, 1), "form": "pooled"} | wrong))
    with pytest.raises(ValueError, match="at most 4 layers"):
        build(Architecture.of((8,) * 5, (1,) * 5, "pooled"))


def test_every_image_is_mirrored_in_every_second_epoch(digits):
    recipe = Recipe(**FAST | {"augment": "alternate", "batch_size": 100, "epochs": 3})
    batches = Batches(digits.train_images, digits.train_labels, recipe, 10)
    sides = []
    for epoch in range(3):
        images = torch.cat([images for images, *_ in batches.epoch(epoch)])
        plain, mirrored = normalize(digits.train_images), normalize(digits.train_images.flip(3))
        distance = torch.cdist(images.flatten(1), torch.cat([plain, mirrored]).flatten(1))
        nearest = distance.argmin(1)
        assert distance.min(1).values.max() < 0.2  # cdist rounds
        side = torch.full((len(plain),), -1)
        side[nearest % len(plain)] = nearest // len(plain)
        sides.append(side)
    seen = (sides[0] >= 0) & (sides[1] >= 0) & (sides[2] >= 0)
    asymmetric = ~(digits.train_images == digits.train_images.flip(3)).flatten(1).all(1)
    first, second, third = (side[seen & asymmetric] for side in sides)
    assert len(first) > 500 and 0.4 < first.float().mean() < 0.6
    assert torch.equal(first, 1 - second) and torch.equal(first, third)


@pytest.mark.slow
def test_a_run_learns_and_its_weights_hold_the_stem(digits, tmp_path):
    run = train(Recipe(**FAST | {"epochs": 10}), digits, Run(tmp_path / "fast"))
    assert run.metrics["last_accuracy"] > 85
    stem = WhiteningStem()
    stem.fit(normalize(digits.train_images[:5000]))
    torch.testing.assert_close(run.model().stem.conv.weight, stem.conv.weight)


@pytest.mark.slow
def test_the_stem_sees_all_classes_of_images_that_are_sorted_by_class(digits, tmp_path, monkeypatch):
    order = digits.train_labels.argsort(stable=True)
    by_class = replace(digits, train_images=digits.train_images[order], train_labels=digits.train_labels[order])
    monkeypatch.setattr(training, "STEM_IMAGES", 140)
    stem = train(Recipe(**FAST | {"epochs": 1}), by_class, Run(tmp_path / "sorted")).model().stem
    components = stem.conv(normalize(digits.train_images)).transpose(0, 1).flatten(1)
    everywhere = components.square().mean(1)[8:12]  # digits are grey: two thirds of the components are next to nothing
    assert everywhere.min() > 0.85 and everywhere.max() < 1.15
    one_class = WhiteningStem()
    one_class.fit(normalize(by_class.train_images[:140]))
    alone = one_class.conv(normalize(digits.train_images)).transpose(0, 1).flatten(1).square().mean(1)[8:12]
    assert (alone - 1).abs().max() > 2 * (everywhere - 1).abs().max()


@pytest.mark.slow
def test_it_resumes_exactly(digits, tmp_path):
    whole = train(Recipe(**FAST), digits, Run(tmp_path / "whole"))
    cut = Run(tmp_path / "cut")
    train(Recipe(**FAST), digits, cut, max_hours=1e-9)
    assert not cut.finished
    train(Recipe(**FAST), digits, cut)
    for name, tensor in whole.model().state_dict().items():
        assert torch.equal(tensor, cut.model().state_dict()[name]), name
