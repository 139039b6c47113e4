"""The yardstick is what it says: torchvision on PIL images, plain float32, and the host asking at each step."""

import pytest
import torch
from PIL import Image
from torchvision import transforms

from kit.augment.pipeline import MEAN, STD
from kit.bench.paperway import Cutout, PaperWay, PILImages, plain_transform, training_transform
from kit.lookahead import Lookahead
from kit.model.resnet import build
from kit.recipe import Recipe

RECIPE = Recipe(arch="tiny", batch_size=32, lr=0.05)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(digits):
    return digits.train_images[:96], digits.train_labels[:96]


def test_the_transforms_are_torchvisions_on_pil_images():
    *drawn, plain, cutout = training_transform().transforms
    assert [type(t) for t in drawn] == [
        transforms.RandomCrop,
        transforms.RandomHorizontalFlip,
        transforms.AutoAugment,
    ]
    assert (drawn[0].size, drawn[0].padding, drawn[1].p) == ((32, 32), 4, 0.5)
    assert drawn[2].policy is transforms.AutoAugmentPolicy.CIFAR10
    assert [type(t) for t in plain.transforms] == [transforms.ToTensor, transforms.Normalize]
    assert (plain.transforms[1].mean, plain.transforms[1].std) == (MEAN, STD)
    assert (cutout.holes, cutout.length) == (1, 8)


def test_an_image_arrives_upright_and_normalised(photos):
    image, label = PILImages(*photos, plain_transform())[5]
    pixels = photos[0][5].float() / 255
    expected = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(image, expected)
    assert label == photos[1][5]
    assert training_transform()(Image.new("RGB", (32, 32))).shape == (3, 32, 32)


def test_cutout_blanks_a_square_that_the_border_may_cut():
    blanks = [int((Cutout(1, 8)(torch.ones(3, 32, 32)) == 0).sum()) for _ in range(200)]
    assert max(blanks) == 3 * 64  # whole
    assert 3 * 16 <= min(blanks) < 3 * 64  # a corner leaves a quarter
    assert all(b % 3 == 0 for b in blanks)


def test_an_epoch_gives_full_shuffled_batches_and_prediction_all_images_in_order(photos):
    paper = PaperWay(RECIPE.replace(batch_size=40), CPU, workers=0)
    training = [labels for _, labels in paper.batches(*photos)]
    assert [len(b) for b in training] == [40, 40]
    plain = [labels for _, labels in paper.batches(*photos, training=False)]
    assert torch.equal(torch.cat(plain), photos[1])
    assert not torch.equal(torch.cat(training), photos[1][:80])


def test_a_step_is_plain_sgd_in_float32(photos):
    paper = PaperWay(RECIPE.replace(lookahead_k=0), CPU, workers=0)
    model = build(RECIPE.architecture)
    model.load_state_dict(paper.model.state_dict())
    images, labels = next(iter(paper.batches(*photos)))
    loss, hits, norm = paper.step(images, labels)

    logits = model.train()(images)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=RECIPE.label_smoothing)
    expected.backward()
    assert loss == pytest.approx(expected.item())
    assert hits == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert norm == pytest.approx(gradients.norm().item(), rel=1e-5)
    for (name, moved), start in zip(paper.model.named_parameters(), model.parameters(), strict=True):
        by_hand = start - RECIPE.lr * (start.grad + RECIPE.weight_decay * start)
        torch.testing.assert_close(moved, by_hand, msg=name)
    assert all(p.dtype == torch.float32 and p.is_contiguous() for p in paper.model.parameters())


def test_pooled_networks_whose_stem_is_fixed_train_too(photos):
    paper = PaperWay(RECIPE.replace(arch="8,8,8/1,1,1+pooled"), CPU, workers=0)
    _loss, _hits, norm = paper.step(*next(iter(paper.batches(*photos))))
    assert norm > 0


def test_workers_feed_training_with_lookahead_and_it_learns(photos):
    paper = PaperWay(RECIPE, CPU, workers=1)
    assert isinstance(paper.optimizer, Lookahead)
    batch = next(iter(paper.batches(*photos)))
    losses = [paper.step(*batch)[0] for _ in range(12)]
    assert losses[-1] < losses[0] - 0.3
    answers = paper.classify(batch[0])
    assert len(answers) == 32 and set(answers) <= set(range(10))
