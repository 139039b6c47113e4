"""Progressive resizing: what `resize` says, what a network sees, and the arithmetic that is counted."""

import pytest
import torch
import torch.nn.functional as F
from training_process import few_digits

from kit.augment.imagesizes import sides_of_epochs
from kit.augment.resizing import resize
from kit.errors import KitError
from kit.model import build, flops
from kit.recipe import RECIPES, Recipe
from kit.run import Run
from kit.train.batches import Batches
from kit.train.flops import pflop_of_epochs
from kit.train.loop import train

SMALL = RECIPES["digits"].replace(arch="4,8/1,1", batch_size=32, epochs=5, resize="20x0.4,28x0.2")


def test_any_schedule_can_be_said_and_the_last_epoch_has_32_pixels():
    assert sides_of_epochs("", 3) == [32, 32, 32]
    assert sides_of_epochs("24x0.4,28x0.3", 10) == [24] * 4 + [28] * 3 + [32] * 3
    assert sides_of_epochs("28x0.2,20x0.2,28x0.2", 5) == [28, 20, 28, 32, 32]
    assert sides_of_epochs("24x0.3,28x0.3", 17) == [24] * 5 + [28] * 5 + [32] * 7
    assert sides_of_epochs("24x0.95", 2) == [24, 32] and sides_of_epochs("24x0.95", 1) == [32]


@pytest.mark.parametrize(
    "text",
    ["24", "24x6", "24x0.5,28x0.5", "24x0", "24x-0.1", "24xnan", "32x0.5", "0x0.5", "24x0.5,", "ax0.5", "24.5x0.5"],
)
def test_another_text_is_refused_with_an_example(text):
    with pytest.raises(KitError, match=r"resize has to be sizes in pixels below 32.* such as 24x0.4,28x0.3, not"):
        Recipe(resize=text)


def test_networks_that_cannot_take_smaller_images_are_refused():
    with pytest.raises(KitError, match="resize needs a network that pools the whole last map: leave pool at 0"):
        Recipe(resize="24x0.5", pool=4)
    with pytest.raises(KitError, match="arch leaves nothing of 16 pixels"):
        Recipe(resize="16x0.5", arch="8,8,8,8/1,1,1,1+pooled")
    assert Recipe(resize="17x0.5", arch="8,8,8,8/1,1,1,1+pooled").sides[0] == 17
    assert Recipe(resize="1x0.5", arch="8,8/1,1").sides[0] == 1  # strides round up


@pytest.mark.parametrize("arch", ["8,16/1,1+pooled", "8,8,8,8/1,1,1,1+pooled", "8,16/1,1", "8,16/1,1+se"])
def test_networks_pool_whatever_is_left_of_an_image(arch):
    network = build(arch).eval()
    with torch.no_grad():
        images = torch.randn(2, 3, 24, 24)
        maps = network.layers(network.stem(images))
        pooled = maps.amax((2, 3)) if arch.endswith("pooled") else maps.mean((2, 3))
        torch.testing.assert_close(network(images), network.classifier(pooled))


def test_a_shrunk_image_is_the_antialiased_one():
    images = torch.randn(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    small = resize(images, 16)
    assert small.shape == (3, 3, 16, 16) and small.is_contiguous(memory_format=torch.channels_last)
    weights = torch.tensor([1.0, 3, 3, 1]) / 8  # a triangle two output pixels wide, at pixels of half the size
    inner = F.conv2d(images, torch.outer(weights, weights).expand(3, 1, 4, 4), stride=2, padding=1, groups=3)
    torch.testing.assert_close(small[..., 1:-1, 1:-1], inner[..., 1:-1, 1:-1])
    assert resize(images, 32) is images


def test_batches_are_the_same_images_shrunk():
    data = few_digits()
    whole, small = (
        Batches(data.train_images, data.train_labels, recipe, 10) for recipe in (SMALL.replace(resize=""), SMALL)
    )
    for epoch, side in enumerate(SMALL.sides):
        (images, labels, _), (shrunk, same_labels, _) = (next(batches.epoch(epoch)) for batches in (whole, small))
        torch.testing.assert_close(shrunk, resize(images, side))
        assert shrunk.shape[2:] == (side, side) and torch.equal(labels, same_labels)


def test_arithmetic_counts_each_image_that_is_shown_at_its_size(tmp_path):
    recipe = SMALL.replace(skip_easy=0.5)
    network, steps = build(recipe.architecture), [16, 16, 8, 8, 16]
    assert flops(network, 20) < flops(network, 28) < flops(network)
    by_hand = [3 * flops(network, side) * n * 32 / 1e15 for side, n in zip([20, 20, 28, 32, 32], steps, strict=True)]
    assert pflop_of_epochs(recipe, 10, steps) == pytest.approx(by_hand, rel=1e-12)

    run = train(recipe, few_digits(), Run(tmp_path / "small"))
    assert run.history["pflop"].tolist() == pytest.approx(by_hand, rel=1e-12)
    assert run.metrics["pflop"] == pytest.approx(sum(by_hand), rel=1e-12)
    assert f"arithmetic {sum(by_hand):.3g} PFLOP" in run.summary()


def test_the_arithmetic_of_a_pooled_network_at_24_pixels_by_hand():
    network = build("fast")
    places = 23**2 * 24 * 64 + 11**2 * (64 * 64 + 64 * 256) + 5**2 * 2 * 256 * 256 + 2**2 * 256 * 256
    assert flops(network, 24) == 2 * (9 * places + 23**2 * 24 * 12 + 2560)


def test_a_history_begun_before_a_column_existed_goes_on(tmp_path):
    run = Run(tmp_path / "older")
    row = {"lr": 0.1, "train_loss": 1.0, "train_accuracy": 50.0, "validation_loss": 1.0, "validation_accuracy": 50.0,
           "gradient_norm": 1.0, "seconds": 1.0, "images_per_second": 10.0}  # fmt: skip
    run.save_history([{"epoch": 1} | row, {"epoch": 2, "pflop": 0.5} | row])
    assert run.history["pflop"].isna().tolist() == [True, False] and run.history["epoch"].tolist() == [1, 2]
