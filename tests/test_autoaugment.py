"""Per-image AutoAugment, RandAugment and TrivialAugment against torchvision, one image at a time."""

import functools
import os
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chi2_contingency, chisquare
from torchvision.transforms import InterpolationMode, functional
from torchvision.transforms import autoaugment as reference

from kit.augment.plans import MATRICES, NAMES, Plan, apply
from kit.augment.policies import (
    autoaugment,
    draw_autoaugment,
    draw_randaugment,
    draw_trivialaugment,
    randaugment,
    trivialaugment,
)

AUTOAUGMENT = reference.AutoAugment(reference.AutoAugmentPolicy.CIFAR10)
RANDAUGMENT = reference.RandAugment()
TRIVIALAUGMENT = reference.TrivialAugmentWide()
SPACES = {
    "AutoAugment": lambda size: AUTOAUGMENT._augmentation_space(10, size),
    "RandAugment": lambda size: RANDAUGMENT._augmentation_space(31, size),
    "TrivialAugment": lambda size: TRIVIALAUGMENT._augmentation_space(31),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def by_torchvision(image, name, magnitude):
    """torchvision's operation on one image (3, H, W), or on several (N, 3, H, W), each as if it were alone."""
    if name == "Hue":
        return functional.adjust_hue(image, magnitude)
    return reference._apply_op(image, name, magnitude, InterpolationMode.NEAREST, None)


def every_magnitude(space):
    for name, (magnitudes, signed) in space.items():
        for magnitude in magnitudes.flatten().tolist():
            yield from ((name, float(sign * magnitude)) for sign in ((1, -1) if signed else (1,)))


def difficult_images(height, width):
    """Random pixels; and few values, one value, a narrow range, a ramp, two values, an empty channel, real edges."""
    images = torch.randint(0, 256, (8, 3, height, width), generator=seeded(), dtype=torch.uint8)
    images[1] %= 3
    images[2] = 77
    images[3] = images[3] // 8 + 100
    images[4] = torch.arange(width).to(torch.uint8) * 3
    images[5] = images[5] // 128 * 255
    images[6, 0] = 0
    images[7, :, : height // 2] = 200
    return images


def real_images(count):
    files = sorted(path for path in Path(os.environ["CIFAR10_DIR"]).glob("t*/*/*") if path.is_file())
    chosen = files[:: len(files) // count][:count]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def halfway_between_pixels(name, magnitude, height, width):
    """Which output pixels (H, W) a warp takes from within 1e-4 pixels of the middle between two input pixels.

    There the nearest pixel depends on how a processor rounds torchvision's matrix product in float32.
    """
    if name not in MATRICES:
        return torch.zeros(height, width, dtype=torch.bool)
    a, b, c, d, e, f = MATRICES[name](torch.tensor([magnitude], dtype=torch.float64), height, width)[0]
    x = torch.arange(width, dtype=torch.float64) - (width / 2 - 0.5)
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height / 2 - 0.5)
    column, row = a * x + b * y + c + (width / 2 - 0.5), d * x + e * y + f + (height / 2 - 0.5)
    return torch.stack([(v - v.floor() - 0.5).abs() < 1e-4 for v in (column, row)]).any(0)


def assert_equal_to_torchvision(images, cases, together=False):
    """Every case on every image in one batch: equal, but for warped pixels halfway between two input pixels.

    torchvision takes the images one by one; `together` saves time where the first size has shown that this is the same.
    """
    plan = Plan(
        torch.tensor([[NAMES.index(name)] for name, _ in cases]).repeat(len(images), 1),
        torch.tensor([[magnitude] for _, magnitude in cases], dtype=torch.float64).repeat(len(images), 1),
    )
    batch = apply(images.repeat_interleave(len(cases), 0), plan)
    batch = batch.view(len(images), len(cases), *images.shape[1:])
    for case, (name, magnitude) in enumerate(cases):
        if together:
            expected = by_torchvision(images, name, magnitude)
        else:
            expected = torch.stack([by_torchvision(image, name, magnitude) for image in images])
        differing = (batch[:, case] != expected) & ~halfway_between_pixels(name, magnitude, *images.shape[2:])
        assert not differing.any(), (name, magnitude, differing.float().mean().item())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (64, 64), (20, 44)])
