"""Image folders: what is read, what is refused, and when the cache may be believed."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sources import write_image_folder
from PIL import Image
from torchvision.datasets import ImageFolder

from kit.data import imagefolder
from kit.data.loading import CLASSES
from kit.errors import KitError
from kit.system import progress


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "cache" / "kit"


@pytest.fixture
def folder(tmp_path, cache) -> Path:
    write_image_folder(tmp_path / "images")
    return tmp_path / "images"


def decoded(dataset) -> bool:
    """Whether the files were decoded at this start, not taken from the cache."""
    return "earlier start" not in dataset.source


def test_images_and_labels_are_those_of_torchvision(folder):
    ours = imagefolder.read(folder)
    assert ours.classes == CLASSES
    for part, images, labels in (
        ("train", ours.train_images, ours.train_labels),
        ("test", ours.test_images, ours.test_labels),
    ):
        theirs = ImageFolder(folder / part)
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert labels.tolist() == theirs.targets
        expected = np.stack([np.asarray(image) for image, _ in theirs]).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images.numpy(), expected)


def test_other_classes_are_numbered_in_alphabetical_order(tmp_path, cache):
    names = tuple("jihgfedcba")
    write_image_folder(tmp_path / "images", 1, names)
    assert imagefolder.read(tmp_path / "images").classes == tuple(sorted(names))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp", ".PNG"])
def test_other_kinds_of_files_are_read(folder, suffix):
    options = {"lossless": True} if suffix == ".webp" else {"quality": 100, "subsampling": 0}
    first = folder / "train" / "airplane" / "0.png"
    with Image.open(first) as image:
        image.save(folder / "train" / "airplane" / f"00{suffix}", **options)
        expected = np.asarray(image).transpose(2, 0, 1).astype(int)
    first.unlink()
    images = imagefolder.read(folder).train_images
    assert len(images) == 20
    tolerance = 3 if suffix in (".jpg", ".jpeg") else 0  # the rounding of JPEG's own colours
    assert np.abs(images[0].numpy() - expected).max() <= tolerance


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_grayscale_and_palette_become_rgb(folder, mode):
    path = folder / "train" / "airplane" / "0.png"
    with Image.open(path) as image:
        other = image.convert("L").convert(mode)
    other.save(path)
    expected = np.asarray(other.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(imagefolder.read(folder).train_images[0].numpy(), expected)


def test_what_is_no_image_by_name_is_left_alone(folder):
    (folder / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (folder / "train" / "cat" / ".0.png").write_bytes(b"x")
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    assert len(imagefolder.read(folder).train_images) == 20


# --- what is refused ---


def remove_class(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "ship")


def rename_class(folder: Path) -> None:
    (folder / "test" / "ship").rename(folder / "test" / "boat")


def empty_class(folder: Path) -> None:
    shutil.rmtree(folder / "test" / "dog")
    (folder / "test" / "dog").mkdir()


def empty_part(folder: Path) -> None:
    shutil.rmtree(folder / "test")
    (folder / "test").mkdir()


def larger_image(folder: Path) -> None:
    Image.new("RGB", (40, 32)).save(folder / "train" / "frog" / "1.png")


def text_named_jpg(folder: Path) -> None:
    (folder / "train" / "frog" / "notes.jpg").write_text("these are not pixels")


def cut_off_image(folder: Path) -> None:
    path = folder / "test" / "deer" / "1.png"
    path.write_bytes(path.read_bytes()[:60])


def sixteen_bits(folder: Path) -> None:
    Image.fromarray(np.full((32, 32), 4000, np.uint16)).save(folder / "test" / "deer" / "1.png")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (remove_class, r"same class folders, but only one of them has ship"),
        (rename_class, r"same class folders, but only one of them has boat, ship"),
        (empty_class, r"test/dog holds no image"),
        (empty_part, r"test holds 0 class folders"),
        (larger_image, r"frog/1\.png is 40x32 pixels; every image must be 32x32"),
        (text_named_jpg, r"frog/notes\.jpg is not a readable image"),
        (cut_off_image, r"deer/1\.png is not a readable image"),
        (sixteen_bits, r"deer/1\.png has the pixel mode I"),
    ],
)
def test_a_bad_folder_is_refused_in_one_sentence_and_leaves_no_cache(folder, cache, damage, sentence):
    damage(folder)
    with pytest.raises(KitError, match=sentence) as refusal:
        imagefolder.read(folder)
    assert "\n" not in str(refusal.value)
    assert not cache.exists()


# --- the cache ---


def test_the_second_start_decodes_nothing_and_gives_the_same(folder, monkeypatch):
    first = imagefolder.read(folder)
    monkeypatch.setattr(imagefolder, "_decode_file", lambda path, resize: pytest.fail(f"{path} was decoded again"))
    second = imagefolder.read(folder)
    assert decoded(first)
    assert not decoded(second)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.classes == second.classes


def touch(folder: Path) -> None:
    os.utime(folder / "train" / "cat" / "0.png", ns=(1, 1))


def add(folder: Path) -> None:
    shutil.copy2(folder / "train" / "cat" / "0.png", folder / "train" / "cat" / "7.png")


def remove(folder: Path) -> None:
    (folder / "test" / "cat" / "1.png").unlink()


def rename(folder: Path) -> None:
    (folder / "test" / "cat" / "1.png").rename(folder / "test" / "cat" / "5.png")


def swap_two_classes(folder: Path) -> None:
    for old, new in (("cat", "spare"), ("dog", "cat"), ("spare", "dog")):
        (folder / "train" / old).rename(folder / "train" / new)


@pytest.mark.parametrize("change", [touch, add, remove, rename, swap_two_classes])
def test_a_changed_folder_is_decoded_again(folder, cache, change):
    imagefolder.read(folder)
    os.utime(folder / "train" / "dog" / "0.png", ns=(2, 2))  # tells apart classes written in the same moment
    imagefolder.read(folder)
    change(folder)
    after = imagefolder.read(folder)
    assert decoded(after)
    assert len(list(cache.iterdir())) == 1, "a changed folder must replace its cache, not add one"


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_zeros(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-5000] + bytes(5000))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut_in_half, fill_with_zeros, empty, replace_by_folder])
def test_a_damaged_cache_is_not_believed(folder, cache, damage):
    first = imagefolder.read(folder)
    damage(next(cache.iterdir()))
    again = imagefolder.read(folder)
    assert decoded(again)
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.test_images, again.test_images)
    assert not decoded(imagefolder.read(folder)), "the cache must have been rebuilt"


def test_a_cache_that_cannot_be_written_falls_back_to_the_temporary_folder(folder, cache):
    cache.parent.write_text("a file where the cache folder should be")
    assert decoded(imagefolder.read(folder))
    assert not decoded(imagefolder.read(folder))


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_without_any_place_for_the_cache_the_images_are_read_with_a_warning(folder, cache, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(UserWarning, match=f"decoded again at the next start: .*{os.strerror(code)}"):
        dataset = imagefolder.read(folder)
    assert len(dataset.train_images) == 20
    assert list(cache.iterdir()) == [], "nothing half-written may stay"


def test_a_read_only_folder_is_read_and_not_written_to(folder):
    before = sorted(folder.rglob("*"))
    for path in (folder, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert len(imagefolder.read(folder).test_images) == 20
        assert sorted(folder.rglob("*")) == before
    finally:
        for path in (folder, *before):
            path.chmod(0o755)


def test_a_long_read_tells_how_far_it_is(folder, capsys, monkeypatch):
    imagefolder.read(folder)
    assert capsys.readouterr().out == "", "a folder read in a moment needs no line"
    touch(folder)
    for name in ("FIRST_SECONDS", "LINE_SECONDS", "SHORT_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr(imagefolder, "_CHUNK", 10)
    imagefolder.read(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"... reading {folder}: 10 of 40 images, ")
    assert len(lines) == 4
    touch(folder)
    monkeypatch.setenv(progress.QUIET, "1")
    imagefolder.read(folder)
    assert capsys.readouterr().out == ""
