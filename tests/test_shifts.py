"""kit.analysis.shifts: against scipy, and the properties that the experiments rely on."""

import numpy as np
import pytest
import torch
from benchmarks.made_shifts import MADE_SHIFTS
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image
from torch import nn

from kit.analysis.answers import Answers
from kit.analysis.shifts import SMALL_CHANGES, answers_under, weaknesses

BY_NAME = {shift.name: shift for shift in MADE_SHIFTS}


@pytest.fixture(scope="module")
def images():
    """Thirty-two cuts of a real photograph, uint8 (32, 3, 32, 32)."""
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)
    return torch.stack(
        [photo[:, r : r + 128 : 4, c : c + 128 : 4] for r in range(0, 240, 60) for c in range(0, 480, 60)]
    )


def test_there_are_at_least_twelve_shifts_in_three_strengths():
    assert len({shift.name for shift in MADE_SHIFTS}) == len(MADE_SHIFTS) >= 12
    assert all(len(shift.strengths) == 3 for shift in MADE_SHIFTS)


@pytest.mark.parametrize("shift", [*MADE_SHIFTS, *SMALL_CHANGES], ids=lambda shift: shift.name)
def test_a_shift_changes_images_the_same_way_twice_and_more_with_strength(shift, images):
    before, distances = images.clone(), []
    for strength in shift.strengths:
        changed = shift.apply(images, strength)
        assert changed.dtype == torch.uint8 and changed.shape == images.shape
        assert torch.equal(changed, shift.apply(images, strength))
        distances.append((changed.float() - images.float()).abs().mean().item())
    assert torch.equal(images, before)
    assert distances[0] > 0 and distances == sorted(distances)


def test_blur_is_scipys(images):
    changed = BY_NAME["blur"].apply(images, 0.8).numpy()
    wanted = gaussian_filter(images.numpy().astype(float), (0, 0, 0.8, 0.8), mode="mirror", truncate=3.2)
    assert np.abs(changed - wanted).max() < 1.5


def test_noise_and_impulses_have_their_strength():
    grey = torch.full((200, 3, 32, 32), 128, dtype=torch.uint8)
    noisy = BY_NAME["noise"].apply(grey, 0.05).double()
    assert noisy.std().item() == pytest.approx(0.05 * 255, rel=0.02)
    hit = BY_NAME["salt and pepper"].apply(grey, 0.03) != 128
    assert hit[:, 0].float().mean().item() == pytest.approx(0.03, rel=0.05)
    assert torch.equal(hit[:, 0], hit[:, 1])  # whole pixels


def test_occlusion_covers_a_whole_square_inside_the_image():
    white = torch.full((50, 3, 32, 32), 255, dtype=torch.uint8)
    covered = BY_NAME["occlusion"].apply(white, 13) == 128
    assert (covered.sum((2, 3)) == 13 * 13).all()
    assert (covered[:, 0].any(1).sum(1) == 13).all() and len({tuple(c[0].any(1).tolist()) for c in covered}) > 5


def test_moving_keeps_every_image_near_and_goes_to_all_corners(images):
    moved = BY_NAME["off-centre"].apply(images, 4)
    ways = {
        (down, right): (moved[:, :, 8:24, 8:24] == images[:, :, 8 - down : 24 - down, 8 - right : 24 - right]).all(
            (1, 2, 3)
        )
        for down in (-4, 4)
        for right in (-4, 4)
    }
    assert torch.stack(list(ways.values())).any(0).all() and all(way.any() for way in ways.values())


def test_zoom_out_keeps_the_whole_image_in_the_middle(images):
    small = BY_NAME["zoom out"].apply(images, 16)[:, :, 8:24, 8:24].float()
    halved = nn.functional.avg_pool2d(images.float(), 2)
    assert (small - halved).abs().mean() < 10 and (images.float() - images.float().mean()).abs().mean() > 30


def test_weaknesses_are_the_accuracies_lost(images):
    class Brightness(nn.Module):
        """Class 1 where the image is lighter than CIFAR-10's mean."""

        def forward(self, x):
            light = x.mean((1, 2, 3))
            return torch.stack([-light, light], 1)

    labels = (images.float().mean((1, 2, 3)) > 119).long()
    plain = Answers(np.eye(2)[labels], labels)
    changed = answers_under(Brightness(), images, labels, ("dark", "light"), SMALL_CHANGES)
    table = weaknesses(plain, changed).set_index(["change", "strength"])
    assert len(table) == sum(len(shift.strengths) for shift in SMALL_CHANGES)
    assert table.cost["mirrored left to right", ""] == pytest.approx(table.cost["upside down", ""], abs=1e-9)
    assert table.cost["darker", "x 0.7"] > 10
    np.testing.assert_allclose(table.cost, 100 * (1 - table.accuracy))