@pytest.mark.parametrize("space", SPACES)
def test_every_operation_magnitude_and_sign_equals_torchvision(space, size):
    cases = list(every_magnitude(SPACES[space](size)))
    assert_equal_to_torchvision(difficult_images(*size), cases, together=size != (32, 32))


def test_hue_equals_torchvision():
    shifts = torch.linspace(-0.5, 0.5, 41).tolist()
    assert_equal_to_torchvision(difficult_images(32, 32), [("Hue", shift) for shift in shifts])


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("space", SPACES)
def test_every_operation_equals_torchvision_on_real_images(space):
    assert_equal_to_torchvision(real_images(20), list(every_magnitude(SPACES[space]((32, 32)))), together=True)


def test_stages_follow_one_another_as_torchvision_applies_them():
    images = difficult_images(32, 32).repeat(25, 1, 1, 1)
    plan = draw_autoaugment(len(images), 32, 32, seeded())
    expected = []
    for image, operations, magnitudes in zip(images, plan.operations, plan.magnitudes, strict=True):
        for operation, magnitude in zip(operations.tolist(), magnitudes.tolist(), strict=True):
            image = by_torchvision(image, NAMES[operation], magnitude)
        expected.append(image)
    differing = (apply(images, plan) != torch.stack(expected)).float().mean((1, 2, 3))
    assert differing.max() <= 0.005


def test_an_image_gets_its_own_result_wherever_it_lies_in_the_batch():
    images = torch.randint(0, 256, (300, 3, 32, 32), generator=seeded(), dtype=torch.uint8)
    plan = draw_randaugment(300, 32, 32, generator=seeded())
    shuffle = torch.randperm(300, generator=seeded(1))
    shuffled = apply(images[shuffle], Plan(plan.operations[shuffle], plan.magnitudes[shuffle]))
    assert torch.equal(shuffled, apply(images, plan)[shuffle])


# Distributions: what was drawn, as (name, magnitude) a stage; magnitudes rounded, so that both sides name them alike.


def outcomes(plan):
    names = np.array(NAMES)[plan.operations.numpy()]
    magnitudes = plan.magnitudes.numpy().round(4) + 0.0
    for row, signed in zip(names.tolist(), magnitudes.tolist(), strict=True):
        yield tuple((name, value) for name, value in zip(row, signed, strict=True) if name != "Identity")


def torchvision_outcomes(transform, count, monkeypatch):
    """What `transform` really asks for, call by call."""
    torch.manual_seed(5)
    calls, image = [], torch.zeros(3, 32, 32, dtype=torch.uint8)
    space = functools.cache(transform._augmentation_space)  # made anew for every image otherwise
    monkeypatch.setattr(transform, "_augmentation_space", space)

    def record(image, name, magnitude, **kwargs):
        if name != "Identity":
            calls[-1] += ((name, round(magnitude, 4) + 0.0),)
        return image

    monkeypatch.setattr(reference, "_apply_op", record)
    for _ in range(count):
        calls.append(())
        transform(image)
    return calls


def assert_same_distribution(ours, theirs):
    """Chi-square of the two samples over every joint outcome; those too rare for the test are counted together."""
    ours, theirs = Counter(ours), Counter(theirs)
    assert set(theirs) <= set(ours)
    columns = np.array([(ours[outcome], theirs[outcome]) for outcome in ours])
    common = columns.sum(1) * theirs.total() / columns.sum() >= 5
    table = np.vstack([columns[common], columns[~common].sum(0)])
    assert chi2_contingency(table[table.sum(1) > 0]).pvalue > 0.001


def probable(entry, space):
    """What one operation of a torchvision sub-policy may come to, with probabilities."""
    name, probability, level = entry
    magnitudes, signed = space[name]
    magnitude = 0.0 if level is None else magnitudes[level].item()
    signs = (1, -1) if signed else (1,)
    yield (), 1 - probability
    for sign in signs:
        yield ((name, round(sign * magnitude, 4) + 0.0),), probability / len(signs)


