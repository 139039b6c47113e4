"""Class names decide the numbers in a submission: they are CIFAR-10's, or no CSV is written."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_sources import smooth_images, write_image_folder
from limits import within_limits
from PIL import Image

from kit.data import imagefolder, load
from kit.data.classnames import CLASSES, DIGITS, check_competition_classes, ordered
from kit.data.dataset import Dataset
from kit.data.loading import classes_of, write_competition_test
from kit.errors import KitError
from kit.submission.testimages import images_to_label

TUTORIAL = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "names",
    [
        CLASSES,
        TUTORIAL,
        tuple(name.upper() + "S" for name in TUTORIAL),
        ("aeroplane", "auto", *CLASSES[2:8], "boat", "lorry"),
        tuple(f"{number}_{name}" for number, name in enumerate(TUTORIAL)),
        tuple(f"{number}. {name}" for number, name in enumerate(CLASSES, 1)),  # 10 comes before 2 by its letters
    ],
)
def test_names_that_mean_cifar_10_get_its_numbers(names, tmp_path):
    pixels = write_image_folder(tmp_path / "images", 1, names)
    read = imagefolder.read(tmp_path / "images")
    assert read.classes == CLASSES and classes_of(tmp_path / "images") == CLASSES
    assert read.train_labels.tolist() == list(range(10))
    assert torch.equal(read.train_images, torch.from_numpy(pixels[:10]))
    check_competition_classes(read.classes)


def test_numbers_alone_are_numbers():
    assert ordered([str(i) for i in range(9, -1, -1)])[1] == DIGITS
    assert ordered(["10", "9", "2"])[0] == ["2", "9", "10"]
    check_competition_classes(DIGITS)


@pytest.mark.parametrize(
    "names",
    [
        ("plane", "car", *CLASSES[2:9], "suv"),
        ("plane", "airplane", *CLASSES[2:]),
        CLASSES[:9],
        tuple("abcdefghij"),
        tuple(f"{number}_{letter}" for number, letter in enumerate("jihgfedcba")),
    ],
)
def test_uncertain_names_are_read_and_no_csv_is_written(names, tmp_path):
    write_image_folder(tmp_path / "images", 1, names)
    dataset = load(tmp_path / "images")
    assert len(dataset.classes) == len(names)
    write_competition_test(tmp_path / "test.pkl", torch.from_numpy(smooth_images(4)), torch.arange(4))
    with pytest.raises(KitError, match=r"not certainly the competition's; .*0: airplane / .*9: truck / .*rename"):
        images_to_label(str(tmp_path / "test.pkl"), "auto", dataset)


def test_certain_names_are_labelled(tmp_path):
    images = torch.from_numpy(smooth_images(4))
    write_competition_test(tmp_path / "test.pkl", images, torch.arange(4))
    dataset = Dataset(images, torch.arange(4), images, torch.arange(4), CLASSES, "made up")
    assert torch.equal(images_to_label(str(tmp_path / "test.pkl"), "auto", dataset).images, images)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_any_number_of_classes_of_any_size_is_read_on_request(count, tmp_path):
    names = tuple(f"class{letter}" for letter in "abcdefghijkl"[:count])
    write_image_folder(tmp_path / "images", 1, names)
    for place, size in (("train/classa/0.png", (300, 200)), ("test/classb/0.png", (8, 8))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "images" / place)
    with pytest.raises(KitError, match=r"300x200 pixels; every image must be 32x32.*`-p data resize:FOLDER`"):
        load(tmp_path / "images")
    dataset = load(f"resize:{tmp_path / 'images'}")
    assert dataset.classes == names == classes_of(f"resize:{tmp_path / 'images'}")
    assert dataset.train_images.shape == (count, 3, 32, 32)
    assert (dataset.train_images[0].float().mean((1, 2)) - torch.tensor([10.0, 200, 30])).abs().max() < 1
    assert "resized" in dataset.source


def test_one_class_is_too_few(tmp_path):
    write_image_folder(tmp_path / "images", 1, ("a",))
    with pytest.raises(KitError, match=r"train holds 1 class folder; .* two classes or more"):
        load(tmp_path / "images")


@pytest.mark.slow
@within_limits
@given(
    st.lists(st.text(max_size=300) | st.sampled_from(TUTORIAL) | st.from_regex("[0-9]{1,30}"), max_size=30, unique=True)
)
@settings(max_examples=200, deadline=5000)
def test_any_names_are_numbered_once_each_and_refused_unless_they_are_the_competition_s(names):
    folders, classes = ordered(sorted(names))
    assert sorted(folders) == sorted(names) and len(classes) == len(names)
    try:
        check_competition_classes(classes)
    except KitError as error:
        assert len(str(error)) < 2000
    else:
        assert classes in (CLASSES, DIGITS)
