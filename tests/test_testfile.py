"""The competition's test file: both layouts told apart by their pixels, and every bad file refused."""

import errno
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_sources import smooth_images

from kit.data import locations
from kit.data.loading import find_competition_test, load, load_competition_test, write_competition_test
from kit.errors import KitError

IDS = [5, 3, 9, 0, 7, 1]
IMAGES = smooth_images(len(IDS))

ARRANGEMENTS = {
    "flat planes": lambda images: images.reshape(-1, 3072),
    "flat pixels": lambda images: images.transpose(0, 2, 3, 1).reshape(-1, 3072),
    "planes": lambda images: images,
    "pixels": lambda images: images.transpose(0, 2, 3, 1),
}


def write(path: Path, **content) -> Path:
    path.write_bytes(pickle.dumps({key.encode(): value for key, value in content.items()}))
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cifar_test_nolabel.pkl"


@pytest.mark.parametrize("text_keys", [False, True])
@pytest.mark.parametrize("ids", [IDS, np.array(IDS), np.array(IDS, np.uint16)], ids=["list", "int64", "uint16"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_every_arrangement_gives_the_same_images_in_the_files_order(path, arrangement, ids, text_keys):
    content = {"data": ARRANGEMENTS[arrangement](IMAGES), "ids": ids}
    path.write_bytes(pickle.dumps(content if text_keys else {key.encode(): content[key] for key in content}))
    test = load_competition_test(path)
    assert (test.images.dtype, test.ids.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(test.images.numpy(), IMAGES)
    assert test.ids.tolist() == IDS


@given(st.integers(0, 10**6), st.sampled_from(sorted(ARRANGEMENTS)))
@settings(max_examples=50, deadline=None)
def test_one_image_is_enough_to_tell(tmp_path_factory, seed, arrangement):
    images = smooth_images(1, seed)
    path = write(tmp_path_factory.getbasetemp() / "one.pkl", data=ARRANGEMENTS[arrangement](images), ids=[0])
    np.testing.assert_array_equal(load_competition_test(path).images.numpy(), images)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_digits_which_are_gray_are_told_apart_too(path, arrangement):
    images = load("digits").test_images.numpy()
    write(path, data=ARRANGEMENTS[arrangement](images), ids=list(range(len(images))))
    np.testing.assert_array_equal(load_competition_test(path).images.numpy(), images)


@pytest.mark.parametrize("flat", [np.zeros((4, 3072), np.uint8), None], ids=["black", "noise"])
def test_where_pixels_tell_nothing_the_shape_decides(path, flat):
    if flat is None:
        flat = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    planes = flat.reshape(4, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (flat, planes, planes.transpose(0, 2, 3, 1)):
            write(path, data=data, ids=[0, 1, 2, 3])
            np.testing.assert_array_equal(load_competition_test(path).images.numpy(), planes)


def test_an_array_reshaped_without_transposing_is_read_by_its_pixels_with_a_warning(path):
    write(path, data=IMAGES.reshape(-1, 32, 32, 3), ids=IDS)
    with pytest.warns(UserWarning, match="only smooth when read as planes"):
        np.testing.assert_array_equal(load_competition_test(path).images.numpy(), IMAGES)
    write(path, data=IMAGES.transpose(0, 2, 3, 1).reshape(-1, 3, 32, 32), ids=IDS)
    with pytest.warns(UserWarning, match="only smooth when read as pixels"):
        np.testing.assert_array_equal(load_competition_test(path).images.numpy(), IMAGES)


def test_wider_integers_are_read_if_they_are_pixels(path):
    write(path, data=IMAGES.astype(np.int64).reshape(-1, 3072), ids=IDS)
    np.testing.assert_array_equal(load_competition_test(path).images.numpy(), IMAGES)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"data": np.zeros((6, 3071), np.uint8), "ids": IDS}, r"shape \(6, 3071\) under 'data'; it can be"),
        ({"data": np.zeros((0, 3072), np.uint8), "ids": []}, r"shape \(0, 3072\)"),
        ({"data": np.zeros(3072, np.uint8), "ids": IDS}, r"shape \(3072,\)"),
        ({"data": np.zeros((6, 28, 28, 3), np.uint8), "ids": IDS}, r"shape \(6, 28, 28, 3\)"),
        ({"data": np.zeros((6, 3072), np.float32), "ids": IDS}, "has float32 under 'data'"),
        ({"data": np.full((6, 3072), 256), "ids": IDS}, "numbers from 256 to 256"),
        ({"data": np.full((6, 3072), -1), "ids": IDS}, "numbers from -1 to -1"),
        ({"data": IMAGES.tolist(), "ids": IDS}, "has a list under 'data'"),
        ({"data": IMAGES}, r"has no 'ids' but \['data'\]"),
        ({"ids": IDS}, r"has no 'data' but \['ids'\]"),
        ({"data": IMAGES, "ids": IDS[:-1]}, "has 5 ids for 6 images"),
        ({"data": IMAGES, "ids": []}, "has 0 ids for 6 images"),
        ({"data": IMAGES, "ids": [5, 3, 9, 0, 3, 1]}, "the id 3 more than once"),
        ({"data": IMAGES, "ids": ["a"] * 6}, "'ids' that are not a list of whole numbers"),
        ({"data": IMAGES, "ids": [0.5] * 6}, "not a list of whole numbers"),
        ({"data": IMAGES, "ids": np.arange(6).reshape(6, 1)}, "not a list of whole numbers"),
        ({"data": IMAGES, "ids": [[1], [1, 2]]}, "not a list of whole numbers"),
        ({"data": IMAGES, "ids": None}, "not a list of whole numbers"),
        ({"data": IMAGES, "ids": np.array([2**64 - 1, *range(5)], np.uint64)}, "not a list of whole numbers"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(path, content, sentence):
    write(path, **content)
    with pytest.raises(KitError, match=sentence) as refusal:
        load_competition_test(path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(str(path))


def test_what_is_no_dictionary_of_arrays_is_refused(path):
    path.write_bytes(pickle.dumps([IMAGES, IDS]))
    with pytest.raises(KitError, match="holds a list, but a dictionary"):
        load_competition_test(path)
    path.write_bytes(b"ID,Labels\n0,3\n")
    with pytest.raises(KitError, match="is not a readable pickle"):
        load_competition_test(path)
    write(path, data=IMAGES, ids=IDS)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(KitError, match="is not a readable pickle"):
        load_competition_test(path)
    with pytest.raises(KitError, match="cannot be read"):
        load_competition_test(path.parent / "absent.pkl")


# --- writing ---


@pytest.mark.parametrize("layout", ["2025", "2024"])
def test_what_is_written_is_read_back(path, layout):
    write_competition_test(path, torch.from_numpy(IMAGES), torch.tensor(IDS), layout)
    test = load_competition_test(path)
    np.testing.assert_array_equal(test.images.numpy(), IMAGES)
    assert test.ids.tolist() == IDS


@pytest.mark.parametrize(
    ("layout", "shape", "length"),
    [("2025", (10_000, 32, 32, 3), 30_800_263), ("2024", (10_000, 3072), 30_800_227)],
)
def test_a_written_file_is_as_long_as_the_courses(path, layout, shape, length):
    """The lengths that the course's files have, to the byte; numpy 2 writes its module's name one byte longer."""
    write_competition_test(path, torch.zeros(10_000, 3, 32, 32, dtype=torch.uint8), torch.arange(10_000), layout)
    assert path.stat().st_size == length + (np.__version__ >= "2")
    content = pickle.loads(path.read_bytes())
    assert set(content) == {b"data", b"ids"}
    assert (content[b"data"].shape, content[b"data"].dtype, content[b"ids"].dtype) == (
        shape,
        np.uint8,
        np.int64,
    )


def test_an_unknown_layout_is_refused(path):
    with pytest.raises(KitError, match="layout is '2023'; it can be 2025 or 2024"):
        write_competition_test(path, torch.from_numpy(IMAGES), torch.tensor(IDS), "2023")


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_a_full_or_read_only_disk_leaves_nothing(path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(KitError, match=os.strerror(code)):
        write_competition_test(path, torch.from_numpy(IMAGES), torch.tensor(IDS))
    assert list(path.parent.iterdir()) == []


# --- finding ---


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(locations, "KAGGLE_INPUT", tmp_path / "input")
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(locations, "workspace", Path)
    return tmp_path / "input"


def place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "where",
    [
        "competitions/deep-learning-spring-2025-project-1/cifar_test_nolabel.pkl",
        "deep-learning-spring-2025-project-1/cifar_test_nolabel.pkl",
        "deep-learning-mini-project-spring-24-nyu/cifar_test_nolabels.pkl",
        "resnetzz/cifar_test_nolabel.pkl",
        "datasets/someone/something/files/cifar_test_nolabels.pkl",
    ],
)
def test_the_test_file_is_found_in_every_mount(kaggle, where):
    assert find_competition_test() is None
    expected = place(kaggle / where)
    place(kaggle / "other" / "model.pkl")
    assert find_competition_test() == expected


def test_the_variable_goes_before_kaggle_and_kaggle_before_data(kaggle, monkeypatch, tmp_path):
    local = place(Path("data", "cifar_test_nolabel.pkl"))
    assert find_competition_test() == local
    mounted = place(kaggle / "copy" / "cifar_test_nolabel.pkl")
    assert find_competition_test() == mounted
    mounted = place(kaggle / "competitions" / locations.COMPETITIONS[0] / "cifar_test_nolabel.pkl")
    assert find_competition_test() == mounted
    named = place(tmp_path / "named" / "cifar_test_nolabels.pkl")
    monkeypatch.setenv("CIFAR10_DIR", str(named.parent))
    assert find_competition_test() == named


def test_in_a_folder_the_nearest_is_found(kaggle, tmp_path):
    place(tmp_path / "a" / "old" / "cifar_test_nolabel.pkl")
    nearest = place(tmp_path / "a" / "cifar_test_nolabels.pkl")
    assert find_competition_test(tmp_path / "a") == nearest
    assert find_competition_test("digits") is None
