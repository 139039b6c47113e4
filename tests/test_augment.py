"""Batched augmentation against torchvision, the authors' definitions and the distributions they state."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta, chisquare, kstest
from torchvision.transforms import functional, transforms

from kit.augment.jitter import draw_color_jitter, draw_rotation
from kit.augment.pipeline import (
    MEAN,
    STD,
    Pipeline,
    color_jitter,
    cutmix,
    cutout,
    mixup,
    normalize,
    random_crop,
    random_flip,
    random_rotation,
)
from kit.augment.plans import NAMES
from kit.augment.policies import autoaugment, randaugment

FULL = Pipeline(4, "zero", True, "autoaugment", jitter=0.2, rotation=15, cutout=8, holes=2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(count, height=32, width=32):
    return torch.randint(0, 256, (count, 3, height, width), generator=seeded(9), dtype=torch.uint8)


def even(counts):
    return chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("mode", "torchvision_mode"), [("zero", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (9, 14)])
def test_crops_are_torchvisions_windows_and_each_is_as_likely(mode, torchvision_mode, size):
    image = random_images(1, *size)[0]
    padded = functional.pad(image, 4, padding_mode=torchvision_mode)
    places = itertools.product(range(9), range(9))
    windows = [functional.crop(padded, top, left, *size).numpy().tobytes() for top, left in places]
    crops = random_crop(image.expand(8_100, -1, -1, -1), 4, mode, seeded()).numpy()
    counts = dict.fromkeys(windows, 0)
    for crop in crops:
        counts[crop.tobytes()] += 1
    assert len(counts) == 81 and even(list(counts.values()))


def test_every_image_is_cropped_from_itself():
    images = random_images(200)
    crops = random_crop(images, 2, "reflect", seeded())
    windows = F.pad(images.float(), (2,) * 4, mode="reflect").unfold(2, 32, 1).unfold(3, 32, 1)
    matches = (windows.permute(0, 2, 3, 1, 4, 5) == crops[:, None, None]).all(5).all(4).all(3)
    assert (matches.flatten(1).sum(1) == 1).all()


def test_a_crop_without_padding_changes_nothing():
    assert torch.equal(random_crop(random_images(5), 0, "reflect"), random_images(5))


@pytest.mark.parametrize(("padding", "mode"), [(4, "edge"), (-1, "zero"), (32, "reflect")])
def test_impossible_padding_is_refused(padding, mode):
    with pytest.raises(ValueError, match="padding"):
        random_crop(random_images(2), padding, mode)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_flips_mirror_as_many_images_as_asked(p):
    images = random_images(4_000, 8, 8)
    flips = random_flip(images, p, seeded())
    mirrored = (flips == functional.hflip(images)).flatten(1).all(1)
    assert ((flips == images).flatten(1).all(1) ^ mirrored).all()
    if p in (0, 1):
        assert mirrored.float().mean() == p
    else:
        assert chisquare([mirrored.sum(), (~mirrored).sum()], [4_000 * p, 4_000 * (1 - p)]).pvalue > 0.001


def squares_of_the_authors(length, height, width):
    """DeVries & Taylor's square about every pixel."""
    for y, x in itertools.product(range(height), range(width)):
        keep = np.ones((height, width), bool)
        top, bottom = np.clip([y - length // 2, y + length // 2], 0, height)
        left, right = np.clip([x - length // 2, x + length // 2], 0, width)
        keep[top:bottom, left:right] = False
        yield keep.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("length", [2, 7, 8, 16])
def test_cutout_cuts_the_authors_squares_about_every_pixel_as_often(length):
    images = torch.rand(60 * 15 * 20, 3, 15, 20, generator=seeded()) + 1
    kept = cutout(images, 1, length, seeded())
    assert torch.equal(kept[kept != 0], images[kept != 0])
    expected = {}
    for square in squares_of_the_authors(length, 15, 20):
        expected[square] = expected.get(square, 0) + 60
    counts = dict.fromkeys(expected, 0)
    masks = (kept != 0).numpy()
    assert (masks == masks[:, :1]).all()
    for mask in masks[:, 0]:
        counts[mask.tobytes()] += 1
    assert chisquare(list(counts.values()), list(expected.values())).pvalue > 0.001


def test_cutout_with_more_holes_cuts_where_any_hole_is():
    kept = cutout(torch.ones(2_000, 3, 32, 32), 3, 8, seeded())
    assert set(kept.unique().tolist()) == {0, 1}
    areas = (kept[:, 0] == 0).sum((1, 2))
    centres = torch.tensor([sum(place - 4 < centre <= place + 4 for centre in range(32)) for place in range(32)]) / 32
    uncovered = (1 - torch.outer(centres, centres)) ** 3
    assert 64 < areas.max() <= 192
    assert areas.double().mean().item() == pytest.approx((1 - uncovered).sum().item(), rel=0.01)
    assert torch.equal(cutout(torch.ones(2, 3, 8, 8), 0, 4), torch.ones(2, 3, 8, 8))


def test_cutout_refuses_pixels():
    with pytest.raises(TypeError, match="normalize first"):
        cutout(random_images(2))


def test_jitter_equals_torchvision_in_each_images_own_order():
    images = random_images(60)
    plan = draw_color_jitter(60, 0.4, 0.5, 0.6, 0.3, seeded())
    changes = {
        "Brightness": lambda image, m: functional.adjust_brightness(image, 1 + m),
        "Contrast": lambda image, m: functional.adjust_contrast(image, 1 + m),
        "Color": lambda image, m: functional.adjust_saturation(image, 1 + m),
        "Hue": functional.adjust_hue,
    }
    for image, operations, magnitudes, jittered in zip(
        images,
        plan.operations,
        plan.magnitudes,
        color_jitter(images, 0.4, 0.5, 0.6, 0.3, seeded()),
        strict=True,
    ):
        for operation, magnitude in zip(operations.tolist(), magnitudes.tolist(), strict=True):
            image = changes[NAMES[operation]](image, magnitude)
        assert torch.equal(jittered, image)


def test_jitter_draws_orders_and_amounts_as_torchvision_does():
    plan = draw_color_jitter(24_000, 0.4, 1.5, 0.6, 0.3, seeded())
    orders = plan.operations.unique(dim=0, return_counts=True)
    assert len(orders[0]) == 24 and even(orders[1])
    ranges = transforms.ColorJitter(0.4, 1.5, 0.6, 0.3)
    for name, centre, bounds in (
        ("Brightness", 1, ranges.brightness),
        ("Contrast", 1, ranges.contrast),
        ("Color", 1, ranges.saturation),
        ("Hue", 0, ranges.hue),
    ):
        amounts = plan.magnitudes[plan.operations == NAMES.index(name)] + centre
        assert kstest(amounts, "uniform", (bounds[0], bounds[1] - bounds[0])).pvalue > 0.001


def test_jitter_of_nothing_changes_nothing_and_impossible_amounts_are_refused():
    assert torch.equal(color_jitter(random_images(9), 0, 0, 0, 0), random_images(9))
    for wrong in ({"brightness": -0.1}, {"hue": 0.6}):
        with pytest.raises(ValueError, match="jitter"):
            color_jitter(random_images(2), **wrong)


@pytest.mark.parametrize("size", [(32, 32), (28, 28)])
def test_rotations_equal_torchvision(size):
    images = random_images(100, *size)
    angles = draw_rotation(100, 15, seeded()).magnitudes[:, 0].tolist()
    expected = [functional.rotate(image, angle) for image, angle in zip(images, angles, strict=True)]
    differing = random_rotation(images, 15, seeded()) != torch.stack(expected)
    assert differing.float().mean((1, 2, 3)).max() <= 0.005


def test_rotation_angles_are_even_between_both_limits():
    angles = draw_rotation(20_000, 15, seeded()).magnitudes[:, 0]
    assert kstest(angles, "uniform", (-15, 30)).pvalue > 0.001


def test_normalizing_equals_torchvision():
    images = random_images(300)
    expected = functional.normalize(images.float() / 255, MEAN, STD)
    normalized = normalize(images)
    assert normalized.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normalized, expected, rtol=0, atol=1e-6)


def shares_of_mixup(alpha, count=4_000):
    """Each image is a unit vector, so that the mixed one holds the share of every image: (count, count)."""
    labels = torch.arange(count) % 10
    mixed, targets = mixup(torch.eye(count)[:, None, None], labels, alpha, generator=seeded())
    return mixed[:, 0, 0], targets, labels


@pytest.mark.parametrize("alpha", [0.5, 0.75, 1.0])
def test_mixup_draws_its_shares_from_the_beta_distribution(alpha):
    shares, targets, labels = shares_of_mixup(alpha)
    partnered = shares.diag() < 1
    assert kstest(shares.diag()[partnered].double(), beta(alpha, alpha).cdf).pvalue > 0.001
    torch.testing.assert_close(targets, shares @ F.one_hot(labels).float())
    torch.testing.assert_close(targets.sum(1), torch.ones(len(labels)))
    assert ((shares > 0).sum(0)[partnered] <= 2).all()  # a partner is a partner once


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_mixups_loss_is_the_convex_combination_of_the_two_cross_entropies(label_smoothing):
    shares, targets, labels = shares_of_mixup(1.0, 200)
    logits = torch.randn(200, 10, generator=seeded(), dtype=torch.float64)
    each = torch.stack(
        [
            F.cross_entropy(logits, label.expand(200), label_smoothing=label_smoothing, reduction="none")
            for label in labels
        ],
        dim=1,
    )
    loss = F.cross_entropy(logits, targets.double(), label_smoothing=label_smoothing)
    assert loss.item() == pytest.approx((shares * each).sum(1).mean().item(), abs=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (28, 20)])
def test_cutmix_pastes_rectangles_and_mixes_labels_by_their_area(size):
    count = 1_000
    images = torch.arange(float(count))[:, None, None, None].expand(-1, 3, *size)
    mixed, targets = cutmix(images, torch.arange(count), 1.0, classes=count, generator=seeded())
    own = mixed[:, 0] == images[:, 0]
    assert (mixed == mixed[:, :1]).all()
    torch.testing.assert_close(targets.diag(), own.float().mean((1, 2)), rtol=0, atol=1e-6)
    pasted = ~own
    box = pasted.any(2)[:, :, None] & pasted.any(1)[:, None]
    assert torch.equal(pasted, box)
    highest = mixed[:, 0].masked_fill(own, -1).flatten(1).amax(1)
    lowest = mixed[:, 0].masked_fill(own, count).flatten(1).amin(1)
    partnered = highest >= 0
    assert torch.equal(highest[partnered], lowest[partnered])
    assert len(highest[partnered].unique()) == partnered.sum() > 800  # a partner is a partner once


def test_cutmix_boxes_have_the_drawn_area_where_the_border_does_not_cut():
    images = torch.arange(20_000.0)[:, None, None, None].expand(-1, 1, 32, 32)
    mixed, _ = cutmix(images, torch.zeros(20_000, dtype=torch.long), 1.0, generator=seeded())
    pasted = mixed[:, 0] != images[:, 0]
    inside = ~(pasted[:, 0].any(1) | pasted[:, -1].any(1) | pasted[:, :, 0].any(1) | pasted[:, :, -1].any(1))
    heights, widths = pasted.any(2).sum(1)[inside], pasted.any(1).sum(1)[inside]
    assert torch.equal(heights, widths) and set((heights % 2).tolist()) == {0}


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixing_refuses_an_alpha_that_is_no_beta_distribution(mix):
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            mix(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), alpha)


def test_mixup_refuses_pixels():
    with pytest.raises(TypeError, match="normalize"):
        mixup(random_images(2), torch.zeros(2, dtype=torch.long), 1.0)


def test_mixup_after_cutout_mixes_the_squares_too():
    images, labels = Pipeline(cutout=16)(random_images(64), seeded()), torch.arange(64) % 10
    assert (images == 0).float().mean() > 0.1
    mixed, targets = mixup(images, labels, 0.75, generator=seeded(1))
    blends = mixup(torch.eye(64)[:, None, None], labels, 0.75, generator=seeded(1))[0][:, 0, 0]
    torch.testing.assert_close(mixed, (blends @ images.flatten(1)).view(images.shape), rtol=0, atol=1e-5)
    assert targets.shape == (64, 10) and mixed.is_contiguous(memory_format=torch.channels_last)


class TestPipeline:
    def test_it_is_its_parts_in_the_order_of_the_papers_transforms(self):
        images, generator = random_images(300), seeded()
        expected = random_crop(images, 4, "zero", generator)
        expected = random_flip(expected, generator=generator)
        expected = autoaugment(expected, generator)
        expected = color_jitter(expected, 0.2, 0.2, 0.2, 0.1, generator)
        expected = random_rotation(expected, 15, generator)
        assert torch.equal(FULL.augment(images, seeded()), expected)
        expected = cutout(normalize(expected), 2, 8, generator)
        assert torch.equal(FULL(images, seeded()), expected)

    def test_what_is_off_changes_nothing(self):
        off = Pipeline(crop=0, flip=False)
        assert torch.equal(off(random_images(300)), normalize(random_images(300)))
        reflecting = Pipeline(2, "reflect", False, "randaugment")
        expected = randaugment(random_crop(random_images(9), 2, "reflect", generator := seeded()), generator=generator)
        assert torch.equal(reflecting.augment(random_images(9), seeded()), expected)

    def test_one_seed_gives_one_batch_and_a_saved_generator_goes_on(self):
        generator = seeded()
        first, state = FULL(random_images(64), generator), generator.get_state()
        second = FULL(random_images(64), generator)
        generator.set_state(state)
        assert torch.equal(FULL(random_images(64), generator), second)
        assert torch.equal(FULL(random_images(64), seeded()), first) and not torch.equal(first, second)

    def test_without_a_generator_torchs_own_is_used(self):
        torch.manual_seed(0)
        first = FULL(random_images(16))
        torch.manual_seed(0)
        assert torch.equal(FULL(random_images(16)), first)

    @pytest.mark.parametrize("size", [(32, 32), (28, 28), (64, 64), (5, 9)])
    @pytest.mark.parametrize("count", [0, 1, 300])
    def test_any_number_size_and_memory_layout_gives_the_same(self, count, size):
        images = random_images(count, *size)
        expected = FULL(images, seeded())
        every_second = images.repeat_interleave(2, 3)[..., ::2]
        assert expected.shape == images.shape and expected.dtype == torch.float32
        assert expected.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(FULL(images.to(memory_format=torch.channels_last), seeded()), expected)
        assert torch.equal(FULL(every_second, seeded()), expected)
        assert torch.equal(images, random_images(count, *size))

    def test_floats_are_refused_in_one_sentence(self):
        with pytest.raises(TypeError, match=r"^images must be a torch.uint8 .*float32; augment before normalising$"):
            FULL(torch.rand(2, 3, 32, 32))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"policy": "imagenet"},
            {"padding": "edge"},
            {"crop": -1},
            {"jitter": 1.5},
            {"rotation": 200},
            {"cutout": -8},
            {"holes": -1},
        ],
    )
    def test_impossible_settings_are_refused_when_it_is_built(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Pipeline(**wrong)

    @pytest.mark.parametrize("policy", [None, "autoaugment", "randaugment", "trivialaugment"])
    def test_the_device_is_never_asked_for_a_value(self, policy):
        """The meta device has none to give: whatever waits for one fails there."""
        images = torch.empty(50, 3, 32, 32, dtype=torch.uint8, device="meta")
        labels = torch.zeros(50, dtype=torch.long, device="meta")
        batch = Pipeline(4, "reflect", True, policy, 0.2, 15, 8, 2)(images)
        for mix in (mixup, cutmix):
            mixed, targets = mix(batch, labels, 1.0)
            assert mixed.is_meta and mixed.shape == images.shape and targets.shape == (50, 10)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("policy", ["autoaugment", "randaugment", "trivialaugment"])
    def test_a_gpu_gives_the_same_to_one_grey_level_and_is_not_waited_for(self, policy):
        pipeline = Pipeline(4, "zero", True, policy, 0.2, 15)
        expected, images = pipeline.augment(random_images(500), seeded()), random_images(500).cuda()
        pipeline.augment(images)
        torch.cuda.set_sync_debug_mode("error")
        try:
            augmented = pipeline.augment(images, seeded())
        finally:
            torch.cuda.set_sync_debug_mode("default")
        off = (augmented.cpu().int() - expected.int()).abs() > 1
        assert off.float().mean() <= 0.005