def test_autoaugment_draws_every_outcome_as_often_as_its_policy_says():
    expected, space = Counter(), AUTOAUGMENT._augmentation_space(10, (32, 32))
    for sub_policy in AUTOAUGMENT.policies:
        for (first, p), (second, q) in product(*(list(probable(entry, space)) for entry in sub_policy)):
            expected[first + second] += p * q / len(AUTOAUGMENT.policies)
    expected = {outcome: 100_000 * share for outcome, share in expected.items() if share}
    drawn = Counter(outcomes(draw_autoaugment(100_000, 32, 32, seeded())))
    assert set(drawn) <= set(expected)
    assert chisquare([drawn[outcome] for outcome in expected], list(expected.values())).pvalue > 0.001


def test_autoaugment_draws_as_torchvision_does(monkeypatch):
    theirs = torchvision_outcomes(AUTOAUGMENT, 10_000, monkeypatch)
    assert_same_distribution(outcomes(draw_autoaugment(100_000, 32, 32, seeded())), theirs)


def test_randaugment_draws_as_torchvision_does(monkeypatch):
    theirs = torchvision_outcomes(RANDAUGMENT, 8_000, monkeypatch)
    assert_same_distribution(outcomes(draw_randaugment(100_000, 32, 32, generator=seeded())), theirs)


def test_trivialaugment_draws_as_torchvision_does(monkeypatch):
    theirs = torchvision_outcomes(TRIVIALAUGMENT, 10_000, monkeypatch)
    assert_same_distribution(outcomes(draw_trivialaugment(100_000, 32, 32, seeded())), theirs)


def test_signs_are_even():
    plan = draw_autoaugment(100_000, 32, 32, seeded())
    signs = plan.magnitudes[plan.operations == NAMES.index("TranslateY")].sign()
    assert chisquare([(signs > 0).sum(), (signs < 0).sum()]).pvalue > 0.001


@pytest.mark.parametrize("augment", [autoaugment, randaugment, trivialaugment])
class TestBatches:
    def test_one_image_many_times_becomes_many_images(self, augment):
        images = difficult_images(32, 32)[7:].repeat(500, 1, 1, 1)
        assert len(augment(images, generator=seeded()).flatten(1).unique(dim=0)) > 25

    def test_one_seed_gives_one_batch_and_a_saved_generator_goes_on(self, augment):
        images, generator = difficult_images(32, 32).repeat(8, 1, 1, 1), seeded()
        first = augment(images, generator=generator)
        state = generator.get_state()
        second = augment(images, generator=generator)
        generator.set_state(state)
        assert torch.equal(augment(images, generator=generator), second)
        assert torch.equal(augment(images, generator=seeded()), first)
        assert not torch.equal(first, second)

    @pytest.mark.parametrize("size", [(28, 28), (64, 64), (2, 5)])
    @pytest.mark.parametrize("count", [0, 1, 9])
    def test_any_number_size_and_memory_layout_gives_the_same(self, augment, count, size):
        images = torch.randint(0, 256, (count, 3, *size), generator=seeded(), dtype=torch.uint8)
        before = images.clone()
        expected = augment(images, generator=seeded())
        every_second = images.repeat_interleave(2, 3)[..., ::2]
        assert expected.shape == images.shape and expected.dtype == torch.uint8
        assert torch.equal(augment(images.to(memory_format=torch.channels_last), generator=seeded()), expected)
        assert torch.equal(augment(every_second, generator=seeded()), expected)
        assert torch.equal(images, before)

    def test_other_than_uint8_rgb_is_refused(self, augment):
        with pytest.raises(TypeError, match=r"uint8.*float32"):
            augment(torch.rand(2, 3, 32, 32))
        with pytest.raises(TypeError, match=r"uint8.*ndarray"):
            augment(np.zeros((2, 3, 32, 32), np.uint8))
        with pytest.raises(ValueError, match=r"\(N, 3, height, width\), not \(2, 32, 32, 3\)"):
            augment(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))


def test_randaugment_refuses_what_is_out_of_range():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for wrong in ({"num_ops": -1}, {"magnitude": 31}, {"magnitude": -1}):
        with pytest.raises(ValueError, match="num_ops"):
            randaugment(images, **wrong)


def test_a_plan_for_another_number_of_images_is_refused():
    with pytest.raises(ValueError, match="for 3 images, not 2"):
        apply(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), draw_trivialaugment(3, 32, 32))
