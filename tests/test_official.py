"""The official batches, in a folder and in the archive: what is read, and what is said of damaged ones."""

import hashlib
import pickle
import shutil
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sources import BATCHES, python2_pickle, write_archive, write_batches
from torchvision.datasets import CIFAR10

from kit.data import official
from kit.data.loading import CLASSES
from kit.errors import KitError

pytestmark = pytest.mark.filterwarnings("ignore:.*published md5 sums")  # the batches are made here


@pytest.fixture
def batches(tmp_path) -> Path:
    write_batches(tmp_path / "cifar-10-batches-py")
    return tmp_path / "cifar-10-batches-py"


def test_names_and_sums_are_those_of_torchvision():
    sums = {**dict(CIFAR10.train_list), **dict(CIFAR10.test_list), CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}
    assert sums == official._SUMS
    assert (CIFAR10.base_folder, CIFAR10.filename) == (official.FOLDER, official.ARCHIVE)
    assert [[name for name, _ in part] for part in (CIFAR10.train_list, CIFAR10.test_list)] == [
        official._TRAIN,
        official._TEST,
    ]


def same(one, other) -> bool:
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def test_batches_are_read_as_torchvision_reads_them(batches, monkeypatch):
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)  # ours are small, with sums of their own
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    ours = official.read(batches)
    for train, images, labels in (
        (True, ours.train_images, ours.train_labels),
        (False, ours.test_images, ours.test_labels),
    ):
        theirs = CIFAR10(batches.parent, train=train)
        np.testing.assert_array_equal(images.numpy(), theirs.data.transpose(0, 3, 1, 2))
        assert labels.tolist() == theirs.targets
        assert list(ours.classes) == theirs.classes
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert ours.classes == CLASSES
    assert str(batches) in ours.source


def test_the_archive_gives_the_same_and_is_not_unpacked(batches, tmp_path):
    archive = tmp_path / "mount" / "cifar-10-python.tar.gz"
    write_archive(archive, batches)
    assert same(official.read(archive), official.read(batches))
    assert list(archive.parent.iterdir()) == [archive]


@pytest.mark.filterwarnings("default:.*published md5 sums")
def test_other_sums_are_told_and_read_on(batches, monkeypatch):
    with pytest.warns(UserWarning, match=r"data_batch_1, .*test_batch, batches\.meta differ from the published"):
        official.read(batches)
    right = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in batches.iterdir()}
    monkeypatch.setattr(official, "_SUMS", right)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        official.read(batches)
    monkeypatch.setitem(right, "data_batch_3", "0" * 32)
    with pytest.warns(UserWarning, match=r"batches-py: data_batch_3 differ"):
        assert len(official.read(batches).train_images) == 50


def test_sums_of_all_seven_files_are_known():
    assert set(official._SUMS) == {*BATCHES, "batches.meta"}


def rewrite(path: Path, **changes) -> None:
    path.write_bytes(python2_pickle(pickle.loads(path.read_bytes(), encoding="latin1") | changes))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "data_batch_4").unlink(), "lacks data_batch_4; all of"),
        (lambda folder: (folder / "batches.meta").unlink(), r"lacks batches\.meta"),
        (lambda folder: (folder / "data_batch_2").write_bytes(b""), "data_batch_2 is not a readable pickle"),
        (lambda folder: rewrite(folder / "data_batch_2", data=[1, 2]), "data_batch_2 holds no uint8 array"),
        (
            lambda folder: rewrite(folder / "data_batch_2", data=np.zeros((10, 3071), np.uint8)),
            "data_batch_2 holds no uint8 array",
        ),
        (lambda folder: rewrite(folder / "test_batch", labels=[1] * 9), "test_batch must have one label"),
        (lambda folder: rewrite(folder / "test_batch", labels=[10] * 10), "test_batch must have one label"),
        (lambda folder: rewrite(folder / "test_batch", labels=["cat"] * 10), "no list of whole numbers"),
        (lambda folder: rewrite(folder / "batches.meta", label_names=["cat"]), "names 1 classes"),
        (
            lambda folder: (folder / "batches.meta").write_bytes(pickle.dumps([1])),
            "holds a list, but a dict",
        ),
    ],
)
def test_damaged_batches_are_refused_in_one_sentence(batches, damage, sentence):
    damage(batches)
    with pytest.raises(KitError, match=sentence) as refusal:
        official.read(batches)
    assert "\n" not in str(refusal.value)


def test_a_damaged_archive_is_refused(batches, tmp_path):
    archive = tmp_path / "cifar-10-python.tar.gz"
    write_archive(archive, batches)
    whole = archive.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:-4000]):
        archive.write_bytes(content)
        with pytest.raises(KitError, match=r"is not a whole tar\.gz archive"):
            official.read(archive)
    with tarfile.open(archive, "w:gz") as other:
        other.add(batches / "test_batch", "somewhere/test_batch")
    with pytest.raises(KitError, match="lacks data_batch_1"):
        official.read(archive)


def test_an_archive_that_points_outside_writes_nothing(batches, tmp_path):
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as other:
        for name in (*BATCHES, "batches.meta"):
            other.add(batches / name, f"../../{name}")
    shutil.copytree(batches, tmp_path / "expected")
    before = sorted(tmp_path.parent.rglob("*"))
    assert same(official.read(archive), official.read(tmp_path / "expected"))
    assert sorted(tmp_path.parent.rglob("*")) == before
