"""A test file that is mirrored, turned or has its colours exchanged: the network is surer of the right reading."""

import warnings

import pytest
import torch
from image_sources import smooth_images
from torch import nn

from kit.analysis.readings import READINGS, confidence_of_readings


class Sees(nn.Module):
    """A network that is sure of images that are redder than blue, brighter above than below and right than left."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        half = images.shape[2] // 2
        red = images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2))
        above = images[:, :, :half].mean((1, 2, 3)) - images[:, :, half:].mean((1, 2, 3))
        right = images[..., half:].mean((1, 2, 3)) - images[..., :half].mean((1, 2, 3))
        sure = self.weight * (red.sigmoid() + (4 * above).sigmoid() + (4 * right).sigmoid())
        return torch.stack([sure, torch.zeros_like(sure)], 1)


def images_that_it_likes(count: int = 400) -> torch.Tensor:
    """Smooth images, brighter at the top right and redder than blue."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    slope = 60 * x + 60 * (1 - y)
    tint = torch.tensor([60.0, 20.0, 0.0])[:, None, None]
    return (torch.from_numpy(smooth_images(count)) * 0.3 + slope + tint).clamp(0, 255).to(torch.uint8)


OTHERS = ("mirrored", "upside down", "red and blue exchanged")


@pytest.mark.parametrize("name", OTHERS)
def test_another_reading_that_is_clearly_surer_is_told(name):
    images = images_that_it_likes()
    with pytest.warns(UserWarning, match=f"clearly surer .* read {name} .*validation 0"):
        table = confidence_of_readings([Sees()], READINGS[name](images), images)
    assert list(table.index) == ["validation", *READINGS]
    assert table.confidence[name] == pytest.approx(table.confidence["validation"], abs=1e-6)
    assert table["surer by"]["as they are"] == 0


def test_images_that_are_read_rightly_raise_no_warning():
    images = images_that_it_likes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confidence_of_readings([Sees()], images, images)
        confidence_of_readings([Sees()], images[:1], images)


def test_a_grey_set_is_told_where_validation_has_colour():
    images = images_that_it_likes()
    grey = images[:, :1].expand(-1, 3, -1, -1)
    with pytest.warns(UserWarning, match="test images have no colour"):
        confidence_of_readings([Sees()], grey, images)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*no colour")
        confidence_of_readings([Sees()], grey, grey)
